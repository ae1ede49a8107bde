//! How far rooms were read, and when: `user_marks`.

use ruma::RoomId;

use crate::{
    Result,
    messages::{room::Position, user::StreamPosition},
    ports::{Sql, Stmt},
};

/// When a room was read, oldest first.
pub async fn list(sql: &dyn Sql, scope: i64, room_id: &RoomId) -> Result<Vec<StreamPosition>> {
    let stmt = Stmt::new("SELECT seq FROM user_marks WHERE scope = ? AND room_id = ? ORDER BY seq")
        .bind(scope)
        .bind(room_id.as_str());
    sql.rows(stmt).await?.into_iter().map(|mut row| row.take(0)).collect()
}

/// Records how far rooms were read.
pub fn insert_list(scope: i64, rooms: &[(&RoomId, Position)], seq: StreamPosition) -> Result<Stmt> {
    Ok(Stmt::new(
        "INSERT INTO user_marks (scope, room_id, seq, position) \
         SELECT ?, value ->> 0, ?, value ->> 1 FROM json_each(?)",
    )
    .bind(scope)
    .bind(seq)
    .bind(serde_json::to_string(rooms)?))
}

/// Removes some marks of a room.
pub fn remove_list(scope: i64, room_id: &RoomId, marks: &[StreamPosition]) -> Result<Stmt> {
    Ok(Stmt::new(
        "DELETE FROM user_marks WHERE scope = ? AND room_id = ? \
         AND seq IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(room_id.as_str())
    .bind(serde_json::to_string(marks)?))
}

/// Removes all marks of a room.
pub fn remove_room(scope: i64, room_id: &RoomId) -> Stmt {
    Stmt::new("DELETE FROM user_marks WHERE scope = ? AND room_id = ?")
        .bind(scope)
        .bind(room_id.as_str())
}
