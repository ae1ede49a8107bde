//! Events of a join that have been verified and not yet authorized, and the attempt to join that
//! they belong to: `room_staged` and `room_join_attempt`.

use ruma::{EventId, OwnedEventId, RoomVersionId};
use skerry_core::{Pdu, authorize::StateKey};

use super::{events::json_list, given, meta, unverified};
use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// An attempt to join the room.
#[derive(Debug)]
pub struct Attempt {
    /// Its ID, as whoever joins has chosen it.
    pub id: String,
    /// The version that the room is said to have.
    pub version: RoomVersionId,
    /// When the last event of it was staged, in milliseconds since the Unix epoch.
    pub staged_ms: u64,
    /// The largest place that an event of it has.
    pub last_seq: u64,
}

/// The attempt that events are staged for, if there is one.
pub async fn find_attempt(sql: &dyn Sql, scope: i64) -> Result<Option<Attempt>> {
    let stmt = Stmt::new(
        "SELECT attempt, version, staged_ms, \
         (SELECT coalesce(max(seq), 0) FROM room_staged WHERE scope = ?) \
         FROM room_join_attempt WHERE scope = ?",
    )
    .bind(scope)
    .bind(scope);
    let Some(mut row) = sql.row(stmt).await? else { return Ok(None) };
    let version: String = row.take(1)?;
    Ok(Some(Attempt {
        id: row.take(0)?,
        version: RoomVersionId::try_from(version).map_err(Error::internal)?,
        staged_ms: row.take(2)?,
        last_seq: row.take(3)?,
    }))
}

/// An attempt begins, or goes on.
pub fn upsert_attempt(scope: i64, id: &str, version: &RoomVersionId, now_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO room_join_attempt (scope, attempt, version, staged_ms) VALUES (?, ?, ?, ?) \
         ON CONFLICT (scope) DO UPDATE SET attempt = excluded.attempt, \
         version = excluded.version, staged_ms = excluded.staged_ms",
    )
    .bind(scope)
    .bind(id)
    .bind(version.as_str())
    .bind(now_ms)
}

/// Somebody is about to join a room that is not here: an attempt that nothing is staged for. One
/// that there is goes on.
pub fn expect(scope: i64, version: &RoomVersionId, now_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT OR IGNORE INTO room_join_attempt (scope, attempt, version, staged_ms) \
         VALUES (?, '', ?, ?)",
    )
    .bind(scope)
    .bind(version.as_str())
    .bind(now_ms)
}

/// Removes an attempt and all that is staged for it.
pub fn remove_attempt(scope: i64) -> Vec<Stmt> {
    let staged = [
        "DELETE FROM room_staged WHERE scope = ?",
        "DELETE FROM room_join_attempt WHERE scope = ?",
    ];
    let mut stmts: Vec<_> = staged.map(|text| Stmt::new(text).bind(scope)).into();
    stmts.extend(given::remove(scope));
    stmts.push(unverified::remove_staged(scope));
    stmts
}

/// Removes an attempt for which nothing was staged after `before_ms` (milliseconds since the Unix
/// epoch), if there is one, and what it had written of a room that does not exist yet. Nothing else
/// may write to the room meanwhile.
pub async fn remove_expired(sql: &dyn Sql, scope: i64, before_ms: u64) -> Result<Vec<Stmt>> {
    let attempt = find_attempt(sql, scope).await?;
    if attempt.is_none_or(|it| it.staged_ms > before_ms) {
        return Ok(Vec::new());
    }
    let mut stmts = remove_attempt(scope);
    if meta::find(sql, scope).await?.is_none() {
        stmts.extend(meta::remove_beginnings(scope));
    }
    Ok(stmts)
}

/// Adds an event.
pub fn insert(scope: i64, seq: u64, pdu: &Pdu, is_state: bool) -> Result<Stmt> {
    let stmt = Stmt::new(
        "INSERT INTO room_staged (scope, seq, event_id, json, type, state_key, auth_events, \
         is_state) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    Ok(stmt
        .bind(scope)
        .bind(seq)
        .bind(pdu.event_id.as_str())
        .bind(&*pdu.json)
        .bind(pdu.event_type.to_string())
        .bind(pdu.state_key.as_deref())
        .bind(serde_json::to_string(&pdu.auth_events)?)
        .bind(i64::from(is_state)))
}

/// How a staged event hangs together with others.
#[derive(Debug)]
pub struct Links {
    /// Its place among the staged events.
    pub seq: u64,
    /// Its ID.
    pub event_id: OwnedEventId,
    /// The events that it names as those that authorize it.
    pub auth_events: Vec<OwnedEventId>,
    /// Whether it may begin a room.
    pub is_create: bool,
}

/// How the events after a place hang together with others, a page of them.
pub async fn list_links(sql: &dyn Sql, scope: i64, after: u64, limit: usize) -> Result<Vec<Links>> {
    let stmt = Stmt::new(
        "SELECT seq, event_id, auth_events, type = 'm.room.create' AND auth_events = '[]' \
         FROM room_staged WHERE scope = ? AND seq > ? ORDER BY seq LIMIT ?",
    )
    .bind(scope)
    .bind(after)
    .bind(limit as u64);
    let read = |mut row: Row| {
        let auth_events: String = row.take(2)?;
        Ok(Links {
            seq: row.take(0)?,
            event_id: event_id(row.take(1)?)?,
            auth_events: serde_json::from_str(&auth_events)?,
            is_create: row.take(3)?,
        })
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// The events at these places, ID and PDU: in this order, and only the first so many that their
/// PDUs have at most `bytes` bytes in all, but at least one.
pub async fn list(
    sql: &dyn Sql,
    scope: i64,
    seqs: &[u64],
    bytes: usize,
) -> Result<Vec<(OwnedEventId, String)>> {
    let stmt = Stmt::new(
        "SELECT event_id, json FROM (SELECT s.event_id, s.json, j.key AS at, \
         sum(length(s.json)) OVER (ORDER BY j.key) AS bytes FROM json_each(?) j \
         CROSS JOIN room_staged s ON s.scope = ? AND s.seq = j.value) \
         WHERE bytes <= ? OR at = 0 ORDER BY at",
    )
    .bind(json_list(seqs))
    .bind(scope)
    .bind(bytes as u64);
    let read = |mut row: Row| Ok((event_id(row.take(0)?)?, row.take(1)?));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// A key for which the staged state has two events.
pub async fn find_ambiguous(sql: &dyn Sql, scope: i64) -> Result<Option<StateKey>> {
    let stmt = Stmt::new(
        "SELECT type, state_key FROM room_staged \
         WHERE scope = ? AND is_state = 1 AND state_key IS NOT NULL \
         GROUP BY type, state_key HAVING count(DISTINCT event_id) > 1 LIMIT 1",
    )
    .bind(scope);
    let row = sql.row(stmt).await?;
    row.map(|mut row| Ok((row.take(0)?, row.take(1)?))).transpose()
}

fn event_id(text: String) -> Result<OwnedEventId> {
    EventId::parse(text).map_err(Error::internal)
}
