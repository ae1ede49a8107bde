//! Events that a join came with and that could not be verified: `room_unverified`.

use ruma::{EventId, OwnedEventId};
use skerry_core::{
    Pdu,
    authorize::StateKey,
    engine::{Num, StateAt},
};

use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// Where those stand that came with a join which has not come to its end.
const NOT_JOINED: u64 = 0;

/// Such an event, in a room that was joined.
#[derive(Debug)]
pub struct UnverifiedEvent {
    /// Its ID.
    pub event_id: OwnedEventId,
    /// The state before the join, which it is part of.
    pub at: StateAt,
    /// When it came, in milliseconds since the Unix epoch.
    pub received_ms: u64,
    /// The event as it was sent.
    pub json: String,
}

/// How many a join has come with so far, and how many bytes they have.
pub async fn count_staged(sql: &dyn Sql, scope: i64) -> Result<(u64, u64)> {
    let stmt = Stmt::new(
        "SELECT count(*), coalesce(sum(length(json)), 0) FROM room_unverified \
         WHERE scope = ? AND state_group = ?",
    )
    .bind(scope)
    .bind(NOT_JOINED);
    let row = sql.row(stmt).await?;
    row.map_or(Ok((0, 0)), |mut row| Ok((row.take(0)?, row.take(1)?)))
}

/// A join has come with one.
pub fn stage(scope: i64, pdu: &Pdu, is_state: bool, now_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO room_unverified (scope, state_group, event_id, type, state_key, is_state, \
         received_ms, json) VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (scope, state_group, event_id) DO UPDATE SET \
         is_state = max(is_state, excluded.is_state)",
    )
    .bind(scope)
    .bind(NOT_JOINED)
    .bind(pdu.event_id.as_str())
    .bind(pdu.event_type.to_string())
    .bind(pdu.state_key.as_deref())
    .bind(i64::from(is_state))
    .bind(now_ms)
    .bind(&*pdu.json)
}

/// Those of these events that a join has come with.
pub async fn list_staged(
    sql: &dyn Sql,
    scope: i64,
    ids: &[OwnedEventId],
) -> Result<Vec<OwnedEventId>> {
    let stmt = Stmt::new(
        "SELECT u.event_id FROM json_each(?) j CROSS JOIN room_unverified u \
         WHERE u.scope = ? AND u.state_group = ? AND u.event_id = j.value",
    )
    .bind(serde_json::to_string(ids)?)
    .bind(scope)
    .bind(NOT_JOINED);
    super::events::list_ids(sql, stmt).await
}

/// The attempt to join is over.
pub fn remove_staged(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM room_unverified WHERE scope = ? AND state_group = ?")
        .bind(scope)
        .bind(NOT_JOINED)
}

/// The join comes to its end, with what has been staged as the state before it: those that it came
/// with are of that state, and so are those that were verified and are authorized by some of them.
/// What an earlier join has left is of a state that counts no more. `join`: the event itself.
/// Of the latter there are at most so many.
pub fn begin(scope: i64, at: StateAt, join: &EventId, now_ms: u64, most: u64) -> [Stmt; 3] {
    let outdated = Stmt::new("DELETE FROM room_unverified WHERE scope = ? AND state_group > ?")
        .bind(scope)
        .bind(NOT_JOINED);
    let unauthorized = Stmt::new(
        "INSERT OR IGNORE INTO room_unverified (scope, state_group, event_id, type, state_key, \
         is_state, received_ms, json) \
         SELECT s.scope, ?, s.event_id, s.type, s.state_key, max(s.is_state), ?, s.json \
         FROM room_staged s WHERE s.scope = ? AND s.event_id <> ? AND NOT EXISTS \
         (SELECT 1 FROM room_events e WHERE e.scope = s.scope AND e.event_id = s.event_id) \
         GROUP BY s.event_id LIMIT ?",
    )
    .bind(NOT_JOINED)
    .bind(now_ms)
    .bind(scope)
    .bind(join.as_str())
    .bind(most);
    let joined =
        Stmt::new("UPDATE room_unverified SET state_group = ? WHERE scope = ? AND state_group = ?")
            .bind(at.group)
            .bind(scope)
            .bind(NOT_JOINED);
    [outdated, unauthorized, joined]
}

