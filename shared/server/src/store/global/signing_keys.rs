//! The keys that sign this server's events. Their seeds leave this table only as a
//! [`SigningKey`], which is never printed.

use skerry_core::SigningKey;

use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// All keys, each with the time at which it was made, the newest first.
pub async fn list(global: &dyn Sql) -> Result<Vec<(SigningKey, u64)>> {
    let list = Stmt::new(
        "SELECT seed, version, created_at_ms FROM signing_keys ORDER BY created_at_ms DESC, version",
    );
    let read = |mut row: Row| -> Result<(SigningKey, u64)> {
        let (seed, version) = (row.take::<String>(0)?, row.take::<String>(1)?);
        let key = SigningKey::from_base64(&seed, &version).map_err(Error::internal)?;
        Ok((key, row.take(2)?))
    };
    let rows = global.rows(list).await?.into_iter();
    Ok(rows.filter_map(|row| read(row).inspect_err(|_| log_useless()).ok()).collect())
}

/// An operator has written it by hand. The error may quote what is secret.
fn log_useless() {
    tracing::error!("a row of `signing_keys` is no key and is passed over: remove it");
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

/// A further key. It is younger than all others, whatever the clock says.
pub fn insert(key: &SigningKey, now_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO signing_keys (version, seed, created_at_ms) \
         SELECT ?, ?, max(?, coalesce(max(created_at_ms) + 1, 0)) FROM signing_keys",
    )
    .bind(key.version())
    .bind(key.to_base64().as_str())
    .bind(now_ms)
}
