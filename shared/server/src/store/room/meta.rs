//! What a room's events alone do not tell: `room_meta`.

use ruma::RoomVersionId;

use crate::{
    Error, Result,
    messages::room::Position,
    ports::{Sql, Stmt},
};

/// The row of a room.
#[derive(Debug)]
pub struct Meta {
    /// The version of the room.
    pub version: RoomVersionId,
    /// Every local member has been told of activity up to this position.
    pub notified: Position,
    /// The newest position of a receipt.
    pub receipts_head: Position,
    /// When who is typing last changed.
    pub typing_head: Position,
}

/// The row, if the room exists here.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<Option<Meta>> {
    let stmt = Stmt::new(
        "SELECT version, notified, \
         coalesce((SELECT max(position) FROM room_receipts WHERE scope = ?), 0), \
         coalesce((SELECT max(position) FROM room_typing_changes WHERE scope = ?), 0) \
         FROM room_meta WHERE scope = ?",
    )
    .bind(scope)
    .bind(scope)
    .bind(scope);
    let Some(mut row) = sql.row(stmt).await? else { return Ok(None) };
    let version: String = row.take(0)?;
    let version = RoomVersionId::try_from(version).map_err(Error::internal)?;
    Ok(Some(Meta {
        version,
        notified: row.take(1)?,
        receipts_head: row.take(2)?,
        typing_head: row.take(3)?,
    }))
}

/// The room begins.
pub fn insert(scope: i64, room_id: &str, version: &RoomVersionId) -> Stmt {
    Stmt::new("INSERT INTO room_meta (scope, room_id, version, notified) VALUES (?, ?, ?, 0)")
        .bind(scope)
        .bind(room_id)
        .bind(version.as_str())
}

/// Every local member has been told of activity up to `position`.
pub fn update_notified(scope: i64, position: Position) -> Stmt {
    Stmt::new("UPDATE room_meta SET notified = ? WHERE scope = ?").bind(position).bind(scope)
}
