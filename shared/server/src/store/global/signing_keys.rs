//! The keys that sign this server's events. Their seeds leave this table only as a
//! [`SigningKey`], which is never printed.

use skerry_core::SigningKey;

use crate::{
    Error, Result,
    ports::{Sql, Stmt},
};

/// The key in use: the newest.
pub async fn find(global: &dyn Sql) -> Result<Option<SigningKey>> {
    let find = Stmt::new(
        "SELECT seed, version FROM signing_keys ORDER BY created_at_ms DESC, version LIMIT 1",
    );
    let Some(mut row) = global.row(find).await? else { return Ok(None) };
    let (seed, version) = (row.take::<String>(0)?, row.take::<String>(1)?);
    SigningKey::from_base64(&seed, &version).map(Some).map_err(Error::internal)
}

/// The first key. Not inserted when there is one: two starts at once agree on one key.
pub fn insert_first(key: &SigningKey, now_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO signing_keys (version, seed, created_at_ms) \
         SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM signing_keys)",
    )
    .bind(key.version())
    .bind(key.to_base64().as_str())
    .bind(now_ms)
}
