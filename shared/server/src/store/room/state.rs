//! A room's state: chains of deltas (`room_state_*`).
//!
//! Within a chain the state at a group is, for every key, the latest delta at or before it. Chain 0
//! is the current state over time, its groups are positions of the stream. Other states hang on a
//! group of another chain: a reader falls back to it for keys the chain lacks.

use ruma::{ServerName, events::room::member::MembershipState};
use skerry_core::{
    authorize::StateKey,
    engine::{Num, StateAt, Withdrawal},
    visibility::Present,
};

use super::events::{self, StoredEvent};
use crate::{
    Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// One entry of a state map: its key and the number of its event.
pub type Entry = (StateKey, Num);

/// Chains that a state is made of, at most: deeper ones are written anew on the current state.
pub const MAX_DEPTH: usize = 16;

/// The chains that a state is made of, from the one it is at down to the room's first, each with
/// the last group of it that counts. Groups of a chain are younger than the group it hangs on, so
/// that the youngest delta of a key is the one that holds. At most [`MAX_DEPTH`] chains.
macro_rules! lineage {
    () => {
        "WITH RECURSIVE lineage (depth, chain, upto) AS (SELECT 0, ?, ? UNION ALL \
         SELECT l.depth + 1, c.parent_chain, c.parent_group FROM lineage l \
         JOIN room_state_chains c ON c.scope = ? AND c.chain = l.chain \
         WHERE c.parent_chain IS NOT NULL AND l.depth < 16) "
    };
}

/// The deltas that hold, among those that a condition selects, and their events. `CROSS JOIN`
/// keeps SQLite from reading all events of the room to find those of its state.
macro_rules! events_where {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            events::columns!(),
            " FROM (SELECT d.event AS at, max(d.state_group) FROM lineage l \
             CROSS JOIN room_state_deltas d ON d.scope = ? AND d.chain = l.chain \
             AND d.state_group <= l.upto ",
            $condition,
            " GROUP BY d.type, d.state_key) \
             CROSS JOIN room_events ON scope = ? AND num = at"
        )
    };
}

/// Which part of a state is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of it.
    Whole,
    /// Memberships.
    Members,
    /// The children of a space.
    Children,
    /// Everything but memberships, which may be many.
    WithoutMembers,
}

/// The state at a point: these keys of it. Keys the state does not have are left out.
pub async fn find(sql: &dyn Sql, scope: i64, at: StateAt, keys: &[StateKey]) -> Result<Vec<Entry>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    // Of each chain the last delta alone is read, however often the key has changed.
    let stmt = Stmt::new(concat!(
        lineage!(),
        "SELECT k.value ->> 0, k.value ->> 1, (SELECT d.event FROM lineage l \
         CROSS JOIN room_state_deltas d ON d.scope = ? AND d.chain = l.chain \
         AND d.type = k.value ->> 0 AND d.state_key = k.value ->> 1 AND d.state_group = \
         (SELECT max(n.state_group) FROM room_state_deltas n WHERE n.scope = ? \
         AND n.chain = l.chain AND n.type = k.value ->> 0 AND n.state_key = k.value ->> 1 \
         AND n.state_group <= l.upto) ORDER BY d.state_group DESC LIMIT 1) FROM json_each(?) k"
    ))
    .bind(at.chain)
    .bind(at.group)
    .bind(scope)
    .bind(scope)
    .bind(scope)
    .bind(serde_json::to_string(keys)?);
    let mut found = Vec::with_capacity(keys.len());
    for mut row in sql.rows(stmt).await? {
        if let Some(num) = row.take(2)? {
            found.push(((row.take(0)?, row.take(1)?), num));
        }
    }
    Ok(found)
}

/// The events of the state at a point, in the order of the room.
pub async fn list(sql: &dyn Sql, scope: i64, at: StateAt, part: Part) -> Result<Vec<StoredEvent>> {
    let text = match part {
        Part::Whole => concat!(lineage!(), events_where!("")),
        Part::Members => concat!(lineage!(), events_where!("AND d.type = 'm.room.member'")),
        Part::Children => concat!(lineage!(), events_where!("AND d.type = 'm.space.child'")),
        // Two ranges: one condition with `OR` would read every membership there has been.
        Part::WithoutMembers => concat!(
            lineage!(),
            events_where!("AND d.type < 'm.room.member'"),
            " UNION ALL ",
            events_where!("AND d.type > 'm.room.member'")
        ),
    };
    let mut stmt = Stmt::new(text).bind(at.chain).bind(at.group).bind(scope);
    stmt = stmt.bind(scope).bind(scope);
    if part == Part::WithoutMembers {
        stmt = stmt.bind(scope).bind(scope);
    }
    let mut events = events::many(sql.rows(stmt).await?)?;
    events.sort_unstable_by_key(|it| it.num);
    Ok(events)
}