/// How many the room has.
pub async fn count(sql: &dyn Sql, scope: i64) -> Result<u64> {
    let stmt =
        Stmt::new("SELECT count(*) FROM room_unverified WHERE scope = ? AND state_group > ?")
            .bind(scope)
            .bind(NOT_JOINED);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// Those that the state before the join has, their keys, and that state.
pub async fn list_keys(
    sql: &dyn Sql,
    scope: i64,
) -> Result<Vec<(OwnedEventId, StateKey, StateAt)>> {
    let stmt = Stmt::new(
        "SELECT event_id, type, state_key, state_group FROM room_unverified \
         WHERE scope = ? AND state_group > ? AND is_state = 1 AND state_key IS NOT NULL",
    )
    .bind(scope)
    .bind(NOT_JOINED);
    let read = |mut row: Row| {
        let event_id: String = row.take(0)?;
        let event_id = EventId::parse(event_id).map_err(Error::internal)?;
        let at = StateAt { chain: 0, group: row.take(3)? };
        Ok((event_id, (row.take(1)?, row.take(2)?), at))
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// A page of those of the room, after this one.
pub async fn list(
    sql: &dyn Sql,
    scope: i64,
    after: Option<&EventId>,
    limit: usize,
) -> Result<Vec<UnverifiedEvent>> {
    let stmt = Stmt::new(
        "SELECT event_id, state_group, received_ms, json FROM room_unverified \
         WHERE scope = ? AND state_group > ? AND event_id > ? \
         ORDER BY event_id LIMIT ?",
    )
    .bind(scope)
    .bind(NOT_JOINED)
    .bind(after.map_or("", EventId::as_str))
    .bind(limit as u64);
    let read = |mut row: Row| {
        Ok(UnverifiedEvent {
            event_id: EventId::parse(row.take::<String>(0)?).map_err(Error::internal)?,
            at: StateAt { chain: 0, group: row.take(1)? },
            received_ms: row.take(2)?,
            json: row.take(3)?,
        })
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// Those that are here by now, each with its key, if it is of the state before the join and not
/// only of the auth chain, and that state.
pub async fn list_known(
    sql: &dyn Sql,
    scope: i64,
) -> Result<Vec<(OwnedEventId, Option<StateKey>, StateAt)>> {
    let stmt = Stmt::new(
        "SELECT u.event_id, u.type, u.state_key, u.is_state, u.state_group \
         FROM room_unverified u WHERE u.scope = ? AND u.state_group > ? AND EXISTS \
         (SELECT 1 FROM room_events e WHERE e.scope = u.scope AND e.event_id = u.event_id)",
    )
    .bind(scope)
    .bind(NOT_JOINED);
    let read = |mut row: Row| {
        let event_id = EventId::parse(row.take::<String>(0)?).map_err(Error::internal)?;
        let (event_type, state_key): (String, Option<String>) = (row.take(1)?, row.take(2)?);
        let is_state: bool = row.take(3)?;
        let key = state_key.filter(|_| is_state).map(|it| (event_type, it));
        Ok((event_id, key, StateAt { chain: 0, group: row.take(4)? }))
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// The room has it, or nobody ever will.
pub fn remove(scope: i64, at: StateAt, event_id: &EventId) -> Stmt {
    Stmt::new("DELETE FROM room_unverified WHERE scope = ? AND state_group = ? AND event_id = ?")
        .bind(scope)
        .bind(at.group)
        .bind(event_id.as_str())
}

/// The state before the join has this event, and so have all that build on it, as far as they have
/// no other one for its key.
pub fn add_to_state(scope: i64, at: StateAt, key: &StateKey, num: Num) -> Stmt {
    Stmt::new(
        "INSERT INTO room_state_deltas (scope, chain, type, state_key, state_group, event) \
         VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (scope, chain, type, state_key, state_group) DO UPDATE SET \
         event = excluded.event WHERE event IS NULL",
    )
    .bind(scope)
    .bind(at.chain)
    .bind(key.0.as_str())
    .bind(key.1.as_str())
    .bind(at.group)
    .bind(num)
}
