//! A room's state: chains of deltas (`room_state_*`).
//!
//! A group is named by the position of the event that made it, so that within a chain the state
//! at a group is, for every key, the latest delta at or before it. A fork begins a chain that
//! hangs on a group of its parent; a reader falls back to the parent for keys the chain lacks.

use skerry_core::authorize::StateKey;

use super::events::StateAt;
use crate::{
    Error, Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// Chains a reader walks down at most.
pub const MAX_CHAIN_DEPTH: usize = 64;

/// One entry of a state map: its key and the position of its event.
pub type Entry = (StateKey, Position);

/// The chain a chain hangs on.
async fn find_parent(sql: &dyn Sql, scope: i64, chain: u64) -> Result<Option<StateAt>> {
    let stmt = Stmt::new(
        "SELECT parent_chain, parent_group FROM room_state_chains WHERE scope = ? AND chain = ?",
    )
    .bind(scope)
    .bind(chain);
    let Some(mut row) = sql.row(stmt).await? else { return Ok(None) };
    let parent: (Option<u64>, Option<u64>) = (row.take(0)?, row.take(1)?);
    Ok(match parent {
        (Some(chain), Some(group)) => Some(StateAt { chain, group }),
        _ => None,
    })
}

fn entry(mut row: Row) -> Result<Entry> {
    Ok(((row.take(0)?, row.take(1)?), row.take(2)?))
}

/// Collects entries from a chain and the chains below it; what is found first counts.
async fn collect(
    sql: &dyn Sql,
    scope: i64,
    at: StateAt,
    statement: impl Fn(StateAt) -> Stmt,
    wanted: Option<usize>,
) -> Result<Vec<Entry>> {
    let mut found: Vec<Entry> = Vec::new();
    let mut next = Some(at);
    for _ in 0..MAX_CHAIN_DEPTH {
        let Some(at) = next else { return Ok(found) };
        let older = !found.is_empty();
        for row in sql.rows(statement(at)).await? {
            let entry = entry(row)?;
            if !older || !found.iter().any(|(key, _)| *key == entry.0) {
                found.push(entry);
            }
        }
        if wanted.is_some_and(|it| found.len() >= it) || at.chain == 0 {
            return Ok(found);
        }
        next = find_parent(sql, scope, at.chain).await?;
    }
    Err(Error::internal("the state's chains are deeper than their limit"))
}

/// The state at a point: these keys of it. Keys the state does not have are left out.
pub async fn find(sql: &dyn Sql, scope: i64, at: StateAt, keys: &[StateKey]) -> Result<Vec<Entry>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = serde_json::to_string(keys)?;
    let statement = |at: StateAt| {
        Stmt::new(
            "SELECT k.value ->> 0, k.value ->> 1, (SELECT d.position FROM room_state_deltas d \
             WHERE d.scope = ? AND d.chain = ? AND d.type = k.value ->> 0 \
             AND d.state_key = k.value ->> 1 AND d.state_group <= ? \
             ORDER BY d.state_group DESC LIMIT 1) AS found \
             FROM json_each(?) k WHERE found IS NOT NULL",
        )
        .bind(scope)
        .bind(at.chain)
        .bind(at.group)
        .bind(wanted.as_str())
    };
    collect(sql, scope, at, statement, Some(keys.len())).await
}

/// The whole state at a point.
pub async fn list(sql: &dyn Sql, scope: i64, at: StateAt) -> Result<Vec<Entry>> {
    let statement = |at: StateAt| {
        Stmt::new(
            "SELECT type, state_key, position, max(state_group) FROM room_state_deltas \
             WHERE scope = ? AND chain = ? AND state_group <= ? GROUP BY type, state_key",
        )
        .bind(scope)
        .bind(at.chain)
        .bind(at.group)
    };
    collect(sql, scope, at, statement, None).await
}

/// The state at a point without memberships, which may be many.
pub async fn list_without_members(sql: &dyn Sql, scope: i64, at: StateAt) -> Result<Vec<Entry>> {
    let statement = |at: StateAt| {
        Stmt::new(
            "SELECT type, state_key, position, max(state_group) FROM room_state_deltas \
             WHERE scope = ? AND chain = ? AND (type < 'm.room.member' OR type > 'm.room.member') \
             AND state_group <= ? GROUP BY type, state_key",
        )
        .bind(scope)
        .bind(at.chain)
        .bind(at.group)
    };
    collect(sql, scope, at, statement, None).await
}

