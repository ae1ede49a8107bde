//! Tokens by which others are told who somebody is: `user_openid_tokens`.

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// When a token ends.
pub async fn find(sql: &dyn Sql, scope: i64, token_hash: &str) -> Result<Option<u64>> {
    let stmt = Stmt::new(
        "SELECT expires_at_ms FROM user_openid_tokens WHERE scope = ? AND token_hash = ?",
    )
    .bind(scope)
    .bind(token_hash);
    sql.row(stmt).await?.map(|mut row| row.take(0)).transpose()
}

/// Stores a token.
pub fn upsert(scope: i64, token_hash: &str, expires_at_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO user_openid_tokens (scope, token_hash, expires_at_ms) VALUES (?, ?, ?) \
         ON CONFLICT (scope, token_hash) DO UPDATE SET expires_at_ms = excluded.expires_at_ms",
    )
    .bind(scope)
    .bind(token_hash)
    .bind(expires_at_ms)
}

/// Removes the tokens that have ended, and of the others those that end first, if there are more
/// than so many.
pub fn remove_surplus(scope: i64, now_ms: u64, kept: u64) -> Stmt {
    Stmt::new(
        "DELETE FROM user_openid_tokens WHERE scope = ? AND (expires_at_ms <= ? OR token_hash \
         NOT IN (SELECT token_hash FROM user_openid_tokens WHERE scope = ? \
         ORDER BY expires_at_ms DESC LIMIT ?))",
    )
    .bind(scope)
    .bind(now_ms)
    .bind(scope)
    .bind(kept)
}

/// Removes all tokens.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_openid_tokens WHERE scope = ?").bind(scope)
}
