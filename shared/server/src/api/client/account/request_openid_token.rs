//! `POST /_matrix/client/*/user/{userId}/openid/request_token` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridopenidrequest_token

use std::time::Duration;

use ruma::{
    api::client::account::request_openid_token::v3::{Request, Response},
    authentication::TokenType,
};
use skerry_core::token;

use crate::{
    Error, Result,
    api::{Cx, access::Verified, client::secret},
    messages::user::MakeOpenIdToken,
};

/// How long a token tells whose it is.
const LIFETIME: Duration = Duration::from_hours(1);

/// Makes a token by which others are told who the user is, and nothing else.
pub async fn request_openid_token(
    cx: Cx,
    Verified(caller): Verified,
    request: Request,
) -> Result<Response> {
    if caller.user_id != request.user_id {
        return Err(Error::forbidden("this is another user"));
    }
    let text = secret::openid_token(&*cx.ports.random, &caller.user_id)?;
    let lifetime_ms = u64::try_from(LIFETIME.as_millis()).unwrap_or(u64::MAX);
    let question = MakeOpenIdToken {
        token_hash: token::hash(&text),
        expires_at_ms: cx.ports.clock.now_ms().saturating_add(lifetime_ms),
    };
    cx.ports.objects.ask(&*caller.user_id, question).await?;
    Ok(Response::new(text, TokenType::Bearer, cx.server.name.clone(), LIFETIME))
}
