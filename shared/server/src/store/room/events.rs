//! A room's events: `room_events` and `room_transactions`.

use ruma::{DeviceId, EventId, OwnedEventId, TransactionId, UserId};
use skerry_core::engine::{Num, StateAt, States, Verdict};

use super::unread::Unread;
use crate::{
    Error, Result,
    messages::room::{Direction, Position},
    ports::{Row, Sql, Stmt},
};

/// Columns of [`StoredEvent`], in order.
macro_rules! columns {
    () => {
        "num, event_id, type, state_key, sender, json, redacted_by, sent_by, replaces, \
         state_chain, state_group, after_chain, after_group, moved_to, auth_content"
    };
}
pub(super) use columns;

/// What clients may know of: neither outliers nor what was rejected or soft-failed.
macro_rules! visible {
    () => {
        "verdict = 0 AND state_chain IS NOT NULL"
    };
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its number.
    pub num: Num,
    /// Where it stands in the room's stream; its number, unless it was moved.
    pub position: Position,
    /// The states around it; none for an outlier.
    pub states: Option<States>,
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
    /// Of a redacted event: what authorization reads of the content it had.
    pub auth_content: Option<String>,
    /// The number of the event that redacted it.
    pub redacted_by: Option<Num>,
    /// [`crate::messages::room::SentBy`] as JSON.
    pub sent_by: Option<String>,
    /// The number of the event whose place in the state it took.
    pub replaces: Option<Num>,
}

impl TryFrom<Row> for StoredEvent {
    type Error = Error;

    fn try_from(mut row: Row) -> Result<Self> {
        let event_id: String = row.take(1)?;
        let num = row.take(0)?;
        Ok(Self {
            num,
            position: row.take::<Option<Position>>(13)?.unwrap_or(num),
            states: states(&mut row, 9)?,
            event_id: EventId::parse(event_id).map_err(Error::internal)?,
            event_type: row.take(2)?,
            state_key: row.take(3)?,
            sender: row.take(4)?,
            json: row.take(5)?,
            auth_content: row.take(14)?,
            redacted_by: row.take(6)?,
            sent_by: row.take(7)?,
            replaces: row.take(8)?,
        })
    }
}

pub(super) fn many(rows: Vec<Row>) -> Result<Vec<StoredEvent>> {
    rows.into_iter().map(StoredEvent::try_from).collect()
}

/// The states around an event, from the four columns that name them.
pub(super) fn states(row: &mut Row, first: usize) -> Result<Option<States>> {
    let Some(chain) = row.take(first)? else { return Ok(None) };
    let before = StateAt { chain, group: row.take(first + 1)? };
    let after = match row.take(first + 2)? {
        Some(chain) => StateAt { chain, group: row.take(first + 3)? },
        None => before,
    };
    Ok(Some(States { before, after }))
}

/// A list of numbers as the JSON array that statements take.
pub(super) fn json_list(nums: &[Num]) -> String {
    let mut text = String::with_capacity(nums.len() * 8 + 2);
    text.push('[');
    for (index, num) in nums.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&num.to_string());
    }
    text.push(']');
    text
}

/// Event IDs, which are all that a statement gives.
pub(super) async fn list_ids(sql: &dyn Sql, stmt: Stmt) -> Result<Vec<OwnedEventId>> {
    let read = |mut row: Row| EventId::parse(row.take::<String>(0)?).map_err(Error::internal);
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// The event with this ID, when clients may know of it.
pub async fn find(sql: &dyn Sql, scope: i64, event_id: &EventId) -> Result<Option<StoredEvent>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM room_events WHERE scope = ? AND event_id = ? AND ",
        visible!()
    ))
    .bind(scope)
    .bind(event_id.as_str());
    sql.row(stmt).await?.map(StoredEvent::try_from).transpose()
}

/// The events with these numbers, in the order of their numbers.
pub async fn list(sql: &dyn Sql, scope: i64, nums: &[Num]) -> Result<Vec<StoredEvent>> {
    if nums.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM room_events WHERE scope = ? \
         AND num IN (SELECT value FROM json_each(?)) ORDER BY num"
    ))
    .bind(scope)
    .bind(json_list(nums));
    many(sql.rows(stmt).await?)
}

