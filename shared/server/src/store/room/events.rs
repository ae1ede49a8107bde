//! A room's events: `room_events` and `room_transactions`.

use ruma::{DeviceId, EventId, OwnedEventId, UserId};

use crate::{
    Error, Result,
    messages::room::{Direction, Position},
    ports::{Row, Sql, Stmt},
};

/// Columns of [`Stored`], in order.
macro_rules! columns {
    () => {
        "position, event_id, type, state_key, sender, json, redacted_by, sent_by, replaces"
    };
}
pub(super) use columns;

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where it stands in the room's stream.
    pub position: Position,
    /// Its ID.
    pub event_id: OwnedEventId,
    /// Its type.
    pub event_type: String,
    /// Its state key.
    pub state_key: Option<String>,
    /// Its sender.
    pub sender: String,
    /// The signed PDU.
    pub json: String,
    /// The position of the event that redacted it.
    pub redacted_by: Option<Position>,
    /// [`crate::messages::room::SentBy`] as JSON.
    pub sent_by: Option<String>,
    /// The position of the event whose place in the state it took.
    pub replaces: Option<Position>,
}

/// Names the state at some point of the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateAt {
    /// The chain of deltas.
    pub chain: u64,
    /// The last group of it that counts.
    pub group: Position,
}

impl TryFrom<Row> for Stored {
    type Error = Error;

    fn try_from(mut row: Row) -> Result<Self> {
        let event_id: String = row.take(1)?;
        Ok(Self {
            position: row.take(0)?,
            event_id: EventId::parse(event_id).map_err(Error::internal)?,
            event_type: row.take(2)?,
            state_key: row.take(3)?,
            sender: row.take(4)?,
            json: row.take(5)?,
            redacted_by: row.take(6)?,
            sent_by: row.take(7)?,
            replaces: row.take(8)?,
        })
    }
}

pub(super) fn many(rows: Vec<Row>) -> Result<Vec<Stored>> {
    rows.into_iter().map(Stored::try_from).collect()
}

/// A list of positions as the JSON array that statements take.
fn json_list(positions: &[Position]) -> String {
    let mut text = String::with_capacity(positions.len() * 8 + 2);
    text.push('[');
    for (index, position) in positions.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&position.to_string());
    }
    text.push(']');
    text
}

/// The event with this ID.
pub async fn find(sql: &dyn Sql, scope: i64, event_id: &EventId) -> Result<Option<Stored>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM room_events WHERE scope = ? AND event_id = ?"
    ))
    .bind(scope)
    .bind(event_id.as_str());
    sql.row(stmt).await?.map(Stored::try_from).transpose()
}

/// The events at these positions, in the order of the positions in the room.
pub async fn list(sql: &dyn Sql, scope: i64, positions: &[Position]) -> Result<Vec<Stored>> {
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM room_events WHERE scope = ? \
         AND position IN (SELECT value FROM json_each(?)) ORDER BY position"
    ))
    .bind(scope)
    .bind(json_list(positions));
    many(sql.rows(stmt).await?)
}

/// The newest event and the state before it, if the room has any.
pub async fn find_newest(sql: &dyn Sql, scope: i64) -> Result<Option<(Stored, StateAt)>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        ", state_chain, state_group FROM room_events WHERE scope = ? \
         ORDER BY position DESC LIMIT 1"
    ))
    .bind(scope);
    let Some(mut row) = sql.row(stmt).await? else { return Ok(None) };
    let state = StateAt { chain: row.take(9)?, group: row.take(10)? };
    Ok(Some((Stored::try_from(row)?, state)))
}

/// Events with `after < position <= upto`, at most `limit`, in the given direction.
pub async fn page(
    sql: &dyn Sql,
    scope: i64,
    after: Position,
    upto: Position,
    direction: Direction,
    limit: u64,
) -> Result<Vec<Stored>> {
    let text = match direction {
        Direction::Backward => concat!(
            "SELECT ",
            columns!(),
            " FROM room_events WHERE scope = ? AND position > ? \
             AND position <= ? ORDER BY position DESC LIMIT ?"
        ),
        Direction::Forward => concat!(
            "SELECT ",
            columns!(),
            " FROM room_events WHERE scope = ? AND position > ? \
             AND position <= ? ORDER BY position LIMIT ?"
        ),
    };
    many(sql.rows(Stmt::new(text).bind(scope).bind(after).bind(upto).bind(limit)).await?)
}

