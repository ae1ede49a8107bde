//! Who sends a request: its access token, looked up in the global store ([spec]).
//!
//! On the path of every message: one indexed read. A token in the query string is no token, as
//! the specification has it since v1.20: URLs end in logs and histories.
//!
//! [spec]: https://spec.matrix.org/unstable/client-server-api/#using-access-tokens

use http::{HeaderMap, header};
use ruma::{UserId, api::error::ErrorKind};

use super::Cx;
use crate::{Error, Result, messages::Caller, store::global::tokens};

/// What an endpoint asks of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: a token is not even looked at.
    Anyone,
    /// A token is not needed, but must be right when it is there.
    Optional,
    /// A token.
    Required,
}

/// An authenticated session: its user, its device and the token it came with.
#[derive(Clone, Debug)]
pub struct Session {
    /// The user on their device.
    pub caller: Caller,
    /// SHA-256 of the access token, as [`tokens`] keeps it.
    pub token_hash: String,
}

/// Checks the sender of a request.
pub(super) async fn check(cx: &Cx, access: Access, headers: &HeaderMap) -> Result<Option<Session>> {
    match (access, bearer(headers)) {
        (Access::Anyone, _) | (Access::Optional, None) => Ok(None),
        (Access::Required, None) => {
            Err(Error::api(ErrorKind::MissingToken, "an access token is required"))
        }
        (_, Some(token)) => session(cx, token).await.map(Some),
    }
}

/// The token of the `Authorization` header. Another scheme than `Bearer` is none of ours.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    const SCHEME: &str = "bearer ";
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim()).filter(|it| !it.is_empty())
}

async fn session(cx: &Cx, token: &str) -> Result<Session> {
    let token_hash = tokens::hash(token);
    let global = &*cx.ports.global;
    let Some(found) = tokens::find_access_token(global, &token_hash).await? else {
        return Err(Error::unknown_token(false, "the access token is unknown"));
    };
    if found.expires_at_ms.is_some_and(|it| it <= cx.ports.clock.now_ms()) {
        return Err(Error::unknown_token(true, "the access token has expired"));
    }
    if found.unconfirmed {
        // The first use proves that the client has the new tokens, so the old ones go.
        global.batch(tokens::confirm_access_token(&found, &token_hash)).await?;
    }
    let user_id = UserId::parse(found.user_id).map_err(Error::internal)?;
    let caller = Caller { user_id, device_id: found.device_id.into() };
    Ok(Session { caller, token_hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_token_is_found() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("BEARER  abc ", Some("abc")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic abcdef", None),
            ("abc", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), expected, "{value:?}");
        }
    }
}
