//! What of a room's events somebody has not read.

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};

use crate::{
    Error, Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

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

/// How many events one reading may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The newest events that are looked at, whatever they are.
    pub scanned: u64,
    /// Those that are given.
    pub given: u64,
}

/// Events after a position that count for a user, newest first: those of others that notify
/// somebody, and those that the user sent, but for their own membership and dummy events, which
/// their server sends by itself. What ignored users send does not.
pub async fn list(
    sql: &dyn Sql,
    scope: i64,
    after: Position,
    user_id: &UserId,
    ignored: &[OwnedUserId],
    limits: Limits,
) -> Result<Vec<Unread>> {
    let stmt = Stmt::new(
        "SELECT num, sender, notifies, mentions, thread FROM (\
         SELECT num, sender, type, state_key, notifies, mentions, thread FROM room_events \
         WHERE scope = ? AND num > ? ORDER BY num DESC LIMIT ?) WHERE iif(sender = ?, \
         type <> 'org.matrix.dummy_event' AND (type <> 'm.room.member' OR state_key <> sender), \
         notifies > 0 OR mentions IS NOT NULL) AND sender NOT IN \
         (SELECT value FROM json_each(?)) ORDER BY num DESC LIMIT ?",
    )
    .bind(scope)
    .bind(after)
    .bind(limits.scanned)
    .bind(user_id.as_str())
    .bind(serde_json::to_string(ignored)?)
    .bind(limits.given);
    sql.rows(stmt).await?.into_iter().map(|mut row| unread(&mut row)).collect()
}

/// An event that may count, whatever rules say so.
#[derive(Clone, Debug)]
pub struct Whole {
    /// What is known of it.
    pub unread: Unread,
    /// Its ID.
    pub event_id: OwnedEventId,
    /// The event.
    pub json: String,
    /// When it was stored.
    pub stored_us: u64,
}

/// Events between two positions that may count for a user by any rules, newest first: those of
/// others, and those that the user sent as [`list`] has them. What ignored users send does not, nor
/// what was redacted.
pub async fn list_whole(
    sql: &dyn Sql,
    scope: i64,
    (after, before): (Position, Position),
    user_id: &UserId,
    ignored: &[OwnedUserId],
    limit: u64,
) -> Result<Vec<Whole>> {
    let stmt = Stmt::new(
        "SELECT num, sender, notifies, mentions, thread, event_id, json, stored_us FROM room_events \
         WHERE scope = ? AND num > ? AND num < ? AND moved_to IS NULL AND verdict = 0 \
         AND state_chain IS NOT NULL AND redacted_by IS NULL \
         AND type <> 'org.matrix.dummy_event' \
         AND iif(sender = ?, type <> 'm.room.member' OR state_key <> sender, 1) \
         AND sender NOT IN (SELECT value FROM json_each(?)) ORDER BY num DESC LIMIT ?",
    )
    .bind(scope)
    .bind(after)
    .bind(before)
    .bind(user_id.as_str())
    .bind(serde_json::to_string(ignored)?)
    .bind(limit);
    let read = |mut row: Row| {
        let event_id = EventId::parse(row.take::<String>(5)?).map_err(Error::internal)?;
        let (json, stored_us) = (row.take(6)?, row.take(7)?);
        Ok(Whole { event_id, json, stored_us, unread: unread(&mut row)? })
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

fn unread(row: &mut Row) -> Result<Unread> {
    Ok(Unread {
        position: row.take(0)?,
        sender: row.take(1)?,
        notifies: row.take(2)?,
        mentions: row.take(3)?,
        thread: row.take(4)?,
    })
}

/// The last events of a user by thread, among the newest: outside threads, and in each. As
/// [`list`] has them.
pub async fn list_last_own(
    sql: &dyn Sql,
    scope: i64,
    after: Position,
    user_id: &UserId,
    scanned: u64,
) -> Result<Vec<(Option<String>, Position)>> {
    let stmt = Stmt::new(
        "SELECT thread, max(num) FROM (SELECT num, sender, type, state_key, thread \
         FROM room_events WHERE scope = ? AND num > ? ORDER BY num DESC LIMIT ?) \
         WHERE sender = ? AND type <> 'org.matrix.dummy_event' \
         AND (type <> 'm.room.member' OR state_key <> sender) GROUP BY thread",
    )
    .bind(scope)
    .bind(after)
    .bind(scanned)
    .bind(user_id.as_str());
    let read = |mut row: Row| Ok((row.take(0)?, row.take(1)?));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// The last event before a position, and when it was stored.
pub async fn find_before(
    sql: &dyn Sql,
    scope: i64,
    before: Position,
) -> Result<Option<(Position, u64)>> {
    let stmt = Stmt::new(
        "SELECT num, stored_us FROM room_events WHERE scope = ? AND num < ? \
         ORDER BY num DESC LIMIT 1",
    );
    let row = sql.row(stmt.bind(scope).bind(before)).await?;
    row.map(|mut row| Ok((row.take(0)?, row.take(1)?))).transpose()
}
