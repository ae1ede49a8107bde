//! Access and refresh tokens: `user_tokens`. What they mean is decided in
//! [`skerry_core::sessions`].

use skerry_core::sessions::TokenPair;

use crate::{
    Result,
    ports::{Row, Sql, Stmt},
};

/// All pairs.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<TokenPair>> {
    let stmt = Stmt::new(
        "SELECT access_hash, refresh_hash, device_id, expires_at_ms, is_unconfirmed \
         FROM user_tokens WHERE scope = ?",
    )
    .bind(scope);
    let pair = |mut row: Row| {
        Ok(TokenPair {
            access_hash: row.take(0)?,
            refresh_hash: row.take(1)?,
            device_id: row.take::<String>(2)?.into(),
            expires_at_ms: row.take(3)?,
            is_unconfirmed: row.take(4)?,
        })
    };
    sql.rows(stmt).await?.into_iter().map(pair).collect()
}

/// Sets a pair.
pub fn upsert(scope: i64, it: &TokenPair) -> Stmt {
    Stmt::new(
        "INSERT INTO user_tokens (scope, access_hash, refresh_hash, device_id, expires_at_ms, \
         is_unconfirmed) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (scope, access_hash) DO UPDATE SET \
         refresh_hash = excluded.refresh_hash, device_id = excluded.device_id, \
         expires_at_ms = excluded.expires_at_ms, is_unconfirmed = excluded.is_unconfirmed",
    )
    .bind(scope)
    .bind(it.access_hash.as_str())
    .bind(it.refresh_hash.as_deref())
    .bind(it.device_id.as_str())
    .bind(it.expires_at_ms)
    .bind(it.is_unconfirmed)
}

/// Removes pairs, by the hashes of their access tokens.
pub fn remove_list(scope: i64, access_hashes: &[String]) -> Result<Stmt> {
    Ok(Stmt::new(
        "DELETE FROM user_tokens WHERE scope = ? \
         AND access_hash IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(access_hashes)?))
}

/// Removes all pairs.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_tokens WHERE scope = ?").bind(scope)
}