/// Adds an event; `state` is where the state before it is.
pub fn insert(scope: i64, it: &Stored, state: StateAt, unread: &Unread) -> Stmt {
    Stmt::new(
        "INSERT INTO room_events (scope, position, event_id, type, state_key, sender, json, \
         state_chain, state_group, replaces, notifies, mentions, thread, sent_by) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(it.position)
    .bind(it.event_id.as_str())
    .bind(it.event_type.as_str())
    .bind(it.state_key.clone())
    .bind(it.sender.as_str())
    .bind(it.json.as_str())
    .bind(state.chain)
    .bind(state.group)
    .bind(it.replaces)
    .bind(unread.notifies)
    .bind(unread.mentions.clone())
    .bind(unread.thread.clone())
    .bind(it.sent_by.clone())
}

/// Replaces an event by what its redaction leaves.
pub fn redact(scope: i64, position: Position, json: &str, by: Position) -> Stmt {
    Stmt::new(
        "UPDATE room_events SET json = ?, redacted_by = ?, notifies = 0, mentions = NULL, \
         thread = NULL WHERE scope = ? AND position = ?",
    )
    .bind(json)
    .bind(by)
    .bind(scope)
    .bind(position)
}

/// The event a device's transaction made.
pub async fn find_by_transaction(
    sql: &dyn Sql,
    scope: i64,
    sender: &UserId,
    device_id: &DeviceId,
    path: &str,
) -> Result<Option<OwnedEventId>> {
    let stmt = Stmt::new(
        "SELECT e.event_id FROM room_transactions t \
         JOIN room_events e ON e.scope = t.scope AND e.position = t.position \
         WHERE t.scope = ? AND t.sender = ? AND t.device_id = ? AND t.path = ?",
    )
    .bind(scope)
    .bind(sender.as_str())
    .bind(device_id.as_str())
    .bind(path);
    let Some(mut row) = sql.row(stmt).await? else { return Ok(None) };
    let event_id: String = row.take(0)?;
    Ok(Some(EventId::parse(event_id).map_err(Error::internal)?))
}

/// Remembers which event a device's transaction made.
pub fn insert_transaction(
    scope: i64,
    sender: &UserId,
    device_id: &DeviceId,
    path: &str,
    position: Position,
) -> Stmt {
    Stmt::new(
        "INSERT INTO room_transactions (scope, sender, device_id, path, position) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(sender.as_str())
    .bind(device_id.as_str())
    .bind(path)
    .bind(position)
}

/// What an event is to those who have not read it.
#[derive(Clone, Debug)]
pub struct Unread {
    /// Where it stands.
    pub position: Position,
    /// Its sender.
    pub sender: String,
    /// 1: notifies all; 2: highlights for all; 0: only its mentions count.
    pub notifies: i64,
    /// Users it highlights for, a JSON array.
    pub mentions: Option<String>,
    /// Its thread's root.
    pub thread: Option<String>,
}

/// Events of others after a position that notify somebody, newest first.
pub async fn list_unread(
    sql: &dyn Sql,
    scope: i64,
    after: Position,
    user_id: &UserId,
    limit: u64,
) -> Result<Vec<Unread>> {
    let stmt = Stmt::new(
        "SELECT position, sender, notifies, mentions, thread FROM room_events \
         WHERE scope = ? AND position > ? AND (notifies > 0 OR mentions IS NOT NULL) \
         AND sender <> ? ORDER BY position DESC LIMIT ?",
    )
    .bind(scope)
    .bind(after)
    .bind(user_id.as_str())
    .bind(limit);
    let read = |mut row: Row| {
        Ok(Unread {
            position: row.take(0)?,
            sender: row.take(1)?,
            notifies: row.take(2)?,
            mentions: row.take(3)?,
            thread: row.take(4)?,
        })
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}
