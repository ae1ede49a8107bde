//! Profiles ([spec]). They live in the `User` object, which carries a new name or avatar into the
//! user's rooms.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#profiles

mod remote;

use ruma::{
    ServerName, UserId,
    api::{
        client::profile::{
            delete_profile_field, get_profile, get_profile_field, set_profile_field,
        },
        error::ErrorKind,
    },
    profile::{ProfileFieldName, ProfileFieldValue},
};
use serde_json::Value as JsonValue;
use skerry_core::{
    gather::Gather as _,
    profile::{MAX_AVATAR_URL_BYTES, MAX_DISPLAY_NAME_BYTES, MAX_FIELD_NAME_BYTES, is_field_name},
};

use super::super::{Cx, mount::Routes, sharing};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{GetProfile, Profile, SetProfileField},
    },
};

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
    caller: Option<Caller>,
    request: get_profile::v3::Request,
) -> Result<get_profile::v3::Response> {
    check_shown(&cx, caller.as_ref(), &request.user_id).await?;
    let profile = match cx.server.is_local(&request.user_id) {
        true => find(&cx, &request.user_id).await?.ok_or_else(unknown)?,
        false => remote::find(&cx, caller.as_ref(), &request.user_id, None).await?,
    };
    Ok(profile.into_iter().gather())
}

/// `GET /_matrix/client/*/profile/{userId}/{keyName}`
pub async fn get_profile_field(
    cx: Cx,
    caller: Option<Caller>,
    request: get_profile_field::v3::Request,
) -> Result<get_profile_field::v3::Response> {
    let get_profile_field::v3::Request { user_id, field: name, .. } = request;
    check_shown(&cx, caller.as_ref(), &user_id).await?;
    let field = name.as_str();
    let profile = match cx.server.is_local(&user_id) {
        true => find(&cx, &user_id).await?.unwrap_or_default(),
        false => remote::find(&cx, caller.as_ref(), &user_id, Some(name.clone())).await?,
    };
    let value = profile.into_iter().find_map(|(name, value)| (name == field).then_some(value));
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

/// Refuses who may not see a profile: where profiles are limited, who shares no room with the user,
/// whether or not there is one of this name.
async fn check_shown(cx: &Cx, caller: Option<&Caller>, user_id: &UserId) -> Result<()> {
    let is_shown = match caller {
        _ if !cx.server.config.limit_profile => true,
        Some(caller) => sharing::with_user(cx, &caller.user_id, user_id).await?,
        None => false,
    };
    sharing::refuse(is_shown, NOT_SHOWN)
}

/// As [`check_shown`], for another server that asks for the profile of a local user.
pub async fn check_shown_to_server(cx: &Cx, server: &ServerName, user_id: &UserId) -> Result<()> {
    let is_shown = !cx.server.config.limit_profile
        || (cx.server.is_local(user_id) && sharing::with_server(cx, user_id, server).await?);
    sharing::refuse(is_shown, NOT_SHOWN)
}

const NOT_SHOWN: &str = "profiles are shown to those alone who share a room with their user";

fn unknown() -> Error {
    Error::not_found("this server knows no such user")
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

fn check_name(name: &str) -> Result<()> {
    if name.len() > MAX_FIELD_NAME_BYTES {
        let message = format!("a field's name has at most {MAX_FIELD_NAME_BYTES} bytes");
        return Err(Error::api(ErrorKind::KeyTooLarge, message));
    }
    if !is_field_name(name) {
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