/// What the newest events that one key of the current state has had say at `path` (a JSON path) of
/// their PDUs, newest first, with positions; none where they do not say it, and where a fork took
/// the key away. Text stays text; whatever else is there becomes text.
pub async fn list_newest(
    sql: &dyn Sql,
    scope: i64,
    (event_type, state_key): (&str, &str),
    path: &'static str,
    limit: u64,
) -> Result<Vec<(Position, Option<String>)>> {
    let stmt = Stmt::new(
        "SELECT d.state_group, CAST(json_extract(e.json, ?) AS TEXT) FROM room_state_deltas d \
         LEFT JOIN room_events e ON e.scope = d.scope AND e.num = d.event \
         WHERE d.scope = ? AND d.chain = 0 AND d.type = ? AND d.state_key = ? \
         ORDER BY d.state_group DESC LIMIT ?",
    )
    .bind(path)
    .bind(scope)
    .bind(event_type)
    .bind(state_key)
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}

/// After `steps` (by how much the joined and the invited users of a server changed, by position):
/// how many there are from each position on, where the first of them came or the last one went, and
/// at the end. Whoever else comes and goes costs no row.
macro_rules! turns_of_steps {
    () => {
        "counts (position, joined, invited) AS (SELECT position, \
         ? + sum(sum(joined)) OVER (ORDER BY position), \
         ? + sum(sum(invited)) OVER (ORDER BY position) FROM steps GROUP BY position) \
         SELECT position, joined, invited FROM (SELECT position, joined, invited, \
         lag((joined > 0) * 2 + (invited > 0), 1, -1) OVER (ORDER BY position) AS before, \
         lead(position) OVER (ORDER BY position) AS next FROM counts) \
         WHERE next IS NULL OR before <> (joined > 0) * 2 + (invited > 0) ORDER BY position"
    };
}

fn turn(mut row: Row) -> Result<(Position, Present)> {
    Ok((row.take(0)?, Present { joined: row.take(1)?, invited: row.take(2)? }))
}

/// How many users of a server were in the room over the life of the current state, oldest first:
/// where the first of them came or the last one went, and at the end.
pub async fn list_present(
    sql: &dyn Sql,
    scope: i64,
    server: &ServerName,
) -> Result<Vec<(Position, Present)>> {
    let stmt = Stmt::new(concat!(
        "WITH members (position, user_id, membership) AS (SELECT d.state_group, d.state_key, \
         coalesce(e.json ->> '$.content.membership', '') FROM room_state_deltas d \
         LEFT JOIN room_events e ON e.scope = d.scope AND e.num = d.event \
         WHERE d.scope = ? AND d.chain = 0 AND d.type = 'm.room.member' \
         AND substr(d.state_key, instr(d.state_key, ':') + 1) = ?), \
         steps (position, joined, invited) AS (SELECT position, \
         (membership = 'join') - (lag(membership, 1, '') OVER own = 'join'), \
         (membership = 'invite') - (lag(membership, 1, '') OVER own = 'invite') FROM members \
         WINDOW own AS (PARTITION BY user_id ORDER BY position)), ",
        turns_of_steps!()
    ))
    .bind(scope)
    .bind(server.as_str())
    .bind(0_u64)
    .bind(0_u64);
    sql.rows(stmt).await?.into_iter().map(turn).collect()
}

/// What [`list_present`] has after a position, at which so many users were in the room.
pub async fn list_present_after(
    sql: &dyn Sql,
    scope: i64,
    server: &ServerName,
    (after, present): (Position, Present),
) -> Result<Vec<(Position, Present)>> {
    let stmt = Stmt::new(concat!(
        "WITH changes (position, before, after) AS (SELECT l.position, \
         coalesce(p.json ->> '$.content.membership', ''), \
         coalesce(e.json ->> '$.content.membership', '') FROM room_state_log l \
         LEFT JOIN room_events p ON p.scope = l.scope AND p.num = l.previous \
         LEFT JOIN room_events e ON e.scope = l.scope AND e.num = l.event \
         WHERE l.scope = ? AND l.position > ? AND l.type = 'm.room.member' \
         AND substr(l.state_key, instr(l.state_key, ':') + 1) = ?), \
         steps (position, joined, invited) AS (SELECT position, \
         (after = 'join') - (before = 'join'), (after = 'invite') - (before = 'invite') \
         FROM changes), ",
        turns_of_steps!()
    ))
    .bind(scope)
    .bind(after)
    .bind(server.as_str())
    .bind(present.joined)
    .bind(present.invited);
    sql.rows(stmt).await?.into_iter().map(turn).collect()
}

