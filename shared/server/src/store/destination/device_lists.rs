//! Lists of devices of users of the server, and what is known of each: `destination_tracked_users`
//! and `destination_device_lists`.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use skerry_core::device_keys::lists::{DeviceList, Known};

use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// What is known of a list.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Whose it is.
    pub user_id: OwnedUserId,
    /// An encrypted room that they share.
    pub room_id: OwnedRoomId,
    /// Updates that it has.
    pub known: Known,
    /// Since when it is to be fetched again.
    pub stale_ms: Option<u64>,
    /// When it was fetched.
    pub fetched_ms: u64,
    /// Its bytes.
    pub bytes: u64,
}

fn user_id(row: &mut Row) -> Result<OwnedUserId> {
    UserId::parse(row.take::<String>(0)?).map_err(Error::internal)
}

fn tracked(mut row: Row) -> Result<Tracked> {
    let room_id: String = row.take(1)?;
    let known: String = row.take(2)?;
    Ok(Tracked {
        user_id: user_id(&mut row)?,
        room_id: RoomId::parse(room_id).map_err(Error::internal)?,
        known: serde_json::from_str(&known)?,
        stale_ms: row.take(3)?,
        fetched_ms: row.take(4)?,
        bytes: row.take(5)?,
    })
}

/// Those of some users whose lists are kept.
pub async fn list(sql: &dyn Sql, scope: i64, user_ids: &[&UserId]) -> Result<Vec<Tracked>> {
    let stmt = Stmt::new(
        "SELECT user_id, room_id, known, stale_ms, fetched_ms, bytes \
         FROM destination_tracked_users \
         WHERE scope = ? AND user_id IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(user_ids)?);
    sql.rows(stmt).await?.into_iter().map(tracked).collect()
}

/// The lists of some users.
pub async fn list_lists(
    sql: &dyn Sql,
    scope: i64,
    user_ids: &[&UserId],
) -> Result<Vec<(OwnedUserId, DeviceList)>> {
    let stmt = Stmt::new(
        "SELECT user_id, list FROM destination_device_lists \
         WHERE scope = ? AND user_id IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(user_ids)?);
    let read = |mut row: Row| {
        let list: String = row.take(1)?;
        Ok((user_id(&mut row)?, serde_json::from_str(&list)?))
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// Users whose lists are to be fetched again, those first that have been longest, behind one of
/// them.
pub async fn list_stale(
    sql: &dyn Sql,
    scope: i64,
    after: Option<(u64, &UserId)>,
    limit: u64,
) -> Result<Vec<Tracked>> {
    let stmt = Stmt::new(
        "SELECT user_id, room_id, known, stale_ms, fetched_ms, bytes \
         FROM destination_tracked_users \
         WHERE scope = ? AND (stale_ms, user_id) > (?, ?) AND stale_ms IS NOT NULL \
         ORDER BY stale_ms, user_id LIMIT ?",
    )
    .bind(scope)
    .bind(after.map_or(0, |it| it.0))
    .bind(after.map_or("", |it| it.1.as_str()))
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(tracked).collect()
}

/// How many lists are kept, and their bytes.
pub async fn find_size(sql: &dyn Sql, scope: i64) -> Result<(u64, u64)> {
    let stmt = Stmt::new(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM destination_tracked_users WHERE scope = ?",
    )
    .bind(scope);
    sql.row(stmt).await?.map_or(Ok((0, 0)), |mut row| Ok((row.take(0)?, row.take(1)?)))
}

/// Users whose lists were fetched longest ago, and the bytes of these.
pub async fn list_oldest(sql: &dyn Sql, scope: i64, limit: u64) -> Result<Vec<(OwnedUserId, u64)>> {
    let stmt = Stmt::new(
        "SELECT user_id, bytes FROM destination_tracked_users \
         WHERE scope = ? ORDER BY fetched_ms LIMIT ?",
    )
    .bind(scope)
    .bind(limit);
    let read = |mut row: Row| Ok((user_id(&mut row)?, row.take(1)?));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// Whether a list is kept because of a room.
pub async fn has_room(sql: &dyn Sql, scope: i64, room_id: &RoomId) -> Result<bool> {
    let stmt = Stmt::new(
        "SELECT 1 FROM destination_tracked_users WHERE scope = ? AND room_id = ? LIMIT 1",
    )
    .bind(scope)
    .bind(room_id.as_str());
    Ok(sql.row(stmt).await?.is_some())
}

/// Keeps what is known of a list.
pub fn upsert(scope: i64, it: &Tracked) -> Result<Stmt> {
    Ok(Stmt::new(
        "INSERT INTO destination_tracked_users \
         (scope, user_id, room_id, known, stale_ms, fetched_ms, bytes) \
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope, user_id) DO UPDATE SET \
         known = excluded.known, stale_ms = excluded.stale_ms, \
         fetched_ms = excluded.fetched_ms, bytes = excluded.bytes",
    )
    .bind(scope)
    .bind(it.user_id.as_str())
    .bind(it.room_id.as_str())
    .bind(serde_json::to_string(&it.known)?)
    .bind(it.stale_ms)
    .bind(it.fetched_ms)
    .bind(it.bytes))
}

/// Keeps a list.
pub fn upsert_list(scope: i64, user_id: &UserId, list: &str) -> Stmt {
    Stmt::new(
        "INSERT INTO destination_device_lists (scope, user_id, list) VALUES (?, ?, ?) \
         ON CONFLICT (scope, user_id) DO UPDATE SET list = excluded.list",
    )
    .bind(scope)
    .bind(user_id.as_str())
    .bind(list)
}

/// Forgets lists of users. `only_for`: those that are kept because of this room.
pub fn remove(scope: i64, user_ids: &[&UserId], only_for: Option<&RoomId>) -> Result<[Stmt; 2]> {
    let room_id = only_for.map(RoomId::as_str);
    let user_ids = serde_json::to_string(user_ids)?;
    let lists = Stmt::new(
        "DELETE FROM destination_device_lists WHERE scope = ? AND user_id IN \
         (SELECT t.user_id FROM json_each(?) u CROSS JOIN destination_tracked_users t \
         ON t.scope = ? AND t.user_id = u.value WHERE coalesce(?, t.room_id) = t.room_id)",
    )
    .bind(scope)
    .bind(user_ids.as_str())
    .bind(scope)
    .bind(room_id);
    let tracked = Stmt::new(
        "DELETE FROM destination_tracked_users WHERE scope = ? \
         AND user_id IN (SELECT value FROM json_each(?)) AND coalesce(?, room_id) = room_id",
    )
    .bind(scope)
    .bind(user_ids.as_str())
    .bind(room_id);
    Ok([lists, tracked])
}

/// Forgets all lists that are kept because of a room.
pub fn remove_of_room(scope: i64, room_id: &RoomId) -> [Stmt; 2] {
    [
        Stmt::new(
            "DELETE FROM destination_device_lists WHERE scope = ? AND user_id IN \
             (SELECT user_id FROM destination_tracked_users WHERE scope = ? AND room_id = ?)",
        )
        .bind(scope)
        .bind(scope)
        .bind(room_id.as_str()),
        Stmt::new(
            "DELETE FROM destination_tracked_users WHERE scope = ? AND user_id IN \
             (SELECT user_id FROM destination_tracked_users WHERE scope = ? AND room_id = ?)",
        )
        .bind(scope)
        .bind(scope)
        .bind(room_id.as_str()),
    ]
}
