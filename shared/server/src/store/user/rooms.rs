//! The rooms of a user: `user_rooms`.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use skerry_core::{sync_token::SyncToken, user_stream::RoomEntry};

use crate::{
    Error, Result,
    messages::{RawJson, room::Position, user::StreamPosition},
    ports::{Row, Sql, Stmt},
};

/// A room as it is stored.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its ID.
    pub room_id: OwnedRoomId,
    /// What the stream knows of it.
    pub entry: RoomEntry,
    /// Who set the membership.
    pub sender: OwnedUserId,
    /// What an invitation or a knock shows of the room.
    pub stripped_state: Vec<RawJson>,
    /// The furthest of the marks that a token covers.
    pub seen: Option<Position>,
}

/// Columns of [`Room`], in order, of the table under the name `r`. The last takes two values: the
/// base of a token and its own reads.
macro_rules! columns {
    () => {
        "r.room_id, r.membership, r.membership_position, r.membership_seq, r.known_position, \
         r.known_seq, r.forgotten, r.sender, r.stripped_state, \
         (SELECT MAX(m.position) FROM user_marks m WHERE m.scope = r.scope \
         AND m.room_id = r.room_id AND (m.seq <= ? OR m.seq = ?))"
    };
}

fn room(mut row: Row) -> Result<Room> {
    let stripped_state: Option<String> = row.take(8)?;
    Ok(Room {
        room_id: parse(row.take::<String>(0)?)?,
        entry: RoomEntry {
            membership: row.take::<String>(1)?.into(),
            membership_position: row.take(2)?,
            membership_seq: row.take(3)?,
            known_position: row.take(4)?,
            known_seq: row.take(5)?,
            forgotten: row.take(6)?,
        },
        sender: parse(row.take::<String>(7)?)?,
        stripped_state: match stripped_state {
            Some(json) => serde_json::from_str(&json)?,
            None => Vec::new(),
        },
        seen: row.take(9)?,
    })
}

fn parse<T: TryFrom<String>>(text: String) -> Result<T>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(text).map_err(Error::internal)
}

/// A statement that begins with [`columns`]; no token covers no marks.
fn with_seen(sql: &'static str, token: Option<SyncToken>) -> Stmt {
    let (base, own) = token.map_or((0, 0), |it| (it.base, it.newest()));
    Stmt::new(sql).bind(base).bind(own)
}

/// One room, and how far a token has seen it.
pub async fn find(
    sql: &dyn Sql,
    scope: i64,
    room_id: &RoomId,
    token: Option<SyncToken>,
) -> Result<Option<Room>> {
    let stmt = with_seen(
        concat!("SELECT ", columns!(), " FROM user_rooms r WHERE r.scope = ? AND r.room_id = ?"),
        token,
    );
    sql.row(stmt.bind(scope).bind(room_id.as_str())).await?.map(room).transpose()
}

/// All rooms, and how far a token has seen them.
pub async fn list(sql: &dyn Sql, scope: i64, token: Option<SyncToken>) -> Result<Vec<Room>> {
    let stmt =
        with_seen(concat!("SELECT ", columns!(), " FROM user_rooms r WHERE r.scope = ?"), token);
    sql.rows(stmt.bind(scope)).await?.into_iter().map(room).collect()
}

/// The rooms that may have something new for a token: what changed since, and what no client has
/// read to the end.
pub async fn list_changed(sql: &dyn Sql, scope: i64, token: SyncToken) -> Result<Vec<Room>> {
    let stmt = with_seen(
        concat!(
            "SELECT ",
            columns!(),
            " FROM user_rooms r WHERE r.scope = ? AND r.room_id IN (\
             SELECT room_id FROM user_rooms WHERE scope = ? AND last_seq > ? \
             UNION ALL SELECT room_id FROM user_rooms INDEXED BY user_rooms_unread WHERE scope = ? \
             AND membership = 'join' AND known_position > read_position)"
        ),
        Some(token),
    );
    let stmt = stmt.bind(scope).bind(scope).bind(token.base).bind(scope);
    sql.rows(stmt).await?.into_iter().map(room).collect()
}

/// The rooms of one membership, those aside that were forgotten.
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

