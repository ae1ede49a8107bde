//! Account data of the user and of their rooms: `user_account_data`.

use ruma::RoomId;

use crate::{
    Result,
    messages::user::StreamPosition,
    ports::{Row, Sql, Stmt},
};

/// The `room_id` of what belongs to no room.
pub const GLOBAL: &str = "";

/// One piece of account data.
#[derive(Clone, Debug)]
pub struct AccountData {
    /// The room, or [`GLOBAL`].
    pub room_id: String,
    /// Its type.
    pub event_type: String,
    /// Its content, JSON.
    pub content: String,
}

impl AccountData {
    /// The bytes that it has with a content, as [`find_bytes`] counts them.
    pub fn bytes_with(&self, content: &str) -> u64 {
        (self.room_id.len() + self.event_type.len() + content.len()) as u64
    }
}

fn account_data(mut row: Row) -> Result<AccountData> {
    Ok(AccountData { room_id: row.take(0)?, event_type: row.take(1)?, content: row.take(2)? })
}

/// The content of one type.
pub async fn find(
    sql: &dyn Sql,
    scope: i64,
    room_id: &str,
    event_type: &str,
) -> Result<Option<String>> {
    let stmt = Stmt::new(
        "SELECT content FROM user_account_data WHERE scope = ? AND room_id = ? AND type = ?",
    )
    .bind(scope)
    .bind(room_id)
    .bind(event_type);
    sql.row(stmt).await?.map(|mut row| row.take(0)).transpose()
}

/// How many types there are.
pub async fn count(sql: &dyn Sql, scope: i64, room_id: &str) -> Result<u64> {
    let stmt = Stmt::new("SELECT COUNT(*) FROM user_account_data WHERE scope = ? AND room_id = ?")
        .bind(scope)
        .bind(room_id);
    let row = sql.row(stmt).await?;
    row.map_or(Ok(0), |mut row| row.take(0))
}

/// How many bytes all of it has.
pub async fn find_bytes(sql: &dyn Sql, scope: i64) -> Result<u64> {
    let stmt = Stmt::new(
        "SELECT coalesce(sum(length(CAST(room_id AS BLOB)) + length(CAST(type AS BLOB)) \
         + length(CAST(content AS BLOB))), 0) FROM user_account_data WHERE scope = ?",
    )
    .bind(scope);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// What changed after a position, of all rooms and of none; and when.
pub async fn list_since(
    sql: &dyn Sql,
    scope: i64,
    since: StreamPosition,
) -> Result<Vec<(StreamPosition, AccountData)>> {
    let stmt = Stmt::new(
        "SELECT room_id, type, content, seq FROM user_account_data WHERE scope = ? AND seq > ?",
    )
    .bind(scope)
    .bind(since);
    let with_seq = |mut row: Row| Ok((row.take(3)?, account_data(row)?));
    sql.rows(stmt).await?.into_iter().map(with_seq).collect()
}

/// All of some rooms.
pub async fn list_of(sql: &dyn Sql, scope: i64, room_ids: &[&RoomId]) -> Result<Vec<AccountData>> {
    let stmt = Stmt::new(
        "SELECT room_id, type, content FROM user_account_data WHERE scope = ? \
         AND room_id IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(room_ids)?);
    sql.rows(stmt).await?.into_iter().map(account_data).collect()
}

/// Sets one piece.
pub fn upsert(scope: i64, it: &AccountData, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "INSERT INTO user_account_data (scope, room_id, type, content, seq) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, room_id, type) DO UPDATE SET \
         content = excluded.content, seq = excluded.seq",
    )
    .bind(scope)
    .bind(it.room_id.as_str())
    .bind(it.event_type.as_str())
    .bind(it.content.as_str())
    .bind(seq)
}

/// Removes that of a room.
pub fn remove_of_room(scope: i64, room_id: &RoomId) -> Stmt {
    Stmt::new("DELETE FROM user_account_data WHERE scope = ? AND room_id = ?")
        .bind(scope)
        .bind(room_id.as_str())
}

/// Removes everything.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_account_data WHERE scope = ?").bind(scope)
}