/// Whether some user of a server has this membership in the state at a point. It is looked at one
/// user after the other, until one has.
pub async fn has_member(
    sql: &dyn Sql,
    scope: i64,
    at: StateAt,
    server: &ServerName,
    membership: &MembershipState,
) -> Result<bool> {
    let stmt = Stmt::new(concat!(
        lineage!(),
        "SELECT 1 FROM lineage l CROSS JOIN room_state_deltas d ON d.scope = ? \
         AND d.chain = l.chain AND d.type = 'm.room.member' AND d.state_group <= l.upto \
         AND substr(d.state_key, instr(d.state_key, ':') + 1) = ? \
         CROSS JOIN room_events e ON e.scope = ? AND e.num = d.event \
         WHERE e.json ->> '$.content.membership' = ? \
         AND NOT EXISTS (SELECT 1 FROM lineage y CROSS JOIN room_state_deltas n ON n.scope = ? \
         AND n.chain = y.chain AND n.type = 'm.room.member' AND n.state_key = d.state_key \
         AND n.state_group > d.state_group AND n.state_group <= y.upto) LIMIT 1"
    ))
    .bind(at.chain)
    .bind(at.group)
    .bind(scope)
    .bind(scope)
    .bind(server.as_str())
    .bind(scope)
    .bind(membership.as_str())
    .bind(scope);
    Ok(sql.row(stmt).await?.is_some())
}

/// The newest position at which the current state changed.
pub async fn find_head(sql: &dyn Sql, scope: i64) -> Result<Position> {
    let stmt = Stmt::new("SELECT coalesce(max(position), 0) FROM room_state_log WHERE scope = ?")
        .bind(scope);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// The room's first chain begins.
pub fn insert_first_chain(scope: i64) -> Stmt {
    Stmt::new(
        "INSERT INTO room_state_chains (scope, chain, parent_chain, parent_group) \
         VALUES (?, 0, NULL, NULL)",
    )
    .bind(scope)
}

/// A chain begins that hangs on a group of another.
pub fn insert_chain(scope: i64, chain: u64, parent: StateAt) -> Stmt {
    Stmt::new(
        "INSERT INTO room_state_chains (scope, chain, parent_chain, parent_group) \
         VALUES (?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(chain)
    .bind(parent.chain)
    .bind(parent.group)
}

/// From this group on, the key has this event.
pub fn insert_delta(scope: i64, at: StateAt, key: (&str, &str), event: Option<Num>) -> Stmt {
    Stmt::new(
        "INSERT INTO room_state_deltas (scope, chain, type, state_key, state_group, event) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(at.chain)
    .bind(key.0)
    .bind(key.1)
    .bind(at.group)
    .bind(event)
}

/// An event was part of states and is rejected: as if they had never had it, nor the current state.
/// `key` is its own.
pub fn withdraw(scope: i64, key: (&str, &str), it: Withdrawal) -> [Stmt; 2] {
    let log = Stmt::new(
        "UPDATE room_state_log SET event = iif(event = ?, ?, event), \
         previous = iif(previous = ?, ?, previous) \
         WHERE scope = ? AND type = ? AND state_key = ? AND position IN \
         (SELECT state_group FROM room_state_deltas WHERE scope = ? AND chain = 0 \
         AND type = ? AND state_key = ?)",
    )
    .bind(it.num)
    .bind(it.instead)
    .bind(it.num)
    .bind(it.instead)
    .bind(scope)
    .bind(key.0)
    .bind(key.1)
    .bind(scope)
    .bind(key.0)
    .bind(key.1);
    let deltas = Stmt::new(
        "UPDATE room_state_deltas SET event = ? \
         WHERE scope = ? AND type = ? AND state_key = ? AND event = ? \
         AND chain IN (SELECT chain FROM room_state_chains WHERE scope = ?)",
    )
    .bind(it.instead)
    .bind(scope)
    .bind(key.0)
    .bind(key.1)
    .bind(it.num)
    .bind(scope);
    [log, deltas]
}

/// The current state changed.
pub fn insert_log(
    scope: i64,
    key: (&str, &str),
    position: Position,
    (event, previous): (Option<Num>, Option<Num>),
) -> Stmt {
    Stmt::new(
        "INSERT INTO room_state_log (scope, position, type, state_key, event, previous) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(position)
    .bind(key.0)
    .bind(key.1)
    .bind(event)
    .bind(previous)
}

/// A change of the current state.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where it stands in the room's stream.
    pub position: Position,
    /// Which key.
    pub key: StateKey,
    /// The number of its new event; none: the key is gone.
    pub event: Option<Num>,
    /// The number of the event before.
    pub previous: Option<Num>,
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
