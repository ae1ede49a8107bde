//! `GET /_matrix/federation/v1/openid/userinfo` ([spec])
//!
//! Anybody may ask who has a user's token: it is what the token is for.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1openiduserinfo

use ruma::{
    OwnedUserId,
    api::federation::openid::get_openid_userinfo::v1::{Request, Response},
};
use skerry_core::{
    rate_limits::Bucket,
    token::{self, TokenKind},
};

use crate::{
    Error, Result,
    api::{Client, Cx, counted::count_unknown_token, mount::Routes},
    messages::user::HasOpenIdToken,
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_openid_userinfo)
}

async fn get_openid_userinfo(cx: Cx, client: Client, request: Request) -> Result<Response> {
    let address = client.counted_address();
    cx.ports.limiter.check(Bucket::UnknownTokens, &address)?;
    let found = find(&cx, &request.access_token).await?;
    let found =
        found.ok_or_else(|| Error::unknown_token(false, "the token is unknown, or has expired"));
    if let Err(error) = &found {
        count_unknown_token(&cx, &address, error).await;
    }
    found.map(Response::new)
}

/// Whose token it is.
async fn find(cx: &Cx, text: &str) -> Result<Option<OwnedUserId>> {
    let Some(user_id) = TokenKind::OpenId.user_named(text, &cx.server.name) else {
        return Ok(None);
    };
    let question = HasOpenIdToken { token_hash: token::hash(text) };
    let is_theirs = cx.ports.objects.ask(&*user_id, question).await?;
    Ok(is_theirs.then_some(user_id))
}
