//! Messages to devices: `user_to_device`, which have come: `user_to_device_seen`, and how many went
//! unread: `user_dropped_messages`.

use ruma::{DeviceId, OwnedDeviceId};
use skerry_core::to_device::Size;

use crate::{
    Result,
    messages::user::StreamPosition,
    ports::{Row, Sql, Stmt},
};

fn bytes(row: &mut Row, index: usize) -> Result<usize> {
    Ok(usize::try_from(row.take::<u64>(index)?).unwrap_or(usize::MAX))
}

/// What waits for each device.
pub async fn list_sizes(sql: &dyn Sql, scope: i64) -> Result<Vec<(OwnedDeviceId, Size)>> {
    let stmt = Stmt::new(
        "SELECT device_id, count(*), sum(bytes) FROM user_to_device WHERE scope = ? \
         GROUP BY device_id",
    )
    .bind(scope);
    let size = |mut row: Row| {
        let size = Size { messages: bytes(&mut row, 1)?, bytes: bytes(&mut row, 2)? };
        Ok((row.take::<String>(0)?.into(), size))
    };
    sql.rows(stmt).await?.into_iter().map(size).collect()
}

/// The first messages of a device behind a position, and where each stands.
pub async fn list_after(
    sql: &dyn Sql,
    scope: i64,
    device_id: &DeviceId,
    after: StreamPosition,
    limit: usize,
) -> Result<Vec<(StreamPosition, String)>> {
    let stmt = Stmt::new(
        "SELECT seq, event FROM user_to_device WHERE scope = ? AND device_id = ? AND seq > ? \
         ORDER BY seq LIMIT ?",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(after)
    .bind(limit as u64);
    let event = |mut row: Row| Ok((row.take(0)?, row.take(1)?));
    sql.rows(stmt).await?.into_iter().map(event).collect()
}

/// Where the first messages of a device stand, and the bytes of each.
pub async fn list_first_sizes(
    sql: &dyn Sql,
    scope: i64,
    device_id: &DeviceId,
    limit: usize,
) -> Result<Vec<(StreamPosition, usize)>> {
    let stmt = Stmt::new(
        "SELECT seq, bytes FROM user_to_device WHERE scope = ? AND device_id = ? \
         ORDER BY seq LIMIT ?",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(limit as u64);
    let size = |mut row: Row| Ok((row.take(0)?, bytes(&mut row, 1)?));
    sql.rows(stmt).await?.into_iter().map(size).collect()
}

/// Stores a message for each of some devices.
pub fn insert(
    scope: i64,
    device_ids: &[OwnedDeviceId],
    seq: StreamPosition,
    event: &str,
) -> Result<Stmt> {
    Ok(Stmt::new(
        "INSERT INTO user_to_device (scope, device_id, seq, bytes, event) \
         SELECT ?, value, ?, ?, ? FROM json_each(?)",
    )
    .bind(scope)
    .bind(seq)
    .bind(event.len() as u64)
    .bind(event)
    .bind(serde_json::to_string(device_ids)?))
}

/// Removes the messages of a device up to a position, and gives the bytes of each.
pub fn remove_until(scope: i64, device_id: &DeviceId, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "DELETE FROM user_to_device WHERE scope = ? AND device_id = ? AND seq <= ? \
         RETURNING bytes",
    )
    .bind(scope)
    .bind(device_id.as_str())
    .bind(seq)
}

/// Of what [`remove_until`] has removed.
pub fn removed(rows: Vec<Row>) -> Result<Size> {
    let mut size = Size::default();
    for mut row in rows {
        size += Size::of(bytes(&mut row, 0)?);
    }
    Ok(size)
}

/// Removes all messages of devices.
pub fn remove_of(scope: i64, device_ids: &[OwnedDeviceId]) -> Result<Stmt> {
    Ok(Stmt::new(
        "DELETE FROM user_to_device WHERE scope = ? \
         AND device_id IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(device_ids)?))
}

/// Removes all messages, and what is known of those that have come or gone.
pub fn remove_all(scope: i64) -> [Stmt; 3] {
    [
        Stmt::new("DELETE FROM user_dropped_messages WHERE scope = ?").bind(scope),
        Stmt::new("DELETE FROM user_to_device WHERE scope = ?").bind(scope),
        Stmt::new("DELETE FROM user_to_device_seen WHERE scope = ?").bind(scope),
    ]
}

/// What has gone because too much waited, in all.
pub async fn find_dropped(sql: &dyn Sql, scope: i64) -> Result<Size> {
    let stmt = Stmt::new("SELECT messages, bytes FROM user_dropped_messages WHERE scope = ?");
    let Some(mut row) = sql.row(stmt.bind(scope)).await? else { return Ok(Size::default()) };
    Ok(Size { messages: bytes(&mut row, 0)?, bytes: bytes(&mut row, 1)? })
}

/// So much has gone in all.
pub fn upsert_dropped(scope: i64, sum: Size) -> Stmt {
    Stmt::new(
        "INSERT INTO user_dropped_messages (scope, messages, bytes) VALUES (?, ?, ?) \
         ON CONFLICT (scope) DO UPDATE SET messages = excluded.messages, bytes = excluded.bytes",
    )
    .bind(scope)
    .bind(sum.messages as u64)
    .bind(sum.bytes as u64)
}

/// How many messages are known to have come.
pub async fn count_seen(sql: &dyn Sql, scope: i64) -> Result<u64> {
    let stmt = Stmt::new("SELECT count(*) FROM user_to_device_seen WHERE scope = ?").bind(scope);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// Which of these have come.
pub async fn list_seen(sql: &dyn Sql, scope: i64, keys: &[String]) -> Result<Vec<String>> {
    let stmt = Stmt::new(
        "SELECT key FROM user_to_device_seen WHERE scope = ? \
         AND key IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(keys)?);
    sql.rows(stmt).await?.into_iter().map(|mut row| row.take(0)).collect()
}

/// These have come; it is to be known until then.
pub fn insert_seen(scope: i64, seen: &[(String, u64)]) -> Result<Stmt> {
    Ok(Stmt::new(
        "INSERT INTO user_to_device_seen (scope, key, until_ms) \
         SELECT ?, value ->> 0, value ->> 1 FROM json_each(?)",
    )
    .bind(scope)
    .bind(serde_json::to_string(seen)?))
}

/// Forgets what need not be known any longer.
pub fn remove_seen(scope: i64, now_ms: u64) -> Stmt {
    Stmt::new("DELETE FROM user_to_device_seen WHERE scope = ? AND until_ms <= ?")
        .bind(scope)
        .bind(now_ms)
}

/// Forgets so many, those first that need to be known least long.
pub fn remove_first_seen(scope: i64, count: u64) -> Stmt {
    Stmt::new(
        "DELETE FROM user_to_device_seen WHERE scope = ? AND key IN \
         (SELECT key FROM user_to_device_seen WHERE scope = ? ORDER BY until_ms LIMIT ?)",
    )
    .bind(scope)
    .bind(scope)
    .bind(count)
}
