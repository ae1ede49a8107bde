//! Tokens by which the user's client has others told who it is of ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#openid

use super::{User, limits};
use crate::{
    Result, messages::user::MakeOpenIdToken, objects::agenda::AgendaPlan,
    store::user::openid_tokens,
};

impl User {
    /// Keeps a token, by its hash.
    pub(super) async fn make_openid_token(&self, it: MakeOpenIdToken) -> Result<()> {
        let MakeOpenIdToken { token_hash, expires_at_ms } = it;
        let mut state = self.lock_in_use().await?;
        let (scope, now_ms) = (self.scope(), self.host.clock().now_ms());
        let stmts = vec![
            openid_tokens::upsert(scope, &token_hash, expires_at_ms),
            openid_tokens::remove_surplus(scope, now_ms, limits::OPENID_TOKENS),
        ];
        self.write(&mut state, stmts, AgendaPlan::default()).await
    }

    /// Whether a token is one of the user's, and has not ended.
    pub(super) async fn has_openid_token(&self, token_hash: &str) -> Result<bool> {
        let _state = self.lock().await?;
        let expires_at_ms = openid_tokens::find(self.sql(), self.scope(), token_hash).await?;
        Ok(expires_at_ms.is_some_and(|it| it > self.host.clock().now_ms()))
    }
}
