//! The state that a join was answered with, as a state of the room: a chain of its own while the
//! join is not decided, the current state once it is.

use skerry_core::{
    authorize::StateKey,
    engine::{Num, StateAt},
};

use crate::{
    Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt, sql::MAX_SAFE_INTEGER},
};

/// The chain of a given state in a room that exists already. It hangs on the current state, and no
/// event stands on it. Other chains have the number of an event, which is never as large.
pub const CHAIN: u64 = MAX_SAFE_INTEGER as u64;

/// The events that were staged as state and are not rejected.
macro_rules! staged_state {
    () => {
        "room_staged s CROSS JOIN room_events e ON e.scope = s.scope AND e.event_id = s.event_id \
         WHERE s.scope = ? AND s.is_state = 1 AND e.verdict <> 2 AND e.state_key IS NOT NULL"
    };
}

/// The event that the current state has for the key of a row.
macro_rules! current {
    ($row:literal) => {
        concat!(
            "(SELECT c.event FROM room_state_deltas c WHERE c.scope = ",
            $row,
            ".scope AND c.chain = 0 AND c.type = ",
            $row,
            ".type AND c.state_key = ",
            $row,
            ".state_key ORDER BY c.state_group DESC LIMIT 1)"
        )
    };
}

/// The staged state, as far as the current state has other events: deltas of a group. In a room
/// that does not exist yet that is all of it.
pub fn insert(scope: i64, at: StateAt) -> Stmt {
    Stmt::new(concat!(
        "INSERT INTO room_state_deltas (scope, chain, type, state_key, state_group, event) \
         SELECT e.scope, ?, e.type, e.state_key, ?, e.num FROM ",
        staged_state!(),
        " AND e.num IS NOT ",
        current!("e"),
        " GROUP BY e.num"
    ))
    .bind(at.chain)
    .bind(at.group)
    .bind(scope)
}

/// The keys that the current state has and the staged one has not: deltas of the same group.
pub fn insert_removed(scope: i64, at: StateAt) -> Stmt {
    Stmt::new(concat!(
        "INSERT INTO room_state_deltas (scope, chain, type, state_key, state_group, event) \
         SELECT n.scope, ?, n.type, n.state_key, ?, NULL FROM \
         (SELECT d.scope, d.type, d.state_key, d.event, max(d.state_group) \
         FROM room_state_deltas d WHERE d.scope = ? AND d.chain = 0 \
         GROUP BY d.type, d.state_key) n \
         WHERE n.event IS NOT NULL AND n.event NOT IN (SELECT e.num FROM ",
        staged_state!(),
        ") AND NOT EXISTS (SELECT 1 FROM room_state_deltas g WHERE g.scope = n.scope \
         AND g.chain = ? AND g.type = n.type AND g.state_key = n.state_key)"
    ))
    .bind(at.chain)
    .bind(at.group)
    .bind(scope)
    .bind(scope)
    .bind(at.chain)
}

/// The keys in which the given state differs from the current one, and its events.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<(StateKey, Option<Num>)>> {
    let stmt = Stmt::new(
        "SELECT type, state_key, event FROM room_state_deltas WHERE scope = ? AND chain = ?",
    )
    .bind(scope)
    .bind(CHAIN);
    let read = |mut row: Row| Ok(((row.take(0)?, row.take(1)?), row.take(2)?));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// The memberships that a group of a chain changes, as those of the current state from a position
/// on. `local`: how the IDs of local users end; it is delivered to them.
pub fn upsert_members(scope: i64, at: StateAt, position: Position, local: &str) -> Stmt {
    Stmt::new(
        "INSERT INTO room_members (scope, user_id, membership, position, event, delivered) \
         SELECT d.scope, d.state_key, coalesce(e.json ->> '$.content.membership', 'leave'), ?, \
         d.event, CASE WHEN substr(d.state_key, -length(?)) = ? THEN 0 ELSE ? END \
         FROM room_state_deltas d \
         LEFT JOIN room_events e ON e.scope = d.scope AND e.num = d.event \
         WHERE d.scope = ? AND d.chain = ? AND d.type = 'm.room.member' AND d.state_group = ? \
         ON CONFLICT (scope, user_id) DO UPDATE SET membership = excluded.membership, \
         position = excluded.position, event = excluded.event, delivered = excluded.delivered, \
         forgotten = 0",
    )
    .bind(position)
    .bind(local)
    .bind(local)
    .bind(position)
    .bind(scope)
    .bind(at.chain)
    .bind(at.group)
}

/// The given state becomes the current state at a position, where no event stands: its deltas and
/// lines of the log.
pub fn adopt(scope: i64, position: Position) -> [Stmt; 2] {
    let log = Stmt::new(concat!(
        "INSERT INTO room_state_log (scope, position, type, state_key, event, previous) \
         SELECT d.scope, ?, d.type, d.state_key, d.event, ",
        current!("d"),
        " FROM room_state_deltas d WHERE d.scope = ? AND d.chain = ?"
    ));
    let deltas = Stmt::new(
        "INSERT INTO room_state_deltas (scope, chain, type, state_key, state_group, event) \
         SELECT scope, 0, type, state_key, ?, event FROM room_state_deltas \
         WHERE scope = ? AND chain = ?",
    );
    [log, deltas].map(|it| it.bind(position).bind(scope).bind(CHAIN))
}

/// Removes the chain of a given state.
pub fn remove(scope: i64) -> [Stmt; 2] {
    [
        "DELETE FROM room_state_deltas WHERE scope = ? AND chain = ?",
        "DELETE FROM room_state_chains WHERE scope = ? AND chain = ?",
    ]
    .map(|text| Stmt::new(text).bind(scope).bind(CHAIN))
}
