//! Who sends a request: its access token, which names the user whose object knows it ([spec]).
//!
//! What the object has answered is remembered for a while ([`crate::sessions`]), so that a message
//! into a room need not ask. What changes an account does not go by that. A token in the query
//! string is no token, as the specification has it since v1.20: URLs end in logs and histories.
//!
//! [spec]: https://spec.matrix.org/unstable/client-server-api/#using-access-tokens

use std::sync::Arc;

use http::{HeaderMap, header, request::Parts};
use ruma::{OwnedUserId, UserId, api::error::ErrorKind};
use skerry_core::{
    rate_limits::Bucket,
    token::{self, TokenKind},
};

use super::{
    Cx,
    counted::{count_unknown_token, counted_address},
};
use crate::{
    Error, Result,
    messages::{
        Ask, Caller,
        user::{Authenticate, ToUser},
    },
    sessions::Known,
};

/// What an endpoint asks of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: a token is not even looked at.
    Anyone,
    /// A token is not needed, but must be right when it is there.
    Optional,
    /// A token.
    Required,
    /// A token that the user's object has checked for this very request: nothing that is
    /// remembered counts.
    Account,
    /// A token that names a user: their object checks it with what it is asked anyway.
    Unchecked,
    /// The signature of another server.
    Server,
}

/// An access token that nobody has checked.
#[derive(Clone, Debug)]
pub struct UncheckedToken {
    /// The user it names.
    pub user_id: OwnedUserId,
    /// Its hash ([`token::hash`]).
    pub access_hash: String,
    /// What the address it comes from is counted by.
    address: Arc<str>,
}

impl UncheckedToken {
    /// The token of a request that needs one.
    pub(super) fn read(cx: &Cx, parts: &Parts) -> Result<Self> {
        let text = bearer(&parts.headers).ok_or_else(missing_token)?;
        // What is no token is not asked about: no object is made of what somebody invents.
        let user_id = TokenKind::Access.user_named(text, &cx.server.name);
        let user_id =
            user_id.ok_or_else(|| Error::unknown_token(false, "the access token is unknown"))?;
        let address = counted_address(&parts.extensions);
        Ok(Self { user_id, access_hash: token::hash(text), address })
    }

    /// Checks the token, by what is remembered of it if anything is.
    pub(super) async fn check(&self, cx: &Cx) -> Result<Known> {
        match self.remembered(cx) {
            Some(known) => Ok(known),
            None => self.check_now(cx).await,
        }
    }

    /// Whose token it is, if that is remembered. Refused where too many came from the address that
    /// nobody has.
    pub(super) fn expect_known(&self, cx: &Cx) -> Result<Option<Known>> {
        let known = self.remembered(cx);
        if known.is_none() {
            cx.ports.limiter.check(Bucket::UnknownTokens, &self.address)?;
        }
        Ok(known)
    }

    /// What the user's object has answered to whoever has this token: counted, if nobody has it.
    pub(super) async fn answered<T>(&self, cx: &Cx, answer: Result<T>) -> Result<T> {
        if let Err(error) = &answer {
            count_unknown_token(cx, &self.address, error).await;
        }
        answer
    }

    fn remembered(&self, cx: &Cx) -> Option<Known> {
        cx.ports.sessions.find(&self.access_hash, cx.ports.clock.now_ms())
    }

    /// Has the user's object check the token. Of those that nobody has, each address may show some.
    async fn check_now(&self, cx: &Cx) -> Result<Known> {
        let Self { user_id, access_hash, address } = self;
        let (sessions, now_ms) = (&cx.ports.sessions, cx.ports.clock.now_ms());
        cx.ports.limiter.check(Bucket::UnknownTokens, address)?;
        let ticket = sessions.begin();
        let question = Authenticate { access_hash: access_hash.clone() };
        let answer = cx.ports.objects.ask(&**user_id, question).await;
        let answer = self.answered(cx, answer).await?;
        let at_most_ms = cx.server.config.session_cache_ms;
        sessions.insert(ticket, access_hash.clone(), &answer, now_ms, at_most_ms);
        Ok(Known { caller: answer.caller, is_admin: answer.is_admin })
    }
}

/// Who sends no token, and needs one.
pub(super) fn missing_token() -> Error {
    Error::api(ErrorKind::MissingToken, "an access token is required")
}

/// A user on their device, whose token their object has checked for this very request.
#[derive(Clone, Debug)]
pub struct Verified(pub Caller);

/// Checks the sender of a request: the user whose token it carries, where a token is looked at.
pub(super) async fn check(cx: &Cx, access: Access, parts: &Parts) -> Result<Option<Known>> {
    let token = || UncheckedToken::read(cx, parts);
    match access {
        Access::Anyone | Access::Unchecked | Access::Server => Ok(None),
        Access::Optional if bearer(&parts.headers).is_none() => Ok(None),
        Access::Optional | Access::Required => token()?.check(cx).await.map(Some),
        Access::Account => token()?.check_now(cx).await.map(Some),
    }
}

/// The token of the `Authorization` header. Another scheme than `Bearer` is none of ours.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    const SCHEME: &str = "bearer ";
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim()).filter(|it| !it.is_empty())
}

/// Asks a user's object to change the account. Unless that is refused, what is remembered of the
/// user's tokens counts for nothing afterwards: the object may be another process's.
///
/// # Errors
///
/// What the object answers.
pub(super) async fn change_account<A>(cx: &Cx, user_id: &UserId, question: A) -> Result<A::Reply>
where
    A: Ask<Recipient = ToUser>,
{
    let answer = cx.ports.objects.ask(user_id, question).await;
    // Whoever fails to log in makes nobody forget anything.
    if !matches!(answer, Err(Error::Api { .. })) {
        cx.ports.sessions.forget(user_id);
    }
    answer
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
