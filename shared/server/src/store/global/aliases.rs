//! This server's room aliases.

use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};

use crate::{
    Error, Result,
    ports::{Sql, Stmt},
};

/// The most aliases that are listed of one room.
pub const MAX_LISTED: u64 = 1000;

/// An alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The room it leads to.
    pub room_id: OwnedRoomId,
    /// Who made it, and may always remove it.
    pub creator: OwnedUserId,
}

/// Where an alias leads.
pub async fn find(global: &dyn Sql, alias: &RoomAliasId) -> Result<Option<Alias>> {
    let find = Stmt::new("SELECT room_id, creator FROM aliases WHERE alias = ?");
    let Some(mut row) = global.row(find.bind(alias.as_str())).await? else { return Ok(None) };
    Ok(Some(Alias {
        room_id: RoomId::parse(row.take::<String>(0)?).map_err(Error::internal)?,
        creator: UserId::parse(row.take::<String>(1)?).map_err(Error::internal)?,
    }))
}

/// The aliases of a room, at most [`MAX_LISTED`], in order.
pub async fn list(global: &dyn Sql, room_id: &RoomId) -> Result<Vec<OwnedRoomAliasId>> {
    let list = Stmt::new("SELECT alias FROM aliases WHERE room_id = ? ORDER BY alias LIMIT ?")
        .bind(room_id.as_str())
        .bind(MAX_LISTED);
    let aliases = global
        .rows(list)
        .await?
        .into_iter()
        .map(|mut row| RoomAliasId::parse(row.take::<String>(0)?).map_err(Error::internal));
    aliases.collect()
}

/// A new alias. A conflict: it leads somewhere already.
pub fn insert(alias: &RoomAliasId, room_id: &RoomId, creator: &UserId) -> Stmt {
    Stmt::new("INSERT INTO aliases (alias, room_id, creator) VALUES (?, ?, ?)")
        .bind(alias.as_str())
        .bind(room_id.as_str())
        .bind(creator.as_str())
}

/// Removes an alias, if it still leads to this room: between the check of who may and the
/// removal it may have been given to another.
pub fn remove(alias: &RoomAliasId, room_id: &RoomId) -> Stmt {
    Stmt::new("DELETE FROM aliases WHERE alias = ? AND room_id = ?")
        .bind(alias.as_str())
        .bind(room_id.as_str())
}
