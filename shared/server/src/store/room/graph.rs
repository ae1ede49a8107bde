//! What the room engine reads: events as numbers, who authorizes whom, where states differ.

use ruma::{EventId, OwnedEventId};
use skerry_core::{
    authorize::StateKey,
    engine::{Num, StateAt, States, Verdict},
};

use super::events::{json_list, states};
use crate::{
    Error, Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// An event as the engine knows it.
#[derive(Debug)]
pub struct KnownRow {
    /// Its number.
    pub num: Num,
    /// Its ID.
    pub event_id: OwnedEventId,
    /// The PDU.
    pub json: String,
    /// What authorization reads of the content that a redaction took away.
    pub auth_content: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// The states around it.
    pub states: Option<States>,
    /// The events that authorize it; kept of state events.
    pub auth: Vec<Num>,
}

/// Where a state event stands among those that authorize state events.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub num: Num,
    /// Its key.
    pub key: StateKey,
    /// The events that authorize it.
    pub auth: Vec<Num>,
}

/// Events of an auth chain that are read in one go.
const CHAIN_PAGE: u64 = 500;
/// Events naming another that are read in one go.
const CITERS_PAGE: u64 = 50;

fn verdict(number: i64) -> Verdict {
    match number {
        0 => Verdict::Accepted,
        1 => Verdict::SoftFailed,
        _ => Verdict::Rejected,
    }
}

fn nums(text: Option<String>) -> Result<Vec<Num>> {
    Ok(text.map(|it| serde_json::from_str(&it)).transpose()?.unwrap_or_default())
}

fn event_id(text: String) -> Result<OwnedEventId> {
    EventId::parse(text).map_err(Error::internal)
}

/// The numbers of these events; unknown ones are left out.
pub async fn find_nums(
    sql: &dyn Sql,
    scope: i64,
    ids: &[OwnedEventId],
) -> Result<Vec<(OwnedEventId, Num)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = Stmt::new(
        "SELECT e.event_id, e.num FROM json_each(?) j CROSS JOIN room_events e \
         ON e.scope = ? AND e.event_id = j.value",
    )
    .bind(serde_json::to_string(ids)?)
    .bind(scope);
    let read = |mut row: Row| Ok((event_id(row.take(0)?)?, row.take(1)?));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// Numbers, keys and verdicts of these events; unknown ones and those without a key are left out.
pub async fn find_keys(
    sql: &dyn Sql,
    scope: i64,
    ids: &[OwnedEventId],
) -> Result<Vec<(Num, StateKey, Verdict)>> {
    let stmt = Stmt::new(
        "SELECT e.num, e.type, e.state_key, e.verdict FROM json_each(?) j \
         CROSS JOIN room_events e ON e.scope = ? AND e.event_id = j.value \
         AND e.state_key IS NOT NULL",
    )
    .bind(serde_json::to_string(ids)?)
    .bind(scope);
    let read =
        |mut row: Row| Ok((row.take(0)?, (row.take(1)?, row.take(2)?), verdict(row.take(3)?)));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// Of how many of these events the state before them is known.
pub async fn count_stateful(sql: &dyn Sql, scope: i64, ids: &[OwnedEventId]) -> Result<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    let stmt = Stmt::new(
        "SELECT count(*) FROM json_each(?) j CROSS JOIN room_events e \
         ON e.scope = ? AND e.event_id = j.value AND e.state_chain IS NOT NULL",
    )
    .bind(serde_json::to_string(ids)?)
    .bind(scope);
    let count: u64 = sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))?;
    usize::try_from(count).map_err(Error::internal)
}

