//! What of a room's events somebody has not read.

use ruma::{OwnedUserId, UserId};

use crate::{
    Result,
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
/// their server sends by itself. What ignored users send does not, save for state.
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
         notifies > 0 OR mentions IS NOT NULL) AND (state_key IS NOT NULL OR sender NOT IN \
         (SELECT value FROM json_each(?))) ORDER BY num DESC LIMIT ?",
    )
    .bind(scope)
    .bind(after)
    .bind(limits.scanned)
    .bind(user_id.as_str())
    .bind(serde_json::to_string(ignored)?)
    .bind(limits.given);
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
