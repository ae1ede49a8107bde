//! The keys of other servers, and the newest answer of each in which it has published them.

use ruma::ServerName;
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::server_keys::MAX_KEPT;

use crate::{
    Error, Result,
    messages::{RawJson, ServerKey},
    ports::{Sql, Stmt},
};

/// The keys of a server.
pub async fn list(global: &dyn Sql, server: &ServerName) -> Result<Vec<ServerKey>> {
    let list = Stmt::new(
        "SELECT key_id, public_key, valid_until_ms, expired_ms FROM server_keys \
         WHERE server_name = ?",
    );
    let rows = global.rows(list.bind(server.as_str())).await?;
    let keys = rows.into_iter().map(|mut row| {
        Ok(ServerKey {
            server: server.to_owned(),
            key_id: row.take::<String>(0)?.try_into().map_err(Error::internal)?,
            key: row.take(1)?,
            valid_until_ms: row.take(2)?,
            expired_ms: row.take(3)?,
        })
    });
    keys.collect()
}

/// Stores a key, as its server publishes it or as a notary knows it. Of the latter, what the server
/// has said later counts.
pub fn upsert(key: &ServerKey, is_own_word: bool) -> Stmt {
    Stmt::new(
        "INSERT INTO server_keys (server_name, key_id, public_key, valid_until_ms, expired_ms) \
         VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (server_name, key_id) DO UPDATE SET \
             public_key = excluded.public_key, valid_until_ms = excluded.valid_until_ms, \
             expired_ms = excluded.expired_ms \
         WHERE ? OR excluded.valid_until_ms > valid_until_ms",
    )
    .bind(key.server.as_str())
    .bind(key.key_id.as_str())
    .bind(key.key.as_str())
    .bind(key.valid_until_ms)
    .bind(key.expired_ms)
    .bind(is_own_word)
}

/// Removes all keys of a server but the [`MAX_KEPT`] that were valid last.
pub fn remove_excess(server: &ServerName) -> Stmt {
    Stmt::new(
        "DELETE FROM server_keys WHERE server_name = ? AND key_id IN (\
             SELECT key_id FROM server_keys WHERE server_name = ? \
             ORDER BY valid_until_ms DESC, key_id LIMIT -1 OFFSET ?)",
    )
    .bind(server.as_str())
    .bind(server.as_str())
    .bind(u64::try_from(MAX_KEPT).unwrap_or(u64::MAX))
}

/// The newest answer of a server, and until when it is valid.
pub async fn find_answer(global: &dyn Sql, server: &ServerName) -> Result<Option<(RawJson, u64)>> {
    let find =
        Stmt::new("SELECT json, valid_until_ms FROM server_key_answers WHERE server_name = ?");
    let Some(mut row) = global.row(find.bind(server.as_str())).await? else { return Ok(None) };
    Ok(Some((RawJsonValue::from_string(row.take(0)?)?, row.take(1)?)))
}

/// Stores the newest answer of a server.
pub fn upsert_answer(server: &ServerName, json: &RawJsonValue, valid_until_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO server_key_answers (server_name, json, valid_until_ms) VALUES (?, ?, ?) \
         ON CONFLICT (server_name) DO UPDATE SET \
             json = excluded.json, valid_until_ms = excluded.valid_until_ms \
         WHERE excluded.valid_until_ms >= valid_until_ms",
    )
    .bind(server.as_str())
    .bind(json.get())
    .bind(valid_until_ms)
}
