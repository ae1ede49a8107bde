//! One-time keys and fallback keys: `user_one_time_keys`, `user_fallback_keys`.

use std::collections::BTreeMap;

use ruma::{DeviceId, OwnedDeviceId};
use skerry_core::{device_keys::upload::OneTimeKey, gather::Gather as _};

use crate::{
    Result,
    ports::{Row, Sql, Stmt},
};

fn key(mut row: Row) -> Result<OneTimeKey> {
    Ok(OneTimeKey { algorithm: row.take(0)?, key_id: row.take(1)?, json: row.take(2)? })
}

/// Of keys, those whose names the device has used, and whether they were claimed.
pub async fn list_named(
    sql: &dyn Sql,
    scope: i64,
    device_id: &DeviceId,
    keys: &[OneTimeKey],
) -> Result<Vec<(OneTimeKey, bool)>> {
    let names: Vec<_> = keys.iter().map(|it| [&it.algorithm, &it.key_id]).collect();
    let stmt = Stmt::new(
        "SELECT algorithm, key_id, json, is_claimed FROM user_one_time_keys \
         WHERE scope = ? AND device_id = ? AND (algorithm, key_id) IN \
         (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(serde_json::to_string(&names)?);
    let read = |mut row: Row| Ok((row.take(3)?, row)).and_then(|(it, row)| Ok((key(row)?, it)));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// How many keys of each algorithm nobody has claimed.
pub async fn count(
    sql: &dyn Sql,
    scope: i64,
    device_id: &DeviceId,
) -> Result<BTreeMap<String, u64>> {
    let stmt = Stmt::new(
        "SELECT algorithm, count(*) FROM user_one_time_keys \
         WHERE scope = ? AND device_id = ? AND is_claimed = 0 GROUP BY algorithm",
    )
    .bind(scope)
    .bind(device_id.as_str());
    let read = |mut row: Row| Ok((row.take(0)?, row.take(1)?));
    sql.rows(stmt).await?.into_iter().map(read).try_gather()
}

/// The key that was uploaded first of those that nobody has claimed.
pub async fn find_oldest(
    sql: &dyn Sql,
    scope: i64,
    device_id: &DeviceId,
    algorithm: &str,
) -> Result<Option<OneTimeKey>> {
    let stmt = Stmt::new(
        "SELECT algorithm, key_id, json FROM user_one_time_keys WHERE scope = ? \
         AND device_id = ? AND is_claimed = 0 AND algorithm = ? ORDER BY number, key_id LIMIT 1",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(algorithm);
    sql.row(stmt).await?.map(key).transpose()
}

/// Sets keys. `number`: when they come, in the order of uploads.
pub fn upsert_list(
    scope: i64,
    device_id: &DeviceId,
    keys: &[&OneTimeKey],
    number: u64,
) -> Result<Stmt> {
    Ok(Stmt::new(
        "INSERT OR REPLACE INTO user_one_time_keys \
         (scope, device_id, algorithm, key_id, number, is_claimed, json) \
         SELECT ?, ?, json_extract(value, '$.algorithm'), json_extract(value, '$.key_id'), ?, 0, \
         json_extract(value, '$.json') FROM json_each(?)",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(number)
    .bind(serde_json::to_string(keys)?))
}

/// A key is claimed. `number`: when, in the order of claims.
pub fn update_claimed(scope: i64, device_id: &DeviceId, it: &OneTimeKey, number: u64) -> Stmt {
    Stmt::new(
        "UPDATE user_one_time_keys SET is_claimed = 1, number = ? \
         WHERE scope = ? AND device_id = ? AND algorithm = ? AND key_id = ?",
    )
    .bind(number)
    .bind(scope)
    .bind(device_id.as_str())
    .bind(it.algorithm.as_str())
    .bind(it.key_id.as_str())
}

/// Removes claimed keys of a device, save for those that were claimed last.
pub fn remove_surplus(scope: i64, device_id: &DeviceId, kept: u64) -> Stmt {
    Stmt::new(
        "DELETE FROM user_one_time_keys WHERE scope = ? AND device_id = ? \
         AND (algorithm, key_id) IN (SELECT algorithm, key_id FROM user_one_time_keys \
         WHERE scope = ? AND device_id = ? AND is_claimed = 1 \
         ORDER BY number DESC LIMIT -1 OFFSET ?)",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(scope)
    .bind(device_id.as_str())
    .bind(kept)
}

/// Sets fallback keys, each for its algorithm. One that is there already stays as used as it is.
pub fn upsert_fallback(scope: i64, device_id: &DeviceId, keys: &[OneTimeKey]) -> Result<Stmt> {
    Ok(Stmt::new(
        "INSERT INTO user_fallback_keys (scope, device_id, algorithm, key_id, is_used, json) \
         SELECT ?, ?, json_extract(value, '$.algorithm'), json_extract(value, '$.key_id'), 0, \
         json_extract(value, '$.json') FROM json_each(?) WHERE true \
         ON CONFLICT (scope, device_id, algorithm) DO UPDATE SET \
         is_used = is_used AND key_id = excluded.key_id AND json = excluded.json, \
         key_id = excluded.key_id, json = excluded.json",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(serde_json::to_string(keys)?))
}

/// A fallback key, and whether it was used.
pub async fn find_fallback(
    sql: &dyn Sql,
    scope: i64,
    device_id: &DeviceId,
    algorithm: &str,
) -> Result<Option<(OneTimeKey, bool)>> {
    let stmt = Stmt::new(
        "SELECT algorithm, key_id, json, is_used FROM user_fallback_keys \
         WHERE scope = ? AND device_id = ? AND algorithm = ?",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(algorithm);
    let Some(mut row) = sql.row(stmt).await? else { return Ok(None) };
    let is_used = row.take(3)?;
    Ok(Some((key(row)?, is_used)))
}

/// The algorithms of which a fallback key has not been used.
pub async fn list_unused_fallback(
    sql: &dyn Sql,
    scope: i64,
    device_id: &DeviceId,
) -> Result<Vec<String>> {
    let stmt = Stmt::new(
        "SELECT algorithm FROM user_fallback_keys \
         WHERE scope = ? AND device_id = ? AND is_used = 0",
    )
    .bind(scope)
    .bind(device_id.as_str());
    sql.rows(stmt).await?.into_iter().map(|mut row| row.take(0)).collect()
}

/// Of how many algorithms there are fallback keys.
pub async fn count_fallback(sql: &dyn Sql, scope: i64, device_id: &DeviceId) -> Result<u64> {
    let stmt =
        Stmt::new("SELECT count(*) FROM user_fallback_keys WHERE scope = ? AND device_id = ?")
            .bind(scope)
            .bind(device_id.as_str());
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// A fallback key is used.
pub fn update_used(scope: i64, device_id: &DeviceId, algorithm: &str) -> Stmt {
    Stmt::new(
        "UPDATE user_fallback_keys SET is_used = 1 \
         WHERE scope = ? AND device_id = ? AND algorithm = ?",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(algorithm)
}

/// Removes all keys of devices.
pub fn remove_list(scope: i64, device_ids: &[OwnedDeviceId]) -> Result<[Stmt; 2]> {
    let device_ids = serde_json::to_string(device_ids)?;
    Ok([
        "DELETE FROM user_one_time_keys WHERE scope = ? \
         AND device_id IN (SELECT value FROM json_each(?))",
        "DELETE FROM user_fallback_keys WHERE scope = ? \
         AND device_id IN (SELECT value FROM json_each(?))",
    ]
    .map(|sql| Stmt::new(sql).bind(scope).bind(device_ids.as_str())))
}