/// A room that was read, before the read is taken in.
#[derive(Clone, Debug)]
pub struct BeforeRead {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Whether the user is joined.
    pub is_joined: bool,
    /// [`RoomEntry::known_position`].
    pub known_position: Position,
    /// The furthest mark up to a position of the stream.
    pub seen_at_base: Option<Position>,
    /// How many marks the room has.
    pub marks: u64,
}

/// Looks up rooms that were read; `base` is the position the marks are sought up to.
pub async fn list_before_read(
    sql: &dyn Sql,
    scope: i64,
    room_ids: &[&RoomId],
    base: StreamPosition,
) -> Result<Vec<BeforeRead>> {
    let stmt = Stmt::new(
        "SELECT r.room_id, r.membership = 'join', r.known_position, \
         MAX(CASE WHEN m.seq <= ? THEN m.position END), COUNT(m.seq) \
         FROM json_each(?) j JOIN user_rooms r ON r.scope = ? AND r.room_id = j.value \
         LEFT JOIN user_marks m ON m.scope = r.scope AND m.room_id = r.room_id \
         GROUP BY r.room_id",
    )
    .bind(base)
    .bind(serde_json::to_string(room_ids)?)
    .bind(scope);
    let before_read = |mut row: Row| {
        Ok(BeforeRead {
            room_id: parse(row.take::<String>(0)?)?,
            is_joined: row.take(1)?,
            known_position: row.take(2)?,
            seen_at_base: row.take(3)?,
            marks: row.take(4)?,
        })
    };
    sql.rows(stmt).await?.into_iter().map(before_read).collect()
}

/// Sets a room's membership and all that goes with it. How far it was read stays as it
/// is.
pub fn upsert(
    scope: i64,
    room_id: &RoomId,
    entry: &RoomEntry,
    sender: &UserId,
    stripped_state: Option<String>,
    seq: StreamPosition,
) -> Stmt {
    Stmt::new(
        "INSERT INTO user_rooms (scope, room_id, membership, membership_position, \
         membership_seq, sender, stripped_state, known_position, known_seq, read_position, \
         forgotten, last_seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?) \
         ON CONFLICT (scope, room_id) DO UPDATE SET membership = excluded.membership, \
         membership_position = excluded.membership_position, \
         membership_seq = excluded.membership_seq, sender = excluded.sender, \
         stripped_state = excluded.stripped_state, known_position = excluded.known_position, \
         known_seq = excluded.known_seq, forgotten = excluded.forgotten, \
         last_seq = excluded.last_seq",
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

/// As [`update_known`], for rooms whose mark at this position of the stream was just written: they
/// are known that far.
pub fn update_known_list(scope: i64, room_ids: &[&RoomId], seq: StreamPosition) -> Result<Stmt> {
    Ok(Stmt::new(
        "UPDATE user_rooms SET known_seq = ?, last_seq = ?, known_position = \
         (SELECT m.position FROM user_marks m WHERE m.scope = user_rooms.scope \
         AND m.room_id = user_rooms.room_id AND m.seq = ?) \
         WHERE scope = ? AND room_id IN (SELECT value FROM json_each(?))",
    )
    .bind(seq)
    .bind(seq)
    .bind(seq)
    .bind(scope)
    .bind(serde_json::to_string(room_ids)?))
}

/// A client has read rooms as far as their marks at this position of the stream say.
pub fn update_read_list(scope: i64, room_ids: &[&RoomId], seq: StreamPosition) -> Result<Stmt> {
    Ok(Stmt::new(
        "UPDATE user_rooms SET read_position = MAX(read_position, \
         (SELECT m.position FROM user_marks m WHERE m.scope = user_rooms.scope \
         AND m.room_id = user_rooms.room_id AND m.seq = ?)) \
         WHERE scope = ? AND room_id IN (SELECT value FROM json_each(?))",
    )
    .bind(seq)
    .bind(scope)
    .bind(serde_json::to_string(room_ids)?))
}

/// Nothing of the room has been read.
pub fn update_unread(scope: i64, room_id: &RoomId) -> Stmt {
    Stmt::new("UPDATE user_rooms SET read_position = 0 WHERE scope = ? AND room_id = ?")
        .bind(scope)
        .bind(room_id.as_str())
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
    Stmt::new("UPDATE user_rooms SET forgotten = 1 WHERE scope = ? AND room_id = ?")
        .bind(scope)
        .bind(room_id.as_str())
}
