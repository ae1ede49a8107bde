//! Reading the rooms that have something new, side by side, until the response is full.

use std::cmp::Reverse;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::OwnedUserId;
use skerry_core::{
    client_event::{self, Rendered, Unsigned},
    sync_token::{Rest, SyncToken},
    user_stream::Page,
};

use super::{RESPONSE_BYTES, ROOMS_AT_ONCE, options::SyncOptions};
use crate::{
    Result,
    api::Cx,
    messages::{
        Caller, RawJson,
        room::{RoomSync, SyncRoom},
        user::{Changes, Ending, RoomChange, StreamPosition},
    },
    server::Presence,
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

impl ReadRoom {
    /// The bytes of its events.
    fn size(&self) -> usize {
        let events = |list: &[RawJson]| list.iter().map(|it| it.get().len()).sum::<usize>();
        let sync = self.sync.as_ref();
        let room =
            sync.map_or(0, |it| events(&it.timeline) + events(&it.state) + events(&it.ephemeral));
        room + events(&self.change.account_data)
    }
}

/// What was read of rooms.
pub(super) struct ReadRooms {
    pub(super) rooms: Vec<ReadRoom>,
    /// Those that are still to come, where the response is full.
    pub(super) rest: Option<Rest>,
}

/// Reads the rooms, in the order of pages, until the response is full. A joined one that refuses
/// is left out: the user lost access since their object was asked, and it will say so. One that
/// was left may have nothing for the user (an invitation that was turned down), save that it was
/// left. Neither is recorded as read.
pub(super) async fn read_rooms(
    cx: &Cx,
    caller: &Caller,
    options: &SyncOptions,
    since: Option<SyncToken>,
    changes: Changes,
) -> Result<ReadRooms> {
    let Changes { joined, left, ignored_users, rest, has_lost_statuses, .. } = changes;
    let joined = joined.into_iter().map(|it| (it, true));
    let mut rooms: Vec<_> = joined.chain(left.into_iter().map(|it| (it, false))).collect();
    rooms.sort_by_key(|(change, is_joined)| turn(change, *is_joined).map(Reverse));
    let turns: Vec<_> = rooms.iter().map(|(change, is_joined)| turn(change, *is_joined)).collect();
    let wanted = Wanted {
        ignored_users: &ignored_users,
        statuses: has_lost_statuses,
        devices: since.is_some(),
    };
    let reads: Vec<_> = rooms
        .into_iter()
        .map(|(change, is_joined)| read_room(cx, caller, options, &wanted, change, is_joined))
        .collect();
    let mut reads = stream::iter(reads).buffered(ROOMS_AT_ONCE);
    let mut read = ReadRooms { rooms: Vec::new(), rest };
    let mut bytes = 0;
    for (index, turn) in turns.iter().enumerate() {
        let Some(room) = reads.try_next().await? else { break };
        bytes += room.as_ref().map_or(0, ReadRoom::size);
        read.rooms.extend(room);
        if bytes >= RESPONSE_BYTES
            && let (Some(last), Some(Some(next))) = (*turn, turns.get(index + 1))
            && *next < last
        {
            read.rest = Some(Page::rest_before(last, since));
            break;
        }
    }
    Ok(read)
}

/// When in the stream the membership was set, by which rooms take their turns. None: what is to be
/// read costs little and comes with every page.
fn turn(change: &RoomChange, is_joined: bool) -> Option<StreamPosition> {
    let is_paged = !is_joined || (change.has_events && !change.is_ephemeral);
    is_paged.then_some(change.membership_seq)
}

/// What is wanted of every room.
struct Wanted<'a> {
    /// Nothing of these.
    ignored_users: &'a [OwnedUserId],
    /// Who is there, also where the client knows the room.
    statuses: bool,
    /// Whose devices have changed.
    devices: bool,
}

async fn read_room(
    cx: &Cx,
    caller: &Caller,
    options: &SyncOptions,
    wanted: &Wanted<'_>,
    mut change: RoomChange,
    is_joined: bool,
) -> Result<Option<ReadRoom>> {
    if !change.has_events {
        return Ok(Some(ReadRoom { change, is_joined, sync: None }));
    }
    if let Some(ending) = change.ending.as_mut().filter(|_| !options.is_federation_format()) {
        ending.event = rendered(ending, cx.ports.clock.now_ms())?;
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
        ignored_users: wanted.ignored_users.to_vec(),
        federation_format: options.is_federation_format(),
        statuses: cx.server.config.presence != Presence::Off
            && (wanted.statuses || change.from.is_none()),
        wants_devices: wanted.devices,
    };
    match cx.ports.objects.ask(&*change.room_id, question).await {
        Ok(sync) => Ok(Some(ReadRoom { change, is_joined, sync: Some(sync) })),
        Err(error) if error.is_refusal() && is_joined => Ok(None),
        Err(error) if error.is_refusal() => Ok(Some(ReadRoom { change, is_joined, sync: None })),
        Err(error) => Err(error),
    }
}

/// The event, as clients get it.
fn rendered(ending: &Ending, now_ms: u64) -> Result<RawJson> {
    let rendered = Rendered {
        json: ending.event.get(),
        event_id: &ending.event_id,
        room_id: None,
        redacts_in_content: true,
        unsigned: Unsigned::default(),
    };
    Ok(client_event::render(rendered, now_ms)?)
}
