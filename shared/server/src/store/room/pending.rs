//! Verified events that wait for events they name: `room_pending` and `room_awaited`.

use ruma::{EventId, OwnedEventId, OwnedServerName, ServerName};
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

/// The servers of which events wait.
pub async fn list_servers(sql: &dyn Sql, scope: i64) -> Result<Vec<OwnedServerName>> {
    let stmt = Stmt::new("SELECT DISTINCT server FROM room_pending WHERE scope = ?").bind(scope);
    let read = |mut row: Row| {
        let server: String = row.take(0)?;
        ServerName::parse(server).map_err(Error::internal)
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// What a server has sent waits no longer.
pub fn remove_of(scope: i64, server: &ServerName) -> [Stmt; 2] {
    let waits = Stmt::new(
        "DELETE FROM room_awaited WHERE scope = ? AND awaited_by IN \
         (SELECT event_id FROM room_pending WHERE scope = ? AND server = ?)",
    )
    .bind(scope)
    .bind(scope)
    .bind(server.as_str());
    let events = Stmt::new("DELETE FROM room_pending WHERE scope = ? AND server = ?")
        .bind(scope)
        .bind(server.as_str());
    [waits, events]
}

/// Nothing waits any longer.
pub fn remove_all(scope: i64) -> [Stmt; 2] {
    ["DELETE FROM room_awaited WHERE scope = ?", "DELETE FROM room_pending WHERE scope = ?"]
        .map(|text| Stmt::new(text).bind(scope))
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

/// Those of these events that wait, or for which others do.
pub async fn list_concerned(
    sql: &dyn Sql,
    scope: i64,
    ids: &[OwnedEventId],
) -> Result<Vec<OwnedEventId>> {
    let stmt = Stmt::new(
        "SELECT j.value FROM json_each(?) j WHERE EXISTS \
         (SELECT 1 FROM room_pending WHERE scope = ? AND event_id = j.value) \
         OR EXISTS (SELECT 1 FROM room_awaited WHERE scope = ? AND event_id = j.value)",
    );
    let stmt = stmt.bind(serde_json::to_string(ids)?).bind(scope).bind(scope);
    super::events::list_ids(sql, stmt).await
}

/// Whether an event (`p`) waits for some that are not here at all, and do not wait themselves.
macro_rules! is_root {
    () => {
        "EXISTS (SELECT 1 FROM json_each(p.awaited) j WHERE NOT EXISTS (SELECT 1 \
         FROM room_pending q WHERE q.scope = p.scope AND q.event_id = j.value))"
    };
}

/// An event that waits for some that are not here at all: what waits for it, waits for these.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its ID.
    pub event_id: OwnedEventId,
    /// The server of its sender.
    pub server: OwnedServerName,
    /// How often others were asked for what it waits for.
    pub tries: u32,
    /// What it waits for.
    pub awaited: Vec<OwnedEventId>,
    /// The PDU.
    pub json: String,
}

/// The event that waits for some that are not here at all, whose time to be asked for has come
/// (milliseconds since the Unix epoch), and that was asked for least.
pub async fn find_root(sql: &dyn Sql, scope: i64, now_ms: u64) -> Result<Option<Root>> {
    let stmt = Stmt::new(concat!(
        "SELECT event_id, server, tries, awaited, json FROM room_pending p \
         WHERE scope = ? AND next_ms <= ? AND ",
        is_root!(),
        " ORDER BY tries, received_ms DESC LIMIT 1",
    ))
    .bind(scope)
    .bind(now_ms);
    sql.row(stmt).await?.map(root).transpose()
}

/// All events that wait for some that are not here at all. Their IDs alone: together they may be
/// more than fits into memory.
pub async fn list_root_ids(sql: &dyn Sql, scope: i64) -> Result<Vec<OwnedEventId>> {
    let stmt =
        Stmt::new(concat!("SELECT event_id FROM room_pending p WHERE scope = ? AND ", is_root!()));
    sql.rows(stmt.bind(scope)).await?.into_iter().map(event_id).collect()
}

/// Those of these events that wait.
pub async fn list(sql: &dyn Sql, scope: i64, ids: &[OwnedEventId]) -> Result<Vec<Root>> {
    let stmt = Stmt::new(
        "SELECT event_id, server, tries, awaited, json FROM room_pending WHERE scope = ? \
         AND event_id IN (SELECT value FROM json_each(?))",
    );
    let stmt = stmt.bind(scope).bind(serde_json::to_string(ids)?);
    sql.rows(stmt).await?.into_iter().map(root).collect()
}

fn root(mut row: Row) -> Result<Root> {
    Ok(Root {
        event_id: EventId::parse(row.take::<String>(0)?).map_err(Error::internal)?,
        server: ServerName::parse(row.take::<String>(1)?).map_err(Error::internal)?,
        tries: u32::try_from(row.take::<u64>(2)?).unwrap_or(u32::MAX),
        awaited: serde_json::from_str(&row.take::<String>(3)?)?,
        json: row.take(4)?,
    })
}

/// When the first of these is to be asked for; none: nothing waits.
pub async fn find_next(sql: &dyn Sql, scope: i64) -> Result<Option<u64>> {
    let stmt = Stmt::new(concat!(
        "SELECT next_ms FROM room_pending p WHERE scope = ? AND ",
        is_root!(),
        " ORDER BY next_ms LIMIT 1"
    ));
    sql.row(stmt.bind(scope)).await?.map(|mut row| row.take(0)).transpose()
}

/// Whether an event waits.
pub async fn is_waiting(sql: &dyn Sql, scope: i64, event_id: &EventId) -> Result<bool> {
    let stmt = Stmt::new("SELECT 1 FROM room_pending WHERE scope = ? AND event_id = ?")
        .bind(scope)
        .bind(event_id.as_str());
    Ok(sql.row(stmt).await?.is_some())
}

/// Others were asked for what these events wait for, so often, and are asked again then.
pub fn put_off(scope: i64, ids: &[OwnedEventId], tries: u32, next_ms: u64) -> Result<Stmt> {
    let stmt = Stmt::new(
        "UPDATE room_pending SET tries = ?, next_ms = ? WHERE scope = ? \
         AND event_id IN (SELECT value FROM json_each(?))",
    );
    Ok(stmt.bind(u64::from(tries)).bind(next_ms).bind(scope).bind(serde_json::to_string(ids)?))
}

fn event_id(mut row: Row) -> Result<OwnedEventId> {
    let text: String = row.take(0)?;
    EventId::parse(text).map_err(Error::internal)
}
