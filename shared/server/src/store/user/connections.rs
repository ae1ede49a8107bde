//! Connections of sliding sync: `user_connections`. One is one row, which is written whenever its
//! client is given something.

use ruma::{DeviceId, OwnedDeviceId};

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// The state of a connection, JSON.
pub async fn find(
    sql: &dyn Sql,
    scope: i64,
    device_id: &DeviceId,
    conn_id: &str,
) -> Result<Option<String>> {
    let stmt = Stmt::new(
        "SELECT state FROM user_connections WHERE scope = ? AND device_id = ? AND conn_id = ?",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(conn_id);
    sql.row(stmt).await?.map(|mut row| row.take(0)).transpose()
}

/// Sets the state of a connection.
pub fn upsert(
    scope: i64,
    (device_id, conn_id): (&DeviceId, &str),
    used_us: u64,
    state: String,
) -> Stmt {
    Stmt::new(
        "INSERT INTO user_connections (scope, device_id, conn_id, used_us, state) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, device_id, conn_id) DO UPDATE SET \
         used_us = excluded.used_us, state = excluded.state",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(conn_id)
    .bind(used_us)
    .bind(state)
}

/// Removes connections of a device but the newest.
pub fn remove_surplus(scope: i64, device_id: &DeviceId, kept: u64) -> Stmt {
    Stmt::new(
        "DELETE FROM user_connections WHERE scope = ? AND device_id = ? AND conn_id IN \
         (SELECT conn_id FROM user_connections WHERE scope = ? AND device_id = ? \
         ORDER BY used_us DESC LIMIT -1 OFFSET ?)",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(scope)
    .bind(device_id.as_str())
    .bind(kept)
}

/// Removes the connections of devices.
pub fn remove_of(scope: i64, device_ids: &[OwnedDeviceId]) -> Result<Stmt> {
    Ok(Stmt::new(
        "DELETE FROM user_connections WHERE scope = ? \
         AND device_id IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(device_ids)?))
}

/// Removes all connections.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_connections WHERE scope = ?").bind(scope)
}
