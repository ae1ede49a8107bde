//! Verified events that wait for events they name: `room_pending` and `room_awaited`.

use ruma::{EventId, OwnedEventId, ServerName};
use skerry_core::Pdu;

use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// How many wait.
pub async fn count(sql: &dyn Sql, scope: i64) -> Result<u64> {
    let stmt = Stmt::new("SELECT count(*) FROM room_pending WHERE scope = ?").bind(scope);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// An event of a server waits for others.
pub fn insert(
    scope: i64,
    event: &Pdu,
    server: &ServerName,
    awaited: &[OwnedEventId],
    now_ms: u64,
) -> Result<[Stmt; 3]> {
    let event_id = &*event.event_id;
    let awaited = serde_json::to_string(awaited)?;
    let row = Stmt::new(
        "INSERT INTO room_pending (scope, event_id, received_ms, server, awaited, json) \
         VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (scope, event_id) DO UPDATE SET awaited = excluded.awaited",
    )
    .bind(scope)
    .bind(event_id.as_str())
    .bind(now_ms)
    .bind(server.as_str())
    .bind(awaited.as_str())
    .bind(&*event.json);
    let waits = Stmt::new(
        "INSERT OR IGNORE INTO room_awaited (scope, event_id, awaited_by) \
         SELECT ?, value, ? FROM json_each(?)",
    )
    .bind(scope)
    .bind(event_id.as_str())
    .bind(awaited);
    Ok([remove_waits(scope, event_id), row, waits])
}

/// By what the row of the event says that it waits for: that is to be there still.
fn remove_waits(scope: i64, event_id: &EventId) -> Stmt {
    Stmt::new(
        "DELETE FROM room_awaited WHERE scope = ? AND awaited_by = ? AND event_id IN \
         (SELECT j.value FROM room_pending p CROSS JOIN json_each(p.awaited) j \
         WHERE p.scope = ? AND p.event_id = ?)",
    )
    .bind(scope)
    .bind(event_id.as_str())
    .bind(scope)
    .bind(event_id.as_str())
}

/// An event waits no longer.
pub fn remove(scope: i64, event_id: &EventId) -> [Stmt; 2] {
    let event = Stmt::new("DELETE FROM room_pending WHERE scope = ? AND event_id = ?")
        .bind(scope)
        .bind(event_id.as_str());
    [remove_waits(scope, event_id), event]
}

/// The event that waited the longest of those of the server that has the most waiting.
pub async fn find_excess(sql: &dyn Sql, scope: i64) -> Result<Option<OwnedEventId>> {
    let stmt = Stmt::new(
        "SELECT event_id FROM room_pending WHERE scope = ? AND server = \
         (SELECT server FROM room_pending WHERE scope = ? GROUP BY server \
         ORDER BY count(*) DESC LIMIT 1) ORDER BY received_ms LIMIT 1",
    )
    .bind(scope)
    .bind(scope);
    sql.row(stmt).await?.map(event_id).transpose()
}

/// The events that wait for this one: ID and PDU.
pub async fn list_waiting(
    sql: &dyn Sql,
    scope: i64,
    awaited: &EventId,
) -> Result<Vec<(OwnedEventId, String)>> {
    let stmt = Stmt::new(
        "SELECT p.event_id, p.json FROM room_awaited a JOIN room_pending p \
         ON p.scope = a.scope AND p.event_id = a.awaited_by \
         WHERE a.scope = ? AND a.event_id = ?",
    )
    .bind(scope)
    .bind(awaited.as_str());
    let read = |mut row: Row| {
        let json = row.take(1)?;
        Ok((event_id(row)?, json))
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

fn event_id(mut row: Row) -> Result<OwnedEventId> {
    let text: String = row.take(0)?;
    EventId::parse(text).map_err(Error::internal)
}
