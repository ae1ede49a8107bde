//! Whether two share a room: who is asked for what concerns a user is told only to those who do.

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedRoomId, ServerName, UserId, events::room::member::MembershipState as Membership};

use super::{Cx, counted::charge_server};
use crate::{
    Error, Result,
    messages::{
        destination,
        room::{HasServer, IsJoined},
        user,
    },
};

/// Rooms that are asked. Who shares one with a user that is not among so many counts as if they
/// shared none.
const MAX_ROOMS: usize = 200;

/// Those that are asked at the same time.
const ASKED_AT_ONCE: usize = 8;

/// Whether a local user is another user or shares a room with them.
pub(super) async fn with_user(cx: &Cx, local: &UserId, other: &UserId) -> Result<bool> {
    if local == other {
        return Ok(true);
    }
    let rooms = joined_rooms(cx, local).await?;
    if cx.server.is_local(other) {
        let others = joined_rooms(cx, other).await?;
        return Ok(rooms.iter().any(|it| others.contains(it)));
    }
    let is_shared = |room_id: OwnedRoomId| async move {
        let question = IsJoined { user_id: other.to_owned() };
        Ok(cx.ports.objects.ask(&*room_id, question).await? == Some(true))
    };
    any(rooms, is_shared).await
}

/// Whether another server shares a room with a local user. Rooms in which it is given events are
/// asked first; each that is asked is as good as an answer.
pub(super) async fn with_server(cx: &Cx, local: &UserId, server: &ServerName) -> Result<bool> {
    let mut rooms = joined_rooms(cx, local).await?;
    let limit = MAX_ROOMS as u64;
    let known = cx.ports.objects.ask(server, destination::ListRooms { limit }).await?;
    rooms.sort_by_key(|it| !known.contains(it));
    let asked = rooms.len().min(MAX_ROOMS);
    charge_server(cx, server, u32::try_from(asked).unwrap_or(u32::MAX));
    let is_shared = |room_id: OwnedRoomId| async move {
        cx.ports.objects.ask(&*room_id, HasServer { server: server.to_owned() }).await
    };
    any(rooms, is_shared).await
}

/// Refuses who shares no room with a user.
pub(super) fn refuse(is_shared: bool, message: &'static str) -> Result<()> {
    if is_shared { Ok(()) } else { Err(Error::forbidden(message)) }
}

async fn joined_rooms(cx: &Cx, local: &UserId) -> Result<Vec<OwnedRoomId>> {
    cx.ports.objects.ask(local, user::ListRooms { membership: Membership::Join }).await
}

/// Whether something is so in one of the rooms. One that refuses to answer is none.
async fn any<F>(rooms: Vec<OwnedRoomId>, is_so: impl Fn(OwnedRoomId) -> F) -> Result<bool>
where
    F: Future<Output = Result<bool>>,
{
    let rooms = stream::iter(rooms).take(MAX_ROOMS);
    let mut answers = std::pin::pin!(rooms.map(is_so).buffer_unordered(ASKED_AT_ONCE));
    let mut failure = None;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) if error.is_refusal() => {}
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(false), Err)
}
