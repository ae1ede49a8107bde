//! The rooms of a user: `user_rooms`.
//!
//! A room is one row without an index of its own but the key: a delivery writes one row, and so
//! does a recorded read. Which rows may have something new for a token is kept in memory
//! ([`skerry_core::user_stream::ChangedRooms`]).

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, RoomVersionId, UserId,
    events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};
use skerry_core::user_stream::{Marks, RoomEntry};

use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::Position,
        user::{Ending, StreamPosition},
    },
    ports::{Row, Sql, Stmt},
};

/// A room as it is stored.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its ID.
    pub room_id: OwnedRoomId,
    /// What the stream knows of it.
    pub entry: RoomEntry,
    /// How far it was read, and when.
    pub marks: Marks,
    /// Who set the membership.
    pub sender: OwnedUserId,
    /// What an invitation or a knock shows of the room.
    pub stripped_state: Vec<RawJson>,
    /// Where the membership is one that no room has told.
    pub remote: Option<Remote>,
}

/// What is stored of a membership besides that no room has told. Names are never changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Remote {
    /// The event that says it, or that said it before it was turned down.
    pub event_id: OwnedEventId,
    /// The version of the room.
    pub room_version: RoomVersionId,
    /// Servers by way of which the room can be joined or left.
    pub servers: Vec<OwnedServerName>,
    /// What clients are shown of it, where it is over.
    pub ending: Option<Ending>,
}

/// Columns of [`Room`], in order.
macro_rules! columns {
    () => {
        "r.room_id, r.membership, r.membership_position, r.membership_seq, r.known_position, \
         r.known_seq, r.read_position, r.forgotten, r.marks, r.sender, r.stripped_state, r.remote"
    };
}

fn room(mut row: Row) -> Result<Room> {
    let stripped_state: Option<String> = row.take(10)?;
    let remote: Option<String> = row.take(11)?;
    Ok(Room {
        room_id: parse(row.take::<String>(0)?)?,
        entry: RoomEntry {
            membership: row.take::<String>(1)?.into(),
            membership_position: row.take(2)?,
            membership_seq: row.take(3)?,
            known_position: row.take(4)?,
            known_seq: row.take(5)?,
            read_position: row.take(6)?,
            forgotten: row.take(7)?,
        },
        marks: serde_json::from_str(&row.take::<String>(8)?)?,
        sender: parse(row.take::<String>(9)?)?,
        stripped_state: match stripped_state {
            Some(json) => serde_json::from_str(&json)?,
            None => Vec::new(),
        },
        remote: remote.map(|json| serde_json::from_str(&json)).transpose()?,
    })
}

fn parse<T: TryFrom<String>>(text: String) -> Result<T>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(text).map_err(Error::internal)
}

/// One room.
pub async fn find(sql: &dyn Sql, scope: i64, room_id: &RoomId) -> Result<Option<Room>> {
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM user_rooms r WHERE r.scope = ? AND r.room_id = ?"
    ));
    sql.row(stmt.bind(scope).bind(room_id.as_str())).await?.map(room).transpose()
}

/// All rooms.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<Room>> {
    let stmt = Stmt::new(concat!("SELECT ", columns!(), " FROM user_rooms r WHERE r.scope = ?"))
        .bind(scope);
    sql.rows(stmt).await?.into_iter().map(room).collect()
}

/// Some rooms.
pub async fn list_some<'a>(
    sql: &dyn Sql,
    scope: i64,
    room_ids: impl IntoIterator<Item = &'a RoomId>,
) -> Result<Vec<Room>> {
    let room_ids: Vec<_> = room_ids.into_iter().collect();
    if room_ids.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = Stmt::new(concat!(
        "SELECT ",
        columns!(),
        " FROM json_each(?) j CROSS JOIN user_rooms r ON r.scope = ? AND r.room_id = j.value"
    ))
    .bind(serde_json::to_string(&room_ids)?)
    .bind(scope);
    sql.rows(stmt).await?.into_iter().map(room).collect()
}

/// What the index of changed rooms is made of: every room, when anything of it changed last, and
/// whether it is unread.
pub async fn list_for_index(
    sql: &dyn Sql,
    scope: i64,
) -> Result<Vec<(OwnedRoomId, StreamPosition, bool)>> {
    let stmt = Stmt::new(
        "SELECT room_id, last_seq, membership = 'join' \
         AND (read_position IS NULL OR known_position > read_position) \
         FROM user_rooms WHERE scope = ?",
    )
    .bind(scope);
    let read =
        |mut row: Row| Ok((parse(row.take::<String>(0)?)?, row.take(1)?, row.take::<bool>(2)?));
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// The rooms of one membership, but not those that were forgotten.
pub async fn list_by_membership(
    sql: &dyn Sql,
    scope: i64,
    membership: &MembershipState,
) -> Result<Vec<OwnedRoomId>> {
    let stmt = Stmt::new(
        "SELECT room_id FROM user_rooms WHERE scope = ? AND membership = ? AND forgotten = 0",
    )
    .bind(scope)
    .bind(membership.as_str());
    sql.rows(stmt).await?.into_iter().map(|mut row| parse(row.take::<String>(0)?)).collect()
}

/// Joined rooms, those first of which the user has heard last.
pub async fn list_joined_latest(sql: &dyn Sql, scope: i64, limit: u64) -> Result<Vec<OwnedRoomId>> {
    let stmt = Stmt::new(
        "SELECT room_id FROM user_rooms WHERE scope = ? AND membership = 'join' \
         ORDER BY last_seq DESC LIMIT ?",
    )
    .bind(scope)
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(|mut row| parse(row.take::<String>(0)?)).collect()
}

/// How many memberships of a kind there are that no room has told, but for those that were
/// forgotten.
pub async fn count_remote(sql: &dyn Sql, scope: i64, membership: &MembershipState) -> Result<u64> {
    let stmt = Stmt::new(
        "SELECT COUNT(*) FROM user_rooms \
         WHERE scope = ? AND membership = ? AND forgotten = 0 AND remote IS NOT NULL",
    )
    .bind(scope)
    .bind(membership.as_str());
    match sql.row(stmt).await? {
        Some(mut row) => row.take(0),
        None => Ok(0),
    }
}

/// A membership as it is written.
#[derive(Clone, Copy, Debug)]
pub struct NewMembership<'a> {
    /// What the stream knows of the room then.
    pub entry: &'a RoomEntry,
    /// Who has set it.
    pub sender: &'a UserId,
    /// What an invitation or a knock shows of the room.
    pub stripped_state: &'a [RawJson],
    /// Where no room has told it.
    pub remote: Option<&'a Remote>,
}