/// The events with these numbers.
pub async fn list(sql: &dyn Sql, scope: i64, events: &[Num]) -> Result<Vec<KnownRow>> {
    let stmt = Stmt::new(
        "SELECT e.num, e.event_id, e.json, e.auth_content, e.verdict, e.state_chain, \
         e.state_group, e.after_chain, e.after_group, e.auth_events FROM json_each(?) j \
         CROSS JOIN room_events e ON e.scope = ? AND e.num = j.value",
    )
    .bind(json_list(events))
    .bind(scope);
    let read = |mut row: Row| {
        Ok(KnownRow {
            num: row.take(0)?,
            event_id: event_id(row.take(1)?)?,
            json: row.take(2)?,
            auth_content: row.take(3)?,
            verdict: verdict(row.take(4)?),
            states: states(&mut row, 5)?,
            auth: nums(row.take(9)?)?,
        })
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// These state events and the events of their auth chains, the nearest first, a page of them.
pub async fn list_chain(sql: &dyn Sql, scope: i64, events: &[Num]) -> Result<Vec<Node>> {
    let stmt = Stmt::new(
        "WITH RECURSIVE chain (num) AS (SELECT value FROM json_each(?) UNION \
         SELECT a.value FROM chain c CROSS JOIN room_events e ON e.scope = ? AND e.num = c.num \
         CROSS JOIN json_each(e.auth_events) a LIMIT ?) \
         SELECT e.num, e.type, e.state_key, e.auth_events FROM chain c \
         CROSS JOIN room_events e ON e.scope = ? AND e.num = c.num AND e.state_key IS NOT NULL",
    )
    .bind(json_list(events))
    .bind(scope)
    .bind(CHAIN_PAGE.max(events.len() as u64))
    .bind(scope);
    let read = |mut row: Row| {
        Ok(Node { num: row.take(0)?, key: (row.take(1)?, row.take(2)?), auth: nums(row.take(3)?)? })
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// Accepted state events that name this one among their auth events, newest first, a page below
/// `before`.
pub async fn list_citers(sql: &dyn Sql, scope: i64, cited: Num, before: Num) -> Result<Vec<Num>> {
    let stmt = Stmt::new(
        "SELECT citer FROM room_auth_edges WHERE scope = ? AND cited = ? AND citer < ? \
         ORDER BY citer DESC LIMIT ?",
    )
    .bind(scope)
    .bind(cited)
    .bind(before.min(MAX_NUM))
    .bind(CITERS_PAGE);
    sql.rows(stmt).await?.into_iter().map(|mut row| row.take(0)).collect()
}

/// The largest number that a statement can bind.
const MAX_NUM: Num = crate::ports::sql::MAX_SAFE_INTEGER as Num;

/// A state event names these events as those that authorize it.
pub fn insert_edges(scope: i64, citer: Num, cited: &[Num]) -> Stmt {
    Stmt::new(
        "INSERT OR IGNORE INTO room_auth_edges (scope, cited, citer) \
         SELECT ?, value, ? FROM json_each(?)",
    )
    .bind(scope)
    .bind(citer)
    .bind(json_list(cited))
}

/// A state event does not count among those that name these.
pub fn remove_edges(scope: i64, citer: Num, cited: &[Num]) -> Stmt {
    Stmt::new(
        "DELETE FROM room_auth_edges WHERE scope = ? AND citer = ? \
         AND cited IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(citer)
    .bind(json_list(cited))
}

/// The chains a state is made of, the one it is at first, each with the last group that counts.
pub async fn lineage(sql: &dyn Sql, scope: i64, at: StateAt) -> Result<Vec<StateAt>> {
    if at.chain == 0 {
        return Ok(vec![at]);
    }
    let stmt = Stmt::new(
        "WITH RECURSIVE lineage (depth, chain, upto) AS (SELECT 0, ?, ? UNION ALL \
         SELECT l.depth + 1, c.parent_chain, c.parent_group FROM lineage l \
         JOIN room_state_chains c ON c.scope = ? AND c.chain = l.chain \
         WHERE c.parent_chain IS NOT NULL AND l.depth < 16) \
         SELECT chain, upto FROM lineage ORDER BY depth",
    )
    .bind(at.chain)
    .bind(at.group)
    .bind(scope);
    let read = |mut row: Row| Ok(StateAt { chain: row.take(0)?, group: row.take(1)? });
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// The last group of a chain.
pub async fn find_tip(sql: &dyn Sql, scope: i64, chain: u64) -> Result<Position> {
    let stmt = Stmt::new(
        "SELECT coalesce(max(state_group), 0) FROM room_state_deltas \
         WHERE scope = ? AND chain = ?",
    )
    .bind(scope)
    .bind(chain);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// What these chains hang on, and what that hangs on, and so on.
pub async fn list_parents(
    sql: &dyn Sql,
    scope: i64,
    chains: &[u64],
) -> Result<Vec<(u64, StateAt)>> {
    let stmt = Stmt::new(
        "WITH RECURSIVE line (chain) AS (SELECT value FROM json_each(?) UNION \
         SELECT c.parent_chain FROM line l CROSS JOIN room_state_chains c ON c.scope = ? \
         AND c.chain = l.chain WHERE c.parent_chain IS NOT NULL) \
         SELECT c.chain, c.parent_chain, c.parent_group FROM line l \
         CROSS JOIN room_state_chains c ON c.scope = ? AND c.chain = l.chain \
         WHERE c.parent_chain IS NOT NULL",
    )
    .bind(json_list(chains))
    .bind(scope)
    .bind(scope);
    let read =
        |mut row: Row| Ok((row.take(0)?, StateAt { chain: row.take(1)?, group: row.take(2)? }));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// What these chains change, in the order of their groups.
pub async fn list_deltas(
    sql: &dyn Sql,
    scope: i64,
    chains: &[u64],
) -> Result<Vec<(StateAt, StateKey, Option<Num>)>> {
    let stmt = Stmt::new(
        "SELECT d.chain, d.state_group, d.type, d.state_key, d.event FROM json_each(?) j \
         CROSS JOIN room_state_deltas d ON d.scope = ? AND d.chain = j.value \
         ORDER BY d.state_group",
    )
    .bind(json_list(chains))
    .bind(scope);
    let read = |mut row: Row| {
        let at = StateAt { chain: row.take(0)?, group: row.take(1)? };
        Ok((at, (row.take(2)?, row.take(3)?), row.take(4)?))
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// A whole state as numbers: every key and its event.
pub async fn list_entries(sql: &dyn Sql, scope: i64, at: StateAt) -> Result<Vec<(StateKey, Num)>> {
    let stmt = Stmt::new(
        "WITH RECURSIVE lineage (depth, chain, upto) AS (SELECT 0, ?, ? UNION ALL \
         SELECT l.depth + 1, c.parent_chain, c.parent_group FROM lineage l \
         JOIN room_state_chains c ON c.scope = ? AND c.chain = l.chain \
         WHERE c.parent_chain IS NOT NULL AND l.depth < 16) \
         SELECT type, state_key, event FROM (SELECT d.type, d.state_key, d.event, \
         max(d.state_group) FROM lineage l CROSS JOIN room_state_deltas d ON d.scope = ? \
         AND d.chain = l.chain AND d.state_group <= l.upto GROUP BY d.type, d.state_key) \
         WHERE event IS NOT NULL",
    )
    .bind(at.chain)
    .bind(at.group)
    .bind(scope)
    .bind(scope);
    let read = |mut row: Row| Ok(((row.take(0)?, row.take(1)?), row.take(2)?));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}
