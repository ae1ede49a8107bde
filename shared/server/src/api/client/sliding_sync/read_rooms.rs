//! Reading the rooms of which something is to be given, side by side, until the answer is full.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use skerry_core::{
    push_rules::CountingRules,
    sliding_sync::{GivenRoom, RequiredState},
};

use super::super::sync::{RESPONSE_BYTES, ROOMS_AT_ONCE};
use crate::{
    Result,
    api::Cx,
    messages::{
        Caller, RawJson,
        room::{DeviceChanges, Position, RoomSlide, SlideRoom},
        user::{PushRules, ReadGivenRoom, ReadRoom, SlidingChanges, SlidingRoom},
    },
};

/// A room, and what it says.
pub(super) struct Read {
    /// What the user's object says of it.
    pub(super) room: SlidingRoom,
    /// What the room itself says, where it was asked and has something for the user.
    pub(super) slide: Option<Box<RoomSlide>>,
}

/// What was read of rooms.
#[derive(Default)]
pub(super) struct ReadRooms {
    /// Those of which something may be given.
    pub(super) rooms: Vec<Read>,
    /// Those that were read, and how far.
    pub(super) recorded: Vec<ReadRoom>,
    /// What the connection is given.
    pub(super) given: Vec<ReadGivenRoom>,
    /// Of whom keys are to be asked for anew.
    pub(super) devices: Vec<DeviceChanges>,
    /// When the user last did something, as far as the rooms tell.
    pub(super) active_ms: Option<u64>,
    /// KiB of history that was searched.
    pub(super) searched_kib: u32,
}

/// Whose devices have changed since the room was read up to here is wanted.
struct Since(Option<Position>);

/// What is wanted of every room.
#[derive(Clone, Copy)]
struct Common<'a> {
    caller: &'a Caller,
    ignored_users: &'a [OwnedUserId],
    live_after_us: Option<u64>,
    /// Counts by these rules; none: by the server-default ones.
    push_rules: Option<&'a CountingRules>,
}

/// Reads the rooms. One that refuses a member is left out: the user lost access since their object
/// was asked, and it will say so.
pub(super) async fn read_rooms(
    cx: &Cx,
    caller: &Caller,
    (ignored_users, push_rules): (&[OwnedUserId], &PushRules),
    live_after_us: Option<u64>,
    sliding: SlidingChanges,
) -> Result<ReadRooms> {
    let push_rules = push_rules.counting(&caller.user_id);
    let push_rules = push_rules.as_ref();
    let common = Common { caller, ignored_users, live_after_us, push_rules };
    let SlidingChanges { rooms, devices, .. } = sliding;
    let mut devices: BTreeMap<OwnedRoomId, Option<Position>> = devices.into_iter().collect();
    // Who is to hear of devices gets all of these, however much that is.
    let most = if devices.is_empty() { RESPONSE_BYTES } else { usize::MAX };
    let reads: Vec<_> = rooms
        .into_iter()
        .map(|room| {
            let devices = if room.is_read { devices.remove(&room.room_id) } else { None };
            let devices = devices.map(Since);
            read_room(cx, common, room, devices)
        })
        .collect();
    let mut found = ReadRooms::default();
    let mut bytes = 0;
    let mut reads = stream::iter(reads).buffered(ROOMS_AT_ONCE);
    while bytes < most
        && let Some(read) = reads.try_next().await?
    {
        let Some(mut read) = read else { continue };
        bytes += size(&read);
        found.note(&mut read);
        found.rooms.push(read);
    }
    drop(reads);
    let others: Vec<_> = devices
        .into_iter()
        .map(|(room_id, from)| read_devices(cx, common, room_id, from))
        .collect();
    let mut others = stream::iter(others).buffer_unordered(ROOMS_AT_ONCE);
    while let Some(read) = others.try_next().await? {
        if let Some((room_id, slide)) = read {
            found.record(room_id, &slide);
            found.devices.push(slide.devices);
        }
    }
    Ok(found)
}