/// The event with the highest number among those that stand at theirs and clients may know of.
pub async fn find_newest(sql: &dyn Sql, scope: i64) -> Result<Option<StoredEvent>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM room_events WHERE scope = ? AND moved_to IS NULL AND ",
        visible!(),
        " ORDER BY num DESC LIMIT 1"
    ))
    .bind(scope);
    sql.row(stmt).await?.map(StoredEvent::try_from).transpose()
}

/// The highest number and the highest position of any event, zero in an empty room.
pub async fn find_head(sql: &dyn Sql, scope: i64) -> Result<Position> {
    let stmt = Stmt::new(
        "SELECT max(coalesce((SELECT max(num) FROM room_events WHERE scope = ?), 0), \
         coalesce((SELECT max(moved_to) FROM room_events WHERE scope = ? \
         AND moved_to IS NOT NULL), 0))",
    )
    .bind(scope)
    .bind(scope);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// A page of what clients may know of. Most events stand at their number; the others are found
/// by an index of their own.
macro_rules! page {
    ($order:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            ", num AS position FROM room_events \
             WHERE scope = ? AND num > ? AND num <= ? AND moved_to IS NULL AND ",
            visible!(),
            " UNION ALL SELECT ",
            columns!(),
            ", moved_to FROM room_events \
             WHERE scope = ? AND moved_to > ? AND moved_to <= ? AND ",
            visible!(),
            " ORDER BY position ",
            $order,
            " LIMIT ?"
        )
    };
}

/// Events with `after < position <= upto`, at most `limit`, in the given direction.
pub async fn page(
    sql: &dyn Sql,
    scope: i64,
    after: Position,
    upto: Position,
    direction: Direction,
    limit: u64,
) -> Result<Vec<StoredEvent>> {
    let text = match direction {
        Direction::Backward => page!("DESC"),
        Direction::Forward => page!("ASC"),
    };
    let range = |stmt: Stmt| stmt.bind(scope).bind(after).bind(upto);
    many(sql.rows(range(range(Stmt::new(text))).bind(limit)).await?)
}

/// The verdict on an event, and the events that authorize it.
#[derive(Clone, Debug)]
pub struct Judgment {
    /// The verdict.
    pub verdict: Verdict,
    /// The numbers of the events that authorize it; kept of state events that were not rejected.
    pub auth: Option<Box<[Num]>>,
}

impl Judgment {
    /// The judgment on a message that was accepted.
    pub const MESSAGE: Self = Self { verdict: Verdict::Accepted, auth: None };
}

/// A verdict as a number.
pub(super) fn verdict_number(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Accepted => 0,
        Verdict::SoftFailed => 1,
        Verdict::Rejected => 2,
    }
}

