//! What a room's events alone do not tell: `room_meta`.

use ruma::{OwnedRoomAliasId, RoomAliasId, RoomVersionId};
use skerry_core::engine::Num;

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
    /// The newest position of a receipt.
    pub receipts_head: Position,
    /// The newest position of a change of devices.
    pub devices_head: Position,
    /// Numbers up to this one are taken.
    pub taken: Position,
    /// The forward extremities, where they are not the newest event alone.
    pub extremities: Option<Vec<Num>>,
    /// Events that wait for others.
    pub pending: u64,
    /// Events of the state that could not be verified.
    pub unverified: u64,
    /// Whether the directory shows the room.
    pub listed: bool,
    /// The alias that was reserved for the room when it was created.
    pub alias: Option<OwnedRoomAliasId>,
}

/// The row, if the room exists here.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<Option<Meta>> {
    let stmt = Stmt::new(
        "SELECT version, \
         coalesce((SELECT max(position) FROM room_receipts WHERE scope = ?), 0), taken, \
         extremities, (SELECT count(*) FROM room_pending WHERE scope = ?), listed, \
         alias, \
         (SELECT count(*) FROM room_unverified WHERE scope = ? AND state_group > 0), \
         coalesce((SELECT max(position) FROM room_device_changes WHERE scope = ?), 0) \
         FROM room_meta WHERE scope = ?",
    )
    .bind(scope)
    .bind(scope)
    .bind(scope)
    .bind(scope)
    .bind(scope);
    let Some(mut row) = sql.row(stmt).await? else { return Ok(None) };
    let version: String = row.take(0)?;
    let version = RoomVersionId::try_from(version).map_err(Error::internal)?;
    let extremities: Option<String> = row.take(3)?;
    let alias: Option<String> = row.take(6)?;
    Ok(Some(Meta {
        version,
        receipts_head: row.take(1)?,
        devices_head: row.take(8)?,
        taken: row.take(2)?,
        extremities: extremities.map(|it| serde_json::from_str(&it)).transpose()?,
        pending: row.take(4)?,
        unverified: row.take(7)?,
        listed: row.take(5)?,
        alias: alias.map(RoomAliasId::parse).transpose().map_err(Error::internal)?,
    }))
}

/// The room begins; `alias` is what is reserved for it.
pub fn insert(
    scope: i64,
    version: &RoomVersionId,
    listed: bool,
    alias: Option<&RoomAliasId>,
) -> Stmt {
    Stmt::new("INSERT INTO room_meta (scope, version, taken, listed, alias) VALUES (?, ?, 0, ?, ?)")
        .bind(scope)
        .bind(version.as_str())
        .bind(listed)
        .bind(alias.map(RoomAliasId::as_str))
}

/// Lists the room in the directory, or takes it out.
pub fn update_listed(scope: i64, listed: bool) -> Stmt {
    Stmt::new("UPDATE room_meta SET listed = ? WHERE scope = ?").bind(listed).bind(scope)
}

/// The room is gone.
pub fn remove(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM room_meta WHERE scope = ?").bind(scope)
}

/// What stands beside the newest event: the extremities, and numbers that are taken.
pub fn update_extremities(scope: i64, extremities: Option<&[Num]>, taken: Position) -> Stmt {
    Stmt::new("UPDATE room_meta SET extremities = ?, taken = max(taken, ?) WHERE scope = ?")
        .bind(extremities.map(super::events::json_list))
        .bind(taken)
        .bind(scope)
}

/// Removes what a join wrote that did not come to its end: the room does not exist yet.
pub fn remove_beginnings(scope: i64) -> [Stmt; 5] {
    [
        "DELETE FROM room_events WHERE scope = ?",
        "DELETE FROM room_auth_edges WHERE scope = ?",
        "DELETE FROM room_state_chains WHERE scope = ?",
        "DELETE FROM room_state_deltas WHERE scope = ?",
        "DELETE FROM room_members WHERE scope = ?",
    ]
    .map(|text| Stmt::new(text).bind(scope))
}