/// Sets a room's membership and all that goes with it. How far it was read stays as it is, save
/// where `drops_marks`.
pub fn upsert(
    scope: i64,
    room_id: &RoomId,
    it: NewMembership<'_>,
    (seq, drops_marks): (StreamPosition, bool),
) -> Result<Stmt> {
    let NewMembership { entry, sender, stripped_state, remote } = it;
    let stripped_state = match stripped_state {
        [] => None,
        events => Some(serde_json::to_string(events)?),
    };
    let remote = remote.map(serde_json::to_string).transpose()?;
    let stmt = Stmt::new(
        "INSERT INTO user_rooms (scope, room_id, membership, membership_position, \
         membership_seq, sender, stripped_state, known_position, known_seq, read_position, \
         marks, forgotten, last_seq, remote) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, '[]', ?, ?, ?) \
         ON CONFLICT (scope, room_id) DO UPDATE SET membership = excluded.membership, \
         membership_position = excluded.membership_position, \
         membership_seq = excluded.membership_seq, sender = excluded.sender, \
         stripped_state = excluded.stripped_state, known_position = excluded.known_position, \
         known_seq = excluded.known_seq, forgotten = excluded.forgotten, \
         last_seq = excluded.last_seq, remote = excluded.remote, \
         read_position = iif(?, NULL, read_position), marks = iif(?, '[]', marks)",
    )
    .bind(scope)
    .bind(room_id.as_str())
    .bind(entry.membership.as_str())
    .bind(entry.membership_position)
    .bind(entry.membership_seq)
    .bind(sender.as_str())
    .bind(stripped_state)
    .bind(entry.known_position)
    .bind(entry.known_seq)
    .bind(entry.forgotten)
    .bind(seq)
    .bind(remote)
    .bind(drops_marks)
    .bind(drops_marks);
    Ok(stmt)
}

/// The stream has heard of a position of the room.
pub fn update_known(scope: i64, room_id: &RoomId, position: Position, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "UPDATE user_rooms SET known_position = ?, known_seq = ?, last_seq = ? \
         WHERE scope = ? AND room_id = ?",
    )
    .bind(position)
    .bind(seq)
    .bind(seq)
    .bind(scope)
    .bind(room_id.as_str())
}

/// A read of a room, as it is recorded: the room's ID, its marks, how far it was read, and what
/// the stream knows of it afterwards.
#[derive(Debug, Serialize)]
pub struct RecordedRead<'a>(
    pub &'a RoomId,
    pub &'a Marks,
    pub Option<Position>,
    pub Position,
    pub StreamPosition,
);

/// Records reads of rooms at one position of the stream: a row each.
pub fn update_read_list(
    scope: i64,
    reads: &[RecordedRead<'_>],
    seq: StreamPosition,
) -> Result<Stmt> {
    // The limit keeps the list a table of its own, which comes first: SQLite would read it again
    // for each of the user's rooms.
    Ok(Stmt::new(
        "UPDATE user_rooms SET marks = j.marks, read_position = j.read_position, \
         known_position = j.known_position, known_seq = j.known_seq, last_seq = ? \
         FROM (SELECT value ->> 0 AS room_id, value ->> 1 AS marks, value ->> 2 AS read_position, \
         value ->> 3 AS known_position, value ->> 4 AS known_seq FROM json_each(?) LIMIT -1) j \
         WHERE scope = ? AND user_rooms.room_id = j.room_id",
    )
    .bind(seq)
    .bind(serde_json::to_string(reads)?)
    .bind(scope))
}

/// Something of the room changed, if the room is known.
pub fn update_last_seq(scope: i64, room_id: &RoomId, seq: StreamPosition) -> Stmt {
    Stmt::new("UPDATE user_rooms SET last_seq = ? WHERE scope = ? AND room_id = ?")
        .bind(seq)
        .bind(scope)
        .bind(room_id.as_str())
}

/// The room is to be shown no more.
pub fn update_forgotten(scope: i64, room_id: &RoomId) -> Stmt {
    Stmt::new("UPDATE user_rooms SET forgotten = 1, marks = '[]' WHERE scope = ? AND room_id = ?")
        .bind(scope)
        .bind(room_id.as_str())
}
