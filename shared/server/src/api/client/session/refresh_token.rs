//! `POST /_matrix/client/*/refresh` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3refresh

use ruma::api::client::session::refresh_token::v3::{Request, Response};
use skerry_core::token::{self, TokenKind};

use super::{Refreshing, generate};
use crate::{
    Error, Result,
    api::{Cx, access::change_account},
    messages::user::Refresh,
};

/// Gives new tokens for a refresh token. What they replace stays valid until they are used, so
/// that a client that never received them can ask again.
pub async fn refresh_token(cx: Cx, request: Request) -> Result<Response> {
    let Some(user_id) = TokenKind::Refresh.user_named(&request.refresh_token, &cx.server.name)
    else {
        return Err(Error::unknown_token(false, "the refresh token is unknown or was used"));
    };
    let (new, tokens) = generate(&cx, &user_id, Refreshing::After(&request.refresh_token))?;
    let refresh_hash = token::hash_refresh(&request.refresh_token);
    change_account(&cx, &user_id, Refresh { refresh_hash, tokens }).await?;
    let mut response = Response::new(new.access_token);
    response.refresh_token = new.refresh_token;
    response.expires_in_ms = new.expires_in;
    Ok(response)
}