/// Every event that one key of the current state has had, oldest first: position and PDU.
pub async fn history(
    sql: &dyn Sql,
    scope: i64,
    event_type: &str,
    state_key: &str,
) -> Result<Vec<(Position, String)>> {
    let stmt = Stmt::new(
        "SELECT d.state_group, e.json FROM room_state_deltas d \
         JOIN room_events e ON e.scope = d.scope AND e.position = d.position \
         WHERE d.scope = ? AND d.chain = 0 AND d.type = ? AND d.state_key = ? \
         ORDER BY d.state_group",
    )
    .bind(scope)
    .bind(event_type)
    .bind(state_key);
    sql.rows(stmt).await?.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}

/// The room's first chain begins.
pub fn insert_first_chain(scope: i64) -> Stmt {
    Stmt::new(
        "INSERT INTO room_state_chains (scope, chain, parent_chain, parent_group) \
         VALUES (?, 0, NULL, NULL)",
    )
    .bind(scope)
}

/// From the group named by `position` on, the key has the event at `position`.
pub fn insert_delta(scope: i64, chain: u64, key: (&str, &str), position: Position) -> Stmt {
    Stmt::new(
        "INSERT INTO room_state_deltas (scope, chain, type, state_key, state_group, position) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(chain)
    .bind(key.0)
    .bind(key.1)
    .bind(position)
    .bind(position)
}

/// The current state changed.
pub fn insert_log(
    scope: i64,
    key: (&str, &str),
    position: Position,
    previous: Option<Position>,
) -> Stmt {
    Stmt::new(
        "INSERT INTO room_state_log (scope, position, type, state_key, event, previous) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(position)
    .bind(key.0)
    .bind(key.1)
    .bind(position)
    .bind(previous)
}

/// A change of the current state.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where it stands in the room's stream.
    pub position: Position,
    /// Which key.
    pub key: StateKey,
    /// The position of its new event.
    pub event: Position,
    /// The position of the event before.
    pub previous: Option<Position>,
}

/// How the current state changed with `after < position <= upto`, oldest first.
pub async fn list_changes(
    sql: &dyn Sql,
    scope: i64,
    after: Position,
    upto: Position,
) -> Result<Vec<Change>> {
    let stmt = Stmt::new(
        "SELECT position, type, state_key, event, previous FROM room_state_log \
         WHERE scope = ? AND position > ? AND position <= ? ORDER BY position",
    )
    .bind(scope)
    .bind(after)
    .bind(upto);
    let read = |mut row: Row| {
        Ok(Change {
            position: row.take(0)?,
            key: (row.take(1)?, row.take(2)?),
            event: row.take(3)?,
            previous: row.take(4)?,
        })
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// The events that the state events at these positions replaced: by position, ID, sender and PDU.
pub async fn list_replaced(
    sql: &dyn Sql,
    scope: i64,
    positions: &[Position],
) -> Result<Vec<(Position, String, String, String)>> {
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = Stmt::new(
        "SELECT l.position, e.event_id, e.sender, e.json FROM room_state_log l \
         JOIN room_events e ON e.scope = l.scope AND e.position = l.previous \
         WHERE l.scope = ? AND l.position IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(super::events::json_list(positions));
    let read = |mut row: Row| Ok((row.take(0)?, row.take(1)?, row.take(2)?, row.take(3)?));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// The memberships of the state at a point.
pub async fn list_members(sql: &dyn Sql, scope: i64, at: StateAt) -> Result<Vec<Entry>> {
    let statement = |at: StateAt| {
        Stmt::new(
            "SELECT type, state_key, position, max(state_group) FROM room_state_deltas \
             WHERE scope = ? AND chain = ? AND type = 'm.room.member' \
             AND state_group <= ? GROUP BY type, state_key",
        )
        .bind(scope)
        .bind(at.chain)
        .bind(at.group)
    };
    collect(sql, scope, at, statement, None).await
}
