//! What other servers are given: also events that are hidden from clients, since others build on
//! them.

use ruma::{EventId, OwnedEventId};
use skerry_core::engine::Num;

use super::events::{self, StoredEvent, json_list, many};
use crate::{
    Error, Result,
    ports::{Sql, Stmt},
};

/// Events of an auth chain, at most: more than any room has.
const MAX_CHAIN: u64 = 1_000_000;

/// The event with this ID, unless it was rejected.
pub async fn find(sql: &dyn Sql, scope: i64, event_id: &EventId) -> Result<Option<StoredEvent>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        events::columns!(),
        " FROM room_events WHERE scope = ? AND event_id = ? AND verdict < 2"
    ))
    .bind(scope)
    .bind(event_id.as_str());
    sql.row(stmt).await?.map(StoredEvent::try_from).transpose()
}

/// The events with these IDs, but for outliers. Also what was rejected: an event that was accepted
/// may name one that was not, and who does not have that would never come to the history behind it.
/// Whoever is given one finds out by themselves.
pub async fn list(sql: &dyn Sql, scope: i64, ids: &[OwnedEventId]) -> Result<Vec<StoredEvent>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        events::columns!(),
        " FROM (SELECT value AS wanted FROM json_each(?)) CROSS JOIN room_events \
         ON scope = ? AND event_id = wanted AND state_chain IS NOT NULL"
    ))
    .bind(serde_json::to_string(ids)?)
    .bind(scope);
    many(sql.rows(stmt).await?)
}

/// The IDs of these state events, in the order of the room.
pub async fn list_state_ids(sql: &dyn Sql, scope: i64, nums: &[Num]) -> Result<Vec<OwnedEventId>> {
    let stmt = Stmt::new(
        "SELECT event_id FROM room_events WHERE scope = ? \
         AND num IN (SELECT value FROM json_each(?)) AND state_key IS NOT NULL ORDER BY num",
    )
    .bind(scope)
    .bind(json_list(nums));
    let ids = sql
        .rows(stmt)
        .await?
        .into_iter()
        .map(|mut row| EventId::parse(row.take::<String>(0)?).map_err(Error::internal));
    ids.collect()
}

/// These state events as they are stored, in the order of the room.
pub async fn list_state_json(sql: &dyn Sql, scope: i64, nums: &[Num]) -> Result<Vec<String>> {
    let stmt = Stmt::new(
        "SELECT json FROM room_events WHERE scope = ? \
         AND num IN (SELECT value FROM json_each(?)) AND state_key IS NOT NULL ORDER BY num",
    )
    .bind(scope)
    .bind(json_list(nums));
    sql.rows(stmt).await?.into_iter().map(|mut row| row.take(0)).collect()
}

/// The events that authorize these state events, and those that authorize them, and so on: in the
/// order of the room.
pub async fn list_auth_chain(sql: &dyn Sql, scope: i64, nums: &[Num]) -> Result<Vec<Num>> {
    let stmt = Stmt::new(
        "WITH RECURSIVE chain (num) AS (\
         SELECT a.value FROM json_each(?) j CROSS JOIN room_events e \
             ON e.scope = ? AND e.num = j.value CROSS JOIN json_each(e.auth_events) a \
         UNION SELECT a.value FROM chain c CROSS JOIN room_events e \
             ON e.scope = ? AND e.num = c.num CROSS JOIN json_each(e.auth_events) a LIMIT ?) \
         SELECT num FROM chain ORDER BY num",
    )
    .bind(json_list(nums))
    .bind(scope)
    .bind(scope)
    .bind(MAX_CHAIN);
    sql.rows(stmt).await?.into_iter().map(|mut row| row.take(0)).collect()
}
