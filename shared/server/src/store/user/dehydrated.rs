//! The dehydrated device: `user_dehydrated_device`.

use ruma::{DeviceId, OwnedDeviceId};

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// Which device it is, and what its client needs to take it up, if there is one.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<Option<(OwnedDeviceId, String)>> {
    let stmt = Stmt::new("SELECT device_id, data FROM user_dehydrated_device WHERE scope = ?");
    let Some(mut row) = sql.row(stmt.bind(scope)).await? else { return Ok(None) };
    Ok(Some((row.take::<String>(0)?.into(), row.take(1)?)))
}

/// Which device it is, if there is one.
pub async fn find_id(sql: &dyn Sql, scope: i64) -> Result<Option<OwnedDeviceId>> {
    let stmt = Stmt::new("SELECT device_id FROM user_dehydrated_device WHERE scope = ?");
    let row = sql.row(stmt.bind(scope)).await?;
    row.map(|mut row| Ok(row.take::<String>(0)?.into())).transpose()
}

/// Sets it.
pub fn upsert(scope: i64, device_id: &DeviceId, data: &str) -> Stmt {
    Stmt::new(
        "INSERT INTO user_dehydrated_device (scope, device_id, data) VALUES (?, ?, ?) \
         ON CONFLICT (scope) DO UPDATE SET device_id = excluded.device_id, data = excluded.data",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(data)
}

/// There is none.
pub fn remove(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_dehydrated_device WHERE scope = ?").bind(scope)
}
