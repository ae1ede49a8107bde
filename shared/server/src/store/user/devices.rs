//! Devices: `user_devices`.

use ruma::{DeviceId, OwnedDeviceId};

use crate::{
    Result,
    messages::user::Device,
    ports::{Row, Sql, Stmt},
};

/// Columns of [`Device`], in order.
macro_rules! columns {
    () => {
        "device_id, display_name, last_seen_ms, last_seen_ip"
    };
}

fn device(mut row: Row) -> Result<Device> {
    Ok(Device {
        device_id: row.take::<String>(0)?.into(),
        display_name: row.take(1)?,
        last_seen_ms: row.take(2)?,
        last_seen_ip: row.take(3)?,
    })
}

/// One device.
pub async fn find(sql: &dyn Sql, scope: i64, device_id: &DeviceId) -> Result<Option<Device>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM user_devices WHERE scope = ? AND device_id = ?"
    ))
    .bind(scope)
    .bind(device_id.as_str());
    sql.row(stmt).await?.map(device).transpose()
}

/// All devices.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<Device>> {
    let stmt =
        Stmt::new(concat!("SELECT ", columns!(), " FROM user_devices WHERE scope = ?")).bind(scope);
    sql.rows(stmt).await?.into_iter().map(device).collect()
}

/// Sets a device.
pub fn upsert(scope: i64, it: &Device) -> Stmt {
    Stmt::new(
        "INSERT INTO user_devices (scope, device_id, display_name, last_seen_ms, last_seen_ip) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, device_id) DO UPDATE SET \
         display_name = excluded.display_name, last_seen_ms = excluded.last_seen_ms, \
         last_seen_ip = excluded.last_seen_ip",
    )
    .bind(scope)
    .bind(it.device_id.as_str())
    .bind(it.display_name.clone())
    .bind(it.last_seen_ms)
    .bind(it.last_seen_ip.clone())
}

/// Removes devices.
pub fn remove_list(scope: i64, device_ids: &[OwnedDeviceId]) -> Result<Stmt> {
    Ok(Stmt::new(
        "DELETE FROM user_devices WHERE scope = ? \
         AND device_id IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(device_ids)?))
}

/// Removes all devices.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_devices WHERE scope = ?").bind(scope)
}
