//! This server's room aliases.

use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};

use crate::{
    Error, Result,
    ports::{Sql, Stmt},
};

/// The most aliases of one room, about. A room that is known by a dozen names is rare.
pub const MAX_OF_ROOM: u64 = 100;

/// An alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The room it leads to.
    pub room_id: OwnedRoomId,
    /// Who made it, and may always remove it.
    pub creator: OwnedUserId,
    /// It is only reserved: whether it leads to the room depends on whether there is one. After
    /// this time none begins that has the alias. In milliseconds since the Unix epoch.
    pub reserved_until_ms: Option<u64>,
}

/// What an alias is, or is reserved to be.
pub async fn find(global: &dyn Sql, alias: &RoomAliasId) -> Result<Option<Alias>> {
    let find = Stmt::new("SELECT room_id, creator, pending_until_ms FROM aliases WHERE alias = ?")
        .bind(alias.as_str());
    let Some(mut row) = global.row(find).await? else { return Ok(None) };
    Ok(Some(Alias {
        room_id: RoomId::parse(row.take::<String>(0)?).map_err(Error::internal)?,
        creator: UserId::parse(row.take::<String>(1)?).map_err(Error::internal)?,
        reserved_until_ms: row.take(2)?,
    }))
}

/// How many aliases lead to a room.
pub async fn count(global: &dyn Sql, room_id: &RoomId) -> Result<u64> {
    let count = Stmt::new("SELECT COUNT(*) FROM aliases WHERE room_id = ?").bind(room_id.as_str());
    global.row(count).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// The aliases of a room that exists, twice [`MAX_OF_ROOM`] at most, in order.
pub async fn list(global: &dyn Sql, room_id: &RoomId) -> Result<Vec<OwnedRoomAliasId>> {
    let list = Stmt::new("SELECT alias FROM aliases WHERE room_id = ? ORDER BY alias LIMIT ?")
        .bind(room_id.as_str())
        .bind(2 * MAX_OF_ROOM);
    let aliases = global
        .rows(list)
        .await?
        .into_iter()
        .map(|mut row| RoomAliasId::parse(row.take::<String>(0)?).map_err(Error::internal));
    aliases.collect()
}

/// Reserves an alias until a time (milliseconds since the Unix epoch); [`update_confirmed`] makes
/// an alias of it. Gives a row when it was free.
pub fn reserve(alias: &RoomAliasId, room_id: &RoomId, creator: &UserId, until_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO aliases (alias, room_id, creator, pending_until_ms) VALUES (?, ?, ?, ?) \
         ON CONFLICT (alias) DO NOTHING RETURNING 1",
    )
    .bind(alias.as_str())
    .bind(room_id.as_str())
    .bind(creator.as_str())
    .bind(until_ms)
}

/// What is reserved for a room leads to it from now on, unless another room has it by now.
pub fn update_confirmed(alias: &RoomAliasId, room_id: &RoomId) -> Stmt {
    Stmt::new("UPDATE aliases SET pending_until_ms = NULL WHERE alias = ? AND room_id = ?")
        .bind(alias.as_str())
        .bind(room_id.as_str())
}

/// Gives back what is reserved for a room that is not going to be.
pub fn remove_pending(alias: &RoomAliasId, room_id: &RoomId) -> Stmt {
    Stmt::new(
        "DELETE FROM aliases WHERE alias = ? AND room_id = ? AND pending_until_ms IS NOT NULL",
    )
    .bind(alias.as_str())
    .bind(room_id.as_str())
}

/// Removes all aliases of a room.
pub fn remove_all(room_id: &RoomId) -> Stmt {
    Stmt::new("DELETE FROM aliases WHERE room_id = ?").bind(room_id.as_str())
}

/// Removes an alias, if it still leads to this room: between the check of who may and the
/// removal it may have been given to another.
pub fn remove(alias: &RoomAliasId, room_id: &RoomId) -> Stmt {
    Stmt::new("DELETE FROM aliases WHERE alias = ? AND room_id = ?")
        .bind(alias.as_str())
        .bind(room_id.as_str())
}