/// Adds an event; `stored_us` is an instant that is not before that of any other.
pub fn insert(
    scope: i64,
    it: &StoredEvent,
    judgment: &Judgment,
    unread: &Unread,
    stored_us: u64,
) -> Stmt {
    let (before, after) = match it.states {
        Some(states) => (Some(states.before), (states.after != states.before).then_some(states)),
        None => (None, None),
    };
    let after = after.map(|it| it.after);
    Stmt::new(
        "INSERT INTO room_events (scope, num, event_id, type, state_key, sender, stored_us, json, \
         verdict, moved_to, state_chain, state_group, after_chain, after_group, auth_events, \
         replaces, notifies, mentions, thread, sent_by) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(it.num)
    .bind(it.event_id.as_str())
    .bind(it.event_type.as_str())
    .bind(it.state_key.clone())
    .bind(it.sender.as_str())
    .bind(stored_us)
    .bind(it.json.as_str())
    .bind(verdict_number(judgment.verdict))
    .bind((it.position != it.num).then_some(it.position))
    .bind(before.map(|it| it.chain))
    .bind(before.map(|it| it.group))
    .bind(after.map(|it| it.chain))
    .bind(after.map(|it| it.group))
    .bind(judgment.auth.as_deref().map(json_list))
    .bind(it.replaces)
    .bind(unread.notifies)
    .bind(unread.mentions.clone())
    .bind(unread.thread.clone())
    .bind(it.sent_by.clone())
}

/// An outlier has come as an event of the room, or has been judged anew.
pub fn update_judgment(scope: i64, it: &StoredEvent, judgment: &Judgment) -> Stmt {
    let after = it.states.filter(|it| it.after != it.before).map(|it| it.after);
    Stmt::new(
        "UPDATE room_events SET verdict = ?, moved_to = ?, state_chain = ?, state_group = ?, \
         after_chain = ?, after_group = ?, auth_events = ?, replaces = ? \
         WHERE scope = ? AND num = ?",
    )
    .bind(verdict_number(judgment.verdict))
    .bind((it.position != it.num).then_some(it.position))
    .bind(it.states.map(|it| it.before.chain))
    .bind(it.states.map(|it| it.before.group))
    .bind(after.map(|it| it.chain))
    .bind(after.map(|it| it.group))
    .bind(judgment.auth.as_deref().map(json_list))
    .bind(it.replaces)
    .bind(scope)
    .bind(it.num)
}

/// The state after an event is another one than was known.
pub fn update_after(scope: i64, num: Num, after: StateAt) -> Stmt {
    Stmt::new("UPDATE room_events SET after_chain = ?, after_group = ? WHERE scope = ? AND num = ?")
        .bind(after.chain)
        .bind(after.group)
        .bind(scope)
        .bind(num)
}

/// Replaces an event by what its redaction leaves.
pub fn redact(scope: i64, num: Num, json: &str, auth_content: Option<String>, by: Num) -> Stmt {
    Stmt::new(
        "UPDATE room_events SET json = ?, auth_content = ?, redacted_by = ?, notifies = 0, \
         mentions = NULL, thread = NULL WHERE scope = ? AND num = ?",
    )
    .bind(json)
    .bind(auth_content)
    .bind(by)
    .bind(scope)
    .bind(num)
}

/// What tells a user's transactions apart ([spec]): each part is compared by itself.
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers
#[derive(Clone, Copy, Debug)]
pub struct TransactionKey<'a> {
    /// The device.
    pub device_id: &'a DeviceId,
    /// The endpoint.
    pub endpoint: &'static str,
    /// What stands before the ID in the path.
    pub subject: &'a str,
    /// The ID.
    pub transaction_id: &'a TransactionId,
}

/// The event a device's transaction made.
pub async fn find_by_transaction(
    sql: &dyn Sql,
    scope: i64,
    sender: &UserId,
    key: TransactionKey<'_>,
) -> Result<Option<OwnedEventId>> {
    let stmt = Stmt::new(
        "SELECT e.event_id FROM room_transactions t \
         JOIN room_events e ON e.scope = t.scope AND e.num = t.position \
         WHERE t.scope = ? AND t.sender = ? AND t.device_id = ? \
         AND t.endpoint = ? AND t.subject = ? AND t.transaction_id = ?",
    )
    .bind(scope)
    .bind(sender.as_str())
    .bind(key.device_id.as_str())
    .bind(key.endpoint)
    .bind(key.subject)
    .bind(key.transaction_id.as_str());
    let Some(mut row) = sql.row(stmt).await? else { return Ok(None) };
    let event_id: String = row.take(0)?;
    Ok(Some(EventId::parse(event_id).map_err(Error::internal)?))
}

/// Remembers which event a device's transaction made.
pub fn insert_transaction(
    scope: i64,
    sender: &UserId,
    key: TransactionKey<'_>,
    (position, now_ms): (Position, u64),
) -> Stmt {
    Stmt::new(
        "INSERT INTO room_transactions (scope, sender, device_id, endpoint, subject, \
         transaction_id, position, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(sender.as_str())
    .bind(key.device_id.as_str())
    .bind(key.endpoint)
    .bind(key.subject)
    .bind(key.transaction_id.as_str())
    .bind(position)
    .bind(now_ms)
}
