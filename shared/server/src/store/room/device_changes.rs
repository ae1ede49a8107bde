//! Whose devices have changed, a row a member: `room_device_changes`.

use ruma::{OwnedUserId, UserId};

use crate::{
    Error, Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// The devices of a member have changed.
pub fn upsert(scope: i64, user_id: &UserId, position: Position) -> Stmt {
    Stmt::new(
        "INSERT INTO room_device_changes (scope, user_id, position) VALUES (?, ?, ?) \
         ON CONFLICT (scope, user_id) DO UPDATE SET position = excluded.position",
    )
    .bind(scope)
    .bind(user_id.as_str())
    .bind(position)
}

fn change(mut row: Row) -> Result<(Position, OwnedUserId)> {
    let user_id: String = row.take(1)?;
    Ok((row.take(0)?, UserId::parse(user_id).map_err(Error::internal)?))
}

/// Joined members whose devices have changed behind a position, up to another one.
pub async fn list(
    sql: &dyn Sql,
    scope: i64,
    (after, upto): (Position, Position),
) -> Result<Vec<(Position, OwnedUserId)>> {
    let stmt = Stmt::new(
        "SELECT c.position, c.user_id FROM room_device_changes c \
         WHERE scope = ? AND position > ? AND position <= ? \
         AND EXISTS (SELECT 1 FROM room_members m WHERE m.scope = c.scope \
             AND m.user_id = c.user_id AND m.membership = 'join')",
    )
    .bind(scope)
    .bind(after)
    .bind(upto);
    sql.rows(stmt).await?.into_iter().map(change).collect()
}

/// Users of this server of that kind, the oldest change first, `limit` at most. `local`: how their
/// IDs end.
pub async fn list_outgoing(
    sql: &dyn Sql,
    scope: i64,
    (after, upto): (Position, Position),
    local: &str,
    limit: u64,
) -> Result<Vec<(Position, OwnedUserId)>> {
    let stmt = Stmt::new(
        "SELECT c.position, c.user_id FROM room_device_changes c \
         WHERE scope = ? AND position > ? AND position <= ? \
         AND substr(user_id, -length(?)) = ? \
         AND EXISTS (SELECT 1 FROM room_members m WHERE m.scope = c.scope \
             AND m.user_id = c.user_id AND m.membership = 'join') ORDER BY position LIMIT ?",
    )
    .bind(scope)
    .bind(after)
    .bind(upto)
    .bind(local)
    .bind(local)
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(change).collect()
}
