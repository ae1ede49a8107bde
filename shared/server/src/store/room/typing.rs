//! Who is typing: `room_typing` and `room_typing_changes`.

use ruma::UserId;

use crate::{
    Result,
    messages::room::Position,
    ports::{Sql, Stmt},
};

/// Users whose typing has not expired, by name.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<(String, u64)>> {
    let stmt =
        Stmt::new("SELECT user_id, expires_ms FROM room_typing WHERE scope = ? ORDER BY user_id")
            .bind(scope);
    sql.rows(stmt).await?.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}

/// A user types until `expires_ms`.
pub fn upsert(scope: i64, user_id: &UserId, expires_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO room_typing (scope, user_id, expires_ms) VALUES (?, ?, ?) \
         ON CONFLICT (scope, user_id) DO UPDATE SET expires_ms = excluded.expires_ms",
    )
    .bind(scope)
    .bind(user_id.as_str())
    .bind(expires_ms)
}

/// A user stopped typing.
pub fn remove(scope: i64, user_id: &str) -> Stmt {
    Stmt::new("DELETE FROM room_typing WHERE scope = ? AND user_id = ?").bind(scope).bind(user_id)
}

/// The set of typing users changed.
pub fn upsert_changed(scope: i64, position: Position) -> Stmt {
    Stmt::new(
        "INSERT INTO room_typing_changes (scope, position) VALUES (?, ?) \
         ON CONFLICT (scope) DO UPDATE SET position = excluded.position",
    )
    .bind(scope)
    .bind(position)
}
