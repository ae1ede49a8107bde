//! What rooms are still to be asked: `user_outbox`.

use ruma::{OwnedRoomId, RoomId};

use crate::{
    Error, Result,
    messages::user::StreamPosition,
    ports::{Row, Sql, Stmt},
};

/// A command for a room.
#[derive(Clone, Debug)]
pub struct Errand {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The command, JSON.
    pub command: String,
    /// When it was written.
    pub seq: StreamPosition,
    /// How often it has failed.
    pub attempts: u64,
}

fn errand(mut row: Row) -> Result<Errand> {
    Ok(Errand {
        room_id: RoomId::parse(row.take::<String>(0)?).map_err(Error::internal)?,
        command: row.take(1)?,
        seq: row.take(2)?,
        attempts: row.take(3)?,
    })
}

/// Some of what is to be done, what failed least often first.
pub async fn list(sql: &dyn Sql, scope: i64, limit: u64) -> Result<Vec<Errand>> {
    let stmt = Stmt::new(
        "SELECT room_id, command, seq, attempts FROM user_outbox WHERE scope = ? \
         ORDER BY attempts, room_id LIMIT ?",
    )
    .bind(scope)
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(errand).collect()
}

/// Writes a command for every room the user is joined to.
pub fn insert_joined(scope: i64, command: &str, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "INSERT OR REPLACE INTO user_outbox (scope, room_id, command, seq, attempts) \
         SELECT scope, room_id, ?, ?, 0 FROM user_rooms WHERE scope = ? AND membership = 'join'",
    )
    .bind(command)
    .bind(seq)
    .bind(scope)
}

/// Writes a command for every room the user is in, invited to or knocking on.
pub fn insert_all(scope: i64, command: &str, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "INSERT OR REPLACE INTO user_outbox (scope, room_id, command, seq, attempts) \
         SELECT scope, room_id, ?, ?, 0 FROM user_rooms WHERE scope = ? \
         AND membership IN ('join', 'invite', 'knock')",
    )
    .bind(command)
    .bind(seq)
    .bind(scope)
}

/// The room has answered; unless there is a later command for it, there is no more to do.
pub fn remove(scope: i64, it: &Errand) -> Stmt {
    Stmt::new("DELETE FROM user_outbox WHERE scope = ? AND room_id = ? AND seq = ?")
        .bind(scope)
        .bind(it.room_id.as_str())
        .bind(it.seq)
}

/// The room could not be asked.
pub fn update_failed(scope: i64, it: &Errand) -> Stmt {
    Stmt::new(
        "UPDATE user_outbox SET attempts = attempts + 1 \
         WHERE scope = ? AND room_id = ? AND seq = ?",
    )
    .bind(scope)
    .bind(it.room_id.as_str())
    .bind(it.seq)
}