async fn read_room(
    cx: &Cx,
    common: Common<'_>,
    room: SlidingRoom,
    devices: Option<Since>,
) -> Result<Option<Read>> {
    if !room.is_read {
        return Ok(Some(Read { room, slide: None }));
    }
    let question = SlideRoom {
        wants_room: true,
        from: room.from,
        timeline_limit: room.wanted.timeline_limit,
        expands: room.expands,
        required_state: room.wanted.required_state.clone(),
        added_state: room.added_state.clone(),
        receipts: room.receipts,
        receipts_from: room.receipts_from,
        typing: room.typing,
        push_rules: common.push_rules.and_then(|it| it.in_room(&room.room_id)),
        ..devices_of(common, devices)
    };
    match cx.ports.objects.ask(&*room.room_id, question).await {
        Ok(slide) => Ok(Some(Read { room, slide: Some(slide) })),
        Err(error) if error.is_refusal() && room.membership == MembershipState::Join => Ok(None),
        Err(error) if error.is_refusal() => Ok(Some(Read { room, slide: None })),
        Err(error) => Err(error),
    }
}

/// Asks a room that is not given which devices have changed.
async fn read_devices(
    cx: &Cx,
    common: Common<'_>,
    room_id: OwnedRoomId,
    from: Option<Position>,
) -> Result<Option<(OwnedRoomId, Box<RoomSlide>)>> {
    let question = devices_of(common, Some(Since(from)));
    match cx.ports.objects.ask(&*room_id, question).await {
        Ok(slide) => Ok(Some((room_id, slide))),
        Err(error) if error.is_refusal() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The question for devices alone, if these are wanted.
fn devices_of(common: Common<'_>, devices: Option<Since>) -> SlideRoom {
    let Common { caller, ignored_users, live_after_us, .. } = common;
    SlideRoom {
        caller: caller.clone(),
        wants_room: false,
        from: None,
        timeline_limit: 0,
        expands: false,
        required_state: RequiredState::default(),
        added_state: RequiredState::default(),
        live_after_us,
        receipts: false,
        receipts_from: None,
        typing: false,
        devices: devices.is_some(),
        devices_from: devices.and_then(|it| it.0),
        ignored_users: ignored_users.to_vec(),
        push_rules: None,
    }
}

impl ReadRooms {
    /// Notes what the connection is given of a room, and that it was read.
    fn note(&mut self, read: &mut Read) {
        let Read { room, slide } = read;
        if let Some(slide) = slide {
            self.devices.push(std::mem::take(&mut slide.devices));
            self.active_ms = self.active_ms.max(slide.active_ms.filter(|_| room.from.is_some()));
            self.searched_kib = self.searched_kib.saturating_add(slide.searched_kib);
            if !is_recorded(room, slide) {
                return;
            }
            self.record(room.room_id.clone(), slide);
        }
        let (limit, had) = (room.wanted.timeline_limit, room.had_limit);
        let is_gap = slide.as_ref().is_some_and(|it| it.limited);
        let is_anew = room.from.is_none() || room.expands || is_gap;
        let has_receipts = room.receipts && (slide.is_some() || room.receipts_from.is_some());
        let given = GivenRoom {
            membership_seq: room.membership_seq,
            to: slide.as_ref().map_or(room.from.unwrap_or(0), |it| it.to),
            timeline_limit: if is_anew { limit } else { limit.max(had) },
            receipts: has_receipts,
            is_dm: room.is_dm,
            ..GivenRoom::default()
        };
        let (room_id, required_state) = (room.room_id.clone(), room.wanted.required_state.clone());
        self.given.push(ReadGivenRoom { room_id, given, required_state });
    }

    fn record(&mut self, room_id: OwnedRoomId, slide: &RoomSlide) {
        let facts = slide.is_joined.then(|| slide.facts.clone());
        self.recorded.push(ReadRoom { room_id, to: slide.to, members: Vec::new(), facts });
    }
}

/// Whether a read is to be remembered: not one of receipts or typing alone, which says itself how
/// much of that was seen.
fn is_recorded(room: &SlidingRoom, slide: &RoomSlide) -> bool {
    let is_first = room.receipts && room.receipts_from.is_none();
    !room.is_ephemeral
        || is_first
        || room.tells_dm
        || !slide.timeline.is_empty()
        || !slide.required_state.is_empty()
        || slide.devices != DeviceChanges::default()
}

fn size(read: &Read) -> usize {
    let events = |list: &[RawJson]| list.iter().map(|it| it.get().len()).sum::<usize>();
    let slide = read.slide.as_ref();
    let of_room = slide.map_or(0, |it| events(&it.timeline) + events(&it.required_state));
    of_room + events(&read.room.stripped_state)
}
