//! Events of a join that have been verified and not yet authorized: `room_staged`.

use ruma::{EventId, OwnedEventId};

use super::events::json_list;
use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// How many there are.
pub async fn count(sql: &dyn Sql, scope: i64) -> Result<u64> {
    let stmt =
        Stmt::new("SELECT coalesce(max(seq), 0) FROM room_staged WHERE scope = ?").bind(scope);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// Adds an event.
pub fn insert(scope: i64, seq: u64, event_id: &EventId, json: &str, is_state: bool) -> Stmt {
    Stmt::new(
        "INSERT INTO room_staged (scope, seq, event_id, json, is_state) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(seq)
    .bind(event_id.as_str())
    .bind(json)
    .bind(i64::from(is_state))
}

/// A staged event.
#[derive(Debug)]
pub struct Staged {
    /// Its place among them.
    pub seq: u64,
    /// Its ID.
    pub event_id: OwnedEventId,
    /// The PDU.
    pub json: String,
    /// Whether it is part of the state.
    pub is_state: bool,
}

fn staged(mut row: Row) -> Result<Staged> {
    let event_id: String = row.take(1)?;
    Ok(Staged {
        seq: row.take(0)?,
        event_id: EventId::parse(event_id).map_err(Error::internal)?,
        json: row.take(2)?,
        is_state: row.take(3)?,
    })
}

/// The events after a place, a page of them.
pub async fn page(sql: &dyn Sql, scope: i64, after: u64, limit: u64) -> Result<Vec<Staged>> {
    let stmt = Stmt::new(
        "SELECT seq, event_id, json, is_state FROM room_staged WHERE scope = ? AND seq > ? \
         ORDER BY seq LIMIT ?",
    )
    .bind(scope)
    .bind(after)
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(staged).collect()
}

/// The events at these places.
pub async fn list(sql: &dyn Sql, scope: i64, seqs: &[u64]) -> Result<Vec<Staged>> {
    let stmt = Stmt::new(
        "SELECT s.seq, s.event_id, s.json, s.is_state FROM json_each(?) j \
         CROSS JOIN room_staged s ON s.scope = ? AND s.seq = j.value",
    )
    .bind(json_list(seqs))
    .bind(scope);
    sql.rows(stmt).await?.into_iter().map(staged).collect()
}

/// Removes all of them.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM room_staged WHERE scope = ?").bind(scope)
}
