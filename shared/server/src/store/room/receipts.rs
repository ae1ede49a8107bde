//! Read receipts: `room_receipts`.

use ruma::UserId;

use crate::{
    Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// A receipt as it is stored.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Whose.
    pub user_id: String,
    /// `m.read` or `m.read.private`.
    pub kind: String,
    /// Empty: unthreaded; `main`; or the root of a thread.
    pub thread: String,
    /// The last event read.
    pub event_id: String,
    /// Where that event is.
    pub event_position: Position,
    /// When it was set, in milliseconds since the Unix epoch.
    pub ts: u64,
    /// When it was set, in the room's stream.
    pub position: Position,
}

/// Columns of [`Receipt`], in order.
macro_rules! columns {
    () => {
        "user_id, kind, thread, event_id, event_position, ts, position"
    };
}

fn receipt(mut row: Row) -> Result<Receipt> {
    Ok(Receipt {
        user_id: row.take(0)?,
        kind: row.take(1)?,
        thread: row.take(2)?,
        event_id: row.take(3)?,
        event_position: row.take(4)?,
        ts: row.take(5)?,
        position: row.take(6)?,
    })
}

/// Sets a receipt.
pub fn upsert(scope: i64, it: &Receipt) -> Stmt {
    Stmt::new(
        "INSERT INTO room_receipts \
         (scope, user_id, kind, thread, event_id, event_position, ts, position) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope, user_id, kind, thread) DO UPDATE SET \
         event_id = excluded.event_id, event_position = excluded.event_position, \
         ts = excluded.ts, position = excluded.position",
    )
    .bind(scope)
    .bind(it.user_id.as_str())
    .bind(it.kind.as_str())
    .bind(it.thread.as_str())
    .bind(it.event_id.as_str())
    .bind(it.event_position)
    .bind(it.ts)
    .bind(it.position)
}

/// Removes a receipt.
pub fn remove(scope: i64, it: &Receipt) -> Stmt {
    Stmt::new(
        "DELETE FROM room_receipts WHERE scope = ? AND user_id = ? AND kind = ? AND thread = ?",
    )
    .bind(scope)
    .bind(it.user_id.as_str())
    .bind(it.kind.as_str())
    .bind(it.thread.as_str())
}

/// A user's receipts.
pub async fn list_by_user(sql: &dyn Sql, scope: i64, user_id: &UserId) -> Result<Vec<Receipt>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM room_receipts WHERE scope = ? AND user_id = ?"
    ))
    .bind(scope)
    .bind(user_id.as_str());
    sql.rows(stmt).await?.into_iter().map(receipt).collect()
}

/// Receipts set after a position that `user_id` may see: everybody's public ones, and their own
/// private ones. The newest, when there are more than `limit`.
pub async fn list_after(
    sql: &dyn Sql,
    scope: i64,
    after: Position,
    user_id: &UserId,
    limit: u64,
) -> Result<Vec<Receipt>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM room_receipts WHERE scope = ? AND position > ? \
         AND (kind = 'm.read' OR user_id = ?) ORDER BY position DESC LIMIT ?"
    ))
    .bind(scope)
    .bind(after)
    .bind(user_id.as_str())
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(receipt).collect()
}

/// Receipts that users of this server who are joined have set for all to see, behind a position up
/// to another one, the oldest first. `local`: how their IDs end.
pub async fn list_outgoing(
    sql: &dyn Sql,
    scope: i64,
    (after, upto): (Position, Position),
    local: &str,
    limit: u64,
) -> Result<Vec<Receipt>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM room_receipts r WHERE scope = ? AND position > ? AND position <= ? \
         AND kind = 'm.read' AND substr(user_id, -length(?)) = ? \
         AND EXISTS (SELECT 1 FROM room_members m WHERE m.scope = r.scope \
             AND m.user_id = r.user_id AND m.membership = 'join') ORDER BY position LIMIT ?"
    ))
    .bind(scope)
    .bind(after)
    .bind(upto)
    .bind(local)
    .bind(local)
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(receipt).collect()
}
