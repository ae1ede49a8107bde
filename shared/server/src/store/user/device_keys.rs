//! The keys of devices: `user_device_keys`.

use ruma::{DeviceId, OwnedDeviceId};
use skerry_core::device_keys::cross_signing::CrossSigningKeys;

use super::cross_signing;
use crate::{
    Result,
    messages::user::StreamPosition,
    ports::{Row, Sql, Stmt},
};

/// The keys of a device.
#[derive(Clone, Debug)]
pub struct DeviceKeys {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// Its keys; none: it is gone.
    pub json: Option<String>,
    /// Its name.
    pub display_name: Option<String>,
    /// When in the stream they changed.
    pub seq: StreamPosition,
}

fn device_keys(mut row: Row) -> Result<DeviceKeys> {
    Ok(DeviceKeys {
        device_id: row.take::<String>(0)?.into(),
        json: row.take(1)?,
        display_name: row.take(2)?,
        seq: row.take(3)?,
    })
}

/// The keys of one device.
pub async fn find(sql: &dyn Sql, scope: i64, device_id: &DeviceId) -> Result<Option<String>> {
    let stmt = Stmt::new(
        "SELECT json FROM user_device_keys \
         WHERE scope = ? AND device_id = ? AND json IS NOT NULL",
    )
    .bind(scope)
    .bind(device_id.as_str());
    sql.row(stmt).await?.map(|mut row| row.take(0)).transpose()
}

/// The keys of all devices, and devices that are gone, as far as they changed after a position.
pub async fn list_since(
    sql: &dyn Sql,
    scope: i64,
    since: StreamPosition,
) -> Result<Vec<DeviceKeys>> {
    let stmt = Stmt::new(
        "SELECT k.device_id, k.json, d.display_name, k.seq FROM user_device_keys k \
         LEFT JOIN user_devices d ON d.scope = k.scope AND d.device_id = k.device_id \
         WHERE k.scope = ? AND k.seq > ?",
    )
    .bind(scope)
    .bind(since);
    sql.rows(stmt).await?.into_iter().map(device_keys).collect()
}

/// All that others are given: the keys of all devices, and the cross-signing keys as
/// [`cross_signing::find`] gives them. Rooms ask for it by the thousand.
pub async fn list_published(
    sql: &dyn Sql,
    scope: i64,
) -> Result<(Vec<DeviceKeys>, CrossSigningKeys, StreamPosition)> {
    let stmt = Stmt::new(
        "SELECT k.device_id, k.json, d.display_name, k.seq, 1 FROM user_device_keys k \
         LEFT JOIN user_devices d ON d.scope = k.scope AND d.device_id = k.device_id \
         WHERE k.scope = ? UNION ALL \
         SELECT usage, json, NULL, seq, 0 FROM user_cross_signing_keys WHERE scope = ?",
    )
    .bind(scope)
    .bind(scope);
    let (mut devices, mut signing) = (Vec::new(), Vec::new());
    for mut row in sql.rows(stmt).await? {
        match row.take(4)? {
            true => devices.push(device_keys(row)?),
            false => signing.push((row.take(0)?, row.take(1)?, row.take(3)?)),
        }
    }
    let (keys, newest) = cross_signing::of_rows(signing);
    Ok((devices, keys, newest))
}

/// When any of the user's keys, or signatures by them, changed last.
pub async fn find_newest(sql: &dyn Sql, scope: i64) -> Result<StreamPosition> {
    let stmt = Stmt::new(
        "SELECT max(coalesce((SELECT max(seq) FROM user_device_keys WHERE scope = ?), 0), \
         coalesce((SELECT max(seq) FROM user_cross_signing_keys WHERE scope = ?), 0), \
         coalesce((SELECT max(seq) FROM user_key_signatures WHERE scope = ?), 0))",
    )
    .bind(scope)
    .bind(scope)
    .bind(scope);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// Sets the keys of a device.
pub fn upsert(scope: i64, device_id: &DeviceId, json: &str, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "INSERT INTO user_device_keys (scope, device_id, json, seq) VALUES (?, ?, ?, ?) \
         ON CONFLICT (scope, device_id) DO UPDATE SET json = excluded.json, seq = excluded.seq",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(json)
    .bind(seq)
}

/// Something about devices changed that those are to know who know their keys.
pub fn update_changed(
    scope: i64,
    device_ids: &[OwnedDeviceId],
    seq: StreamPosition,
) -> Result<Stmt> {
    Ok(Stmt::new(
        "UPDATE user_device_keys SET seq = ? WHERE scope = ? AND json IS NOT NULL \
         AND device_id IN (SELECT value FROM json_each(?))",
    )
    .bind(seq)
    .bind(scope)
    .bind(serde_json::to_string(device_ids)?))
}

/// Devices are gone.
pub fn update_gone(scope: i64, device_ids: &[OwnedDeviceId], seq: StreamPosition) -> Result<Stmt> {
    Ok(Stmt::new(
        "UPDATE user_device_keys SET json = NULL, seq = ? WHERE scope = ? AND json IS NOT NULL \
         AND device_id IN (SELECT value FROM json_each(?))",
    )
    .bind(seq)
    .bind(scope)
    .bind(serde_json::to_string(device_ids)?))
}

/// Of devices that are gone, as many are kept as `kept` says: those that went last.
pub fn remove_surplus(scope: i64, kept: u64) -> Stmt {
    Stmt::new(
        "DELETE FROM user_device_keys WHERE scope = ? AND device_id IN ( \
         SELECT device_id FROM user_device_keys WHERE scope = ? AND json IS NULL \
         ORDER BY seq DESC LIMIT -1 OFFSET ?)",
    )
    .bind(scope)
    .bind(scope)
    .bind(kept)
}

/// Removes the keys of all devices.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_device_keys WHERE scope = ?").bind(scope)
}
