//! `POST /_matrix/client/*/refresh` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3refresh

use ruma::{
    UserId,
    api::client::session::refresh_token::v3::{Request, Response},
};

use super::{Hashes, generate};
use crate::{Error, Result, api::Cx, messages::Caller, store::global::tokens};

/// Gives new tokens for a refresh token. What they replace stays valid until they are used, so
/// that a client that never received them can ask again.
pub async fn refresh_token(cx: Cx, request: Request) -> Result<Response> {
    let global = &*cx.ports.global;
    let used_hash = tokens::hash(&request.refresh_token);
    let found = tokens::find_refresh_token(global, &used_hash).await?.ok_or_else(unknown)?;
    let user_id = UserId::parse(found.user_id.as_str()).map_err(Error::internal)?;
    let caller = Caller { user_id, device_id: found.device_id.as_str().into() };
    let opened = generate(&cx, caller.device_id.clone(), true)?;
    let hashes = Hashes::of(&cx, &opened);
    let mut batch = tokens::use_refresh_token(&found, &used_hash);
    batch.extend(tokens::insert_refreshed(&hashes.session(&caller), &used_hash));
    let returned = global.batch(batch).await?;
    if returned.last().is_none_or(Vec::is_empty) {
        return Err(unknown());
    }
    let mut response = Response::new(opened.access_token);
    response.refresh_token = opened.refresh_token;
    response.expires_in_ms = opened.expires_in;
    Ok(response)
}

fn unknown() -> Error {
    Error::unknown_token(false, "the refresh token is unknown or was used")
}
