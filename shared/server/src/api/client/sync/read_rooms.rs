//! Reading the rooms that have something new, side by side.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::OwnedUserId;

use super::{ROOMS_AT_ONCE, options::SyncOptions};
use crate::{
    Result,
    api::Cx,
    messages::{
        Caller,
        room::{RoomSync, SyncRoom},
        user::{Changes, RoomChange},
    },
};

/// A room, and what it says.
pub(super) struct ReadRoom {
    /// What the user's object says of it.
    pub(super) change: RoomChange,
    /// Whether the user is joined; else they left.
    pub(super) is_joined: bool,
    /// What the room itself says, where it has something new.
    pub(super) sync: Option<Box<RoomSync>>,
}

/// Reads the rooms. A joined one that refuses is left out: the user lost access since their object
/// was asked, and it will say so. One that was left may have nothing for the user (an invitation
/// that was turned down), save that it was left. Neither is recorded as read.
pub(super) async fn read_rooms(
    cx: &Cx,
    caller: &Caller,
    options: &SyncOptions,
    changes: Changes,
) -> Result<Vec<ReadRoom>> {
    let Changes { joined, left, ignored_users, .. } = changes;
    let joined = joined.into_iter().map(|it| (it, true));
    let rooms = joined.chain(left.into_iter().map(|it| (it, false)));
    let ignored_users = ignored_users.as_slice();
    let reads: Vec<_> = rooms
        .map(|(change, is_joined)| read_room(cx, caller, options, ignored_users, change, is_joined))
        .collect();
    let rooms: Vec<Option<ReadRoom>> =
        stream::iter(reads).buffer_unordered(ROOMS_AT_ONCE).try_collect().await?;
    Ok(rooms.into_iter().flatten().collect())
}

async fn read_room(
    cx: &Cx,
    caller: &Caller,
    options: &SyncOptions,
    ignored_users: &[OwnedUserId],
    mut change: RoomChange,
    is_joined: bool,
) -> Result<Option<ReadRoom>> {
    if !change.has_events {
        return Ok(Some(ReadRoom { change, is_joined, sync: None }));
    }
    let filter = &options.filter.room;
    let question = SyncRoom {
        caller: caller.clone(),
        from: change.from,
        full_state: options.full_state,
        state_after: options.state_after,
        timeline: filter.timeline.clone(),
        state: filter.state.clone(),
        ephemeral: filter.ephemeral.clone(),
        known_members: std::mem::take(&mut change.known_members),
        thread_counts: filter.timeline.unread_thread_notifications,
        ignored_users: ignored_users.to_vec(),
        federation_format: options.is_federation_format(),
    };
    match cx.ports.objects.ask(&*change.room_id, question).await {
        Ok(sync) => Ok(Some(ReadRoom { change, is_joined, sync: Some(sync) })),
        Err(error) if error.is_refusal() && is_joined => Ok(None),
        Err(error) if error.is_refusal() => Ok(Some(ReadRoom { change, is_joined, sync: None })),
        Err(error) => Err(error),
    }
}
