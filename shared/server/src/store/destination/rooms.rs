//! What another server has been given of rooms: `destination_rooms`.

use ruma::{OwnedRoomId, RoomId};

use crate::{
    Error, Result,
    messages::room::Position,
    ports::{Sql, Stmt},
};

/// What the server has been given of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Up to where it has acknowledged everything. None: the room says where it begins.
    pub sent: Option<Position>,
    /// Up to where something waits.
    pub waiting: Position,
}

impl Mark {
    /// Whether something waits.
    pub fn is_waiting(self) -> bool {
        self.sent.is_none_or(|it| it < self.waiting)
    }
}

/// All rooms.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<(OwnedRoomId, Mark)>> {
    let list = Stmt::new("SELECT room_id, sent, waiting FROM destination_rooms WHERE scope = ?");
    let rows = sql.rows(list.bind(scope)).await?.into_iter().map(|mut row| {
        let room_id = RoomId::parse(row.take::<String>(0)?).map_err(Error::internal)?;
        Ok((room_id, Mark { sent: row.take(1)?, waiting: row.take(2)? }))
    });
    rows.collect()
}

/// Stores what the server has been given of a room.
pub fn upsert(scope: i64, room_id: &RoomId, mark: Mark) -> Stmt {
    Stmt::new(
        "INSERT INTO destination_rooms (scope, room_id, sent, waiting) VALUES (?, ?, ?, ?) \
         ON CONFLICT (scope, room_id) DO UPDATE SET \
             sent = excluded.sent, waiting = excluded.waiting",
    )
    .bind(scope)
    .bind(room_id.as_str())
    .bind(mark.sent)
    .bind(mark.waiting)
}

/// The server is not in the room any more, and has been given all that it is to be given.
pub fn remove(scope: i64, room_id: &RoomId) -> Stmt {
    Stmt::new("DELETE FROM destination_rooms WHERE scope = ? AND room_id = ?")
        .bind(scope)
        .bind(room_id.as_str())
}
