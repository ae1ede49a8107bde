//! Profiles ([spec]). They live in the `User` object, which carries a new name or avatar into the
//! user's rooms.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#profiles

use ruma::{
    UserId,
    api::{
        client::profile::{
            delete_profile_field, get_profile, get_profile_field, set_profile_field,
        },
        error::ErrorKind,
    },
    profile::{ProfileFieldName, ProfileFieldValue},
};
use serde_json::Value as JsonValue;

use super::super::{Cx, mount::Routes};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{GetProfile, Profile, SetProfileField},
    },
};

/// The most bytes of a field's name.
pub const MAX_FIELD_NAME_BYTES: usize = 255;

/// The most bytes of a display name: it is repeated in every membership event of the user.
pub const MAX_DISPLAY_NAME_BYTES: usize = 1024;

/// The most bytes of an avatar's URL, for the same reason.
pub const MAX_AVATAR_URL_BYTES: usize = 1024;

/// Mounts the endpoints of this area. Those of ruma for the display name and the avatar URL
/// alone have paths that the ones for any field cover.
pub fn routes(routes: Routes) -> Routes {
    routes
        .mount(get_profile)
        .mount(get_profile_field)
        .mount(set_profile_field)
        .mount(delete_profile_field)
}

/// `GET /_matrix/client/*/profile/{userId}`
pub async fn get_profile(
    cx: Cx,
    request: get_profile::v3::Request,
) -> Result<get_profile::v3::Response> {
    let profile = find(&cx, &request.user_id).await?;
    let profile = profile.ok_or_else(|| Error::not_found("this server knows no such user"))?;
    Ok(profile.into_iter().collect())
}

/// `GET /_matrix/client/*/profile/{userId}/{keyName}`
pub async fn get_profile_field(
    cx: Cx,
    request: get_profile_field::v3::Request,
) -> Result<get_profile_field::v3::Response> {
    let field = request.field.as_str();
    let value = find(&cx, &request.user_id).await?.and_then(|mut it| it.remove(field));
    let value = value.ok_or_else(|| Error::not_found("the profile has no such field"))?;
    Ok(get_profile_field::v3::Response::new(ProfileFieldValue::new(field, value)?))
}

/// `PUT /_matrix/client/*/profile/{userId}/{keyName}`
pub async fn set_profile_field(
    cx: Cx,
    caller: Caller,
    request: set_profile_field::v3::Request,
) -> Result<set_profile_field::v3::Response> {
    refuse_others(&caller, &request.user_id)?;
    let field = request.value.field_name();
    check_name(field.as_str())?;
    check_value(&request.value)?;
    let value = match request.value.value().into_owned() {
        // Older clients have no other way to take a name or an avatar away.
        JsonValue::String(text) if text.is_empty() && is_in_rooms(&field) => None,
        value => Some(value),
    };
    set(&cx, &caller.user_id, &field, value).await?;
    Ok(set_profile_field::v3::Response::new())
}

/// `DELETE /_matrix/client/*/profile/{userId}/{keyName}`
pub async fn delete_profile_field(
    cx: Cx,
    caller: Caller,
    request: delete_profile_field::v3::Request,
) -> Result<delete_profile_field::v3::Response> {
    refuse_others(&caller, &request.user_id)?;
    check_name(request.field.as_str())?;
    set(&cx, &caller.user_id, &request.field, None).await?;
    Ok(delete_profile_field::v3::Response::default())
}

/// The profile of a user of this server. None: there is no such user.
pub async fn find(cx: &Cx, user_id: &UserId) -> Result<Option<Profile>> {
    // No object is made for a user of another server.
    match cx.server.is_local(user_id) {
        true => cx.ports.objects.ask(user_id, GetProfile {}).await,
        false => Ok(None),
    }
}

async fn set(
    cx: &Cx,
    user_id: &UserId,
    field: &ProfileFieldName,
    value: Option<JsonValue>,
) -> Result<()> {
    let field = field.as_str().to_owned();
    cx.ports.objects.ask(user_id, SetProfileField { field, value }).await
}

fn is_in_rooms(field: &ProfileFieldName) -> bool {
    matches!(field, ProfileFieldName::DisplayName | ProfileFieldName::AvatarUrl)
}

fn refuse_others(caller: &Caller, user_id: &UserId) -> Result<()> {
    if caller.user_id != *user_id {
        return Err(Error::forbidden("this is somebody else's profile"));
    }
    Ok(())
}

/// Names follow the common namespaced identifier grammar; the two oldest do too.
fn check_name(name: &str) -> Result<()> {
    if name.len() > MAX_FIELD_NAME_BYTES {
        let message = format!("a field's name has at most {MAX_FIELD_NAME_BYTES} bytes");
        return Err(Error::api(ErrorKind::KeyTooLarge, message));
    }
    let fits = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let starts_right = name.bytes().next().is_some_and(|it| it.is_ascii_lowercase());
    if !starts_right || !name.bytes().all(fits) {
        return Err(Error::invalid_param("a field's name is made of a-z, 0-9 and -_."));
    }
    Ok(())
}

/// An avatar's URL should be an `mxc` URI, which is for clients to see to: other servers take any
/// text, and clients that send another are told nothing they could mend.
fn check_value(value: &ProfileFieldValue) -> Result<()> {
    match value {
        ProfileFieldValue::DisplayName(name) if name.len() > MAX_DISPLAY_NAME_BYTES => {
            let message = format!("a display name has at most {MAX_DISPLAY_NAME_BYTES} bytes");
            Err(Error::invalid_param(message))
        }
        ProfileFieldValue::AvatarUrl(url) if url.as_str().len() > MAX_AVATAR_URL_BYTES => {
            let message = format!("an avatar URL has at most {MAX_AVATAR_URL_BYTES} bytes");
            Err(Error::invalid_param(message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_field_may_be_called() {
        let longest = "a".repeat(MAX_FIELD_NAME_BYTES);
        let cases = [
            ("displayname", None),
            ("avatar_url", None),
            ("m.tz", None),
            ("org.example.job-title", None),
            (&longest, None),
            (&format!("{longest}a"), Some("M_KEY_TOO_LARGE")),
            ("", Some("M_INVALID_PARAM")),
            ("Name", Some("M_INVALID_PARAM")),
            (".a", Some("M_INVALID_PARAM")),
            ("a b", Some("M_INVALID_PARAM")),
            ("é", Some("M_INVALID_PARAM")),
        ];
        for (name, expected) in cases {
            let error = check_name(name).err().map(|it| it.to_json()["errcode"].clone());
            assert_eq!(error, expected.map(JsonValue::from), "{name:?}");
        }
    }

    #[test]
    fn what_an_avatar_url_may_be() {
        let check = |url: &str| check_value(&ProfileFieldValue::AvatarUrl(url.into()));
        check("mxc://localhost/abc").unwrap();
        check("").unwrap();
        check("https://example.org/a.png").unwrap();
        check(&format!("mxc://localhost/{}", "a".repeat(MAX_AVATAR_URL_BYTES))).unwrap_err();
    }
}
