//! `POST /_matrix/client/*/login` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login

use http::StatusCode;
use ruma::{
    OwnedUserId, UserId,
    api::{
        client::{
            session::login::v3::{
                DiscoveryInfo, HomeserverInfo, LoginInfo, Password, Request, Response,
            },
            uiaa::UserIdentifier,
        },
        error::{DeserializationError, ErrorKind},
    },
};
use skerry_core::{identifier::MAX_ID_BYTES, rate_limits::Bucket};

use super::{Wishes, begin};
use crate::{
    Error, Result,
    api::{
        Client, Cx,
        access::change_account,
        patched::{Body, Patch, Patched},
    },
    messages::{secret::Secret, user},
    server::Server,
};

/// Logs in on a device.
pub async fn login(
    cx: Cx,
    client: Client,
    Patched { request, .. }: Patched<Request, Typed>,
) -> Result<Response> {
    let LoginInfo::Password(given) = request.login_info else {
        let message = "this type of login is not offered";
        return Err(Error::with_status(StatusCode::BAD_REQUEST, ErrorKind::Unknown, message));
    };
    let wishes = Wishes {
        device_id: request.device_id,
        device_name: request.initial_device_display_name,
        refreshable: request.refresh_token,
    };
    wishes.check()?;
    // That a name is none of this server's says nothing of who its users are.
    let Some(user_id) = named(&cx.server, &given)? else {
        return Err(Error::forbidden("this is the name of no user of this server"));
    };
    let (opened, session) = begin(&cx, client, &user_id, wishes)?;
    let limited_for_ms = limited_for_ms(&cx, &user_id).await?;
    let password = Secret::new(given.password);
    let question = user::Login { password, session, limited_for_ms };
    change_account(&cx, &user_id, question).await?;
    let mut response = Response::new(user_id, opened.access_token, opened.device_id);
    response.refresh_token = opened.refresh_token;
    response.expires_in = opened.expires_in;
    let base_url = cx.server.config.public_base_url.clone();
    response.well_known = base_url.map(|it| DiscoveryInfo::new(HomeserverInfo::new(it)));
    Ok(response)
}

/// How long strangers to an account have to wait, if there were too many logins to it. Who is none
/// is for the account to say.
async fn limited_for_ms(cx: &Cx, user_id: &UserId) -> Result<Option<u64>> {
    match cx.ports.limiter.take(Bucket::LoginAccount, user_id.as_str(), 1).await {
        Ok(()) => Ok(None),
        Err(error) => error.retry_after_ms().map(Some).ok_or(error),
    }
}

/// The user of this server whom a localpart or a full user ID names.
pub fn local_user(server: &Server, name: &str) -> Option<OwnedUserId> {
    // Names differ by more than case, and phones like to begin them with a capital.
    let name = name.to_lowercase();
    let user_id = if name.starts_with('@') {
        UserId::parse(name)
    } else {
        UserId::parse(format!("@{name}:{}", server.name))
    };
    user_id.ok().filter(|it| server.is_local(it) && it.as_str().len() <= MAX_ID_BYTES)
}

/// Whom the request names. None: nobody that could be of this server.
#[expect(deprecated, reason = "older clients still name the user beside the password")]
fn named(server: &Server, given: &Password) -> Result<Option<OwnedUserId>> {
    match (&given.identifier, &given.user) {
        (Some(UserIdentifier::Matrix(it)), _) => Ok(local_user(server, &it.user)),
        (Some(_), _) => Err(Error::forbidden("this server knows users by their user ID only")),
        (None, Some(user)) => Ok(local_user(server, user)),
        (None, None) => Err(Error::missing_param("the identifier is missing")),
    }
}

/// A check that a login has a `type`: ruma panics on one without.
#[derive(Debug)]
pub struct Typed;

impl Patch<Request> for Typed {
    type Response = Response;

    fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError> {
        #[derive(serde::Deserialize)]
        struct Fields {
            #[serde(rename = "type")]
            _type: String,
        }
        body.read::<Fields>()?;
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::patched;

    #[test]
    fn a_login_without_a_type_is_an_error_and_no_panic() {
        let parse = |body| patched::read::<Patched<Request, Typed>>(body, &[]);
        for body in [&b"{}"[..], b"{\"type\":1}", b"{\"type\":null}", b"{\"password\":\"x\"}"] {
            parse(body).unwrap_err();
        }
        parse(br#"{"type":"m.login.password","password":"x"}"#).unwrap();
    }
}
