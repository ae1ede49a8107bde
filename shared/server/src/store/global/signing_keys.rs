//! The keys that sign this server's events. Their seeds leave this table only as a
//! [`SigningKey`], which is never printed.

use skerry_core::{SigningKey, server_keys::published::OldKey};

use crate::{
    Error, Result,
    ports::{Sql, Stmt},
};

/// The key in use, which is the newest, and those that were: each until the next one was made.
pub async fn find(global: &dyn Sql) -> Result<Option<(SigningKey, Vec<OldKey>)>> {
    let find = Stmt::new(
        "SELECT seed, version, created_at_ms FROM signing_keys ORDER BY created_at_ms DESC, version",
    );
    let mut in_use = None;
    let mut old_keys = Vec::new();
    let mut expired_ms = 0;
    for mut row in global.rows(find).await? {
        let (seed, version) = (row.take::<String>(0)?, row.take::<String>(1)?);
        let key = SigningKey::from_base64(&seed, &version).map_err(Error::internal)?;
        if in_use.is_none() {
            in_use = Some(key);
        } else {
            let (id, public_base64) = (key.id().to_owned(), key.public_base64());
            old_keys.push(OldKey { id, public_base64, expired_ms });
        }
        expired_ms = row.take(2)?;
    }
    Ok(in_use.map(|it| (it, old_keys)))
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
