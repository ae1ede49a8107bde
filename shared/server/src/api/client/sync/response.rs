//! Putting a `/sync` response together.

use std::{cmp::Reverse, collections::BTreeSet};

use js_int::UInt;
use ruma::{
    OneTimeKeyAlgorithm, OwnedRoomId, RoomId,
    api::client::sync::sync_events::{
        UnreadNotificationsCount,
        v3::{
            InvitedRoom, JoinedRoom, KnockState, KnockedRoom, LeftRoom, Response, RoomSummary,
            State, StateEvents, Timeline,
        },
    },
    serde::Raw,
};
use serde_json::{json, value::to_raw_value};
use skerry_core::{gather::Gather as _, presence::Status, sync_token::SyncToken};

use super::{super::push, complete::Complete, options::SyncOptions, read_rooms::ReadRoom};
use crate::{
    Result,
    messages::{
        Caller, RawJson,
        room::{DeviceChanges, RoomSync, UnreadCount},
        user::KeyCounts,
    },
};

/// A response in the making.
pub(super) struct Builder(Response);

impl Builder {
    /// A response to a device that has so many keys left.
    pub(super) fn new(counts: KeyCounts) -> Self {
        let mut response = Response::new(String::new());
        let KeyCounts { one_time_keys, unused_fallback } = counts;
        // Clients take a missing count for an old server's.
        let counts = [(OneTimeKeyAlgorithm::SignedCurve25519, UInt::MIN)].into_iter().gather();
        response.device_one_time_keys_count = counts;
        let counts = one_time_keys.into_iter();
        let counts = counts.map(|(it, count)| (it.into(), UInt::new_saturating(count)));
        response.device_one_time_keys_count.extend(counts);
        let unused = unused_fallback.into_iter().map(Into::into).collect();
        response.device_unused_fallback_key_types = Some(unused);
        Self(response)
    }

    /// Adds of whom keys are to be asked for anew.
    pub(super) fn add_devices(&mut self, changes: DeviceChanges) {
        self.0.device_lists.changed = changes.changed;
        self.0.device_lists.left = changes.left;
    }

    /// Whether there is nothing in it that a client waits for.
    pub(super) fn is_empty(&self) -> bool {
        let Self(response) = self;
        response.rooms.is_empty()
            && response.account_data.is_empty()
            && response.presence.events.is_empty()
            && response.to_device.is_empty()
            && response.device_lists.is_empty()
    }

    /// The response.
    pub(super) fn finish(self, token: SyncToken) -> Complete {
        let Self(mut response) = self;
        response.next_batch = token.to_string();
        Complete(response)
    }

    /// Adds account data of no room. A client that begins gets the push rules with it.
    pub(super) fn add_account_data(
        &mut self,
        options: &SyncOptions,
        caller: &Caller,
        is_initial: bool,
        mut events: Vec<RawJson>,
    ) -> Result<()> {
        if is_initial {
            let content = json!({ "global": push::rules(&caller.user_id)? });
            let event = json!({ "type": "m.push_rules", "content": content });
            events.push(to_raw_value(&event)?);
        }
        self.0.account_data.events = raw(options.account_data(events));
        Ok(())
    }

    /// Adds statuses: of each user the newest.
    pub(super) fn add_statuses(
        &mut self,
        options: &SyncOptions,
        mut statuses: Vec<Status>,
        now_ms: u64,
    ) -> Result<()> {
        statuses.sort_by_key(|it| Reverse(it.at_ms));
        let mut users = BTreeSet::new();
        statuses.retain(|it| users.insert(it.user_id.clone()));
        let events = statuses.into_iter().map(|it| to_raw_value(&it.event(now_ms)));
        let events = events.collect::<Result<_, _>>()?;
        self.0.presence.events = raw(options.presence(events));
        Ok(())
    }

    /// Adds messages to the device.
    pub(super) fn add_to_device(&mut self, events: Vec<RawJson>) {
        self.0.to_device.events = raw(events);
    }

    /// Adds an invitation.
    pub(super) fn add_invited(&mut self, room_id: OwnedRoomId, stripped_state: Vec<RawJson>) {
        let mut room = InvitedRoom::new();
        room.invite_state.events = raw(stripped_state);
        self.0.rooms.invite.insert(room_id, room);
    }

    /// Adds a knock.
    pub(super) fn add_knocked(&mut self, room_id: OwnedRoomId, stripped_state: Vec<RawJson>) {
        let mut state = KnockState::new();
        state.events = raw(stripped_state);
        self.0.rooms.knock.insert(room_id, KnockedRoom::from(state));
    }

    /// Adds a room that was read, unless there is nothing to see of it.
    pub(super) fn add_room(&mut self, options: &SyncOptions, room: ReadRoom) -> Result<()> {
        let ReadRoom { change, is_joined, sync } = room;
        let account_data = options.room_account_data(&change.room_id, change.account_data);
        let is_new = change.from.is_none() || options.full_state;
        // Of a room that was left, the leaving itself is to be seen.
        let is_seen = !is_joined || sync.as_ref().is_some_and(|it| is_new || has_something(it));
        if !is_seen && account_data.is_empty() {
            return Ok(());
        }
        let rooms = &mut self.0.rooms;
        if is_joined {
            let mut room = joined_room(options, is_new, sync.filter(|_| is_seen))?;
            room.account_data.events = raw(account_data);
            rooms.join.insert(change.room_id, room);
        } else {
            let mut room = LeftRoom::new();
            room.account_data.events = raw(account_data);
            (room.timeline, room.state) = match sync {
                Some(mut sync) => timeline_and_state(options, is_new, &mut sync)?,
                None => (Timeline::new(), state(options, Vec::new())),
            };
            if let Some(ending) = change.ending {
                add_ending(options, &change.room_id, &mut room, ending.event)?;
            }
            rooms.leave.insert(change.room_id, room);
        }
        Ok(())
    }
}

/// Unread counts do not count: they change with an event or a receipt that is there as well.
fn has_something(sync: &RoomSync) -> bool {
    !sync.timeline.is_empty()
        || sync.limited
        || !sync.state.is_empty()
        || !sync.ephemeral.is_empty()
}

fn joined_room(
    options: &SyncOptions,
    is_new: bool,
    sync: Option<Box<RoomSync>>,
) -> Result<JoinedRoom> {
    let mut room = JoinedRoom::new();
    let Some(mut sync) = sync else {
        room.state = state(options, Vec::new());
        return Ok(room);
    };
    (room.timeline, room.state) = timeline_and_state(options, is_new, &mut sync)?;
    room.summary = summary(&mut sync);
    room.unread_notifications = unread(sync.unread);
    room.unread_thread_notifications =
        sync.unread_threads.into_iter().map(|(root, count)| (root, unread(count))).gather();
    room.ephemeral.events = raw(sync.ephemeral);
    Ok(room)
}

/// Adds the event that ended the user's time with a room that is not here: as the room does it.
fn add_ending(
    options: &SyncOptions,
    room_id: &RoomId,
    room: &mut LeftRoom,
    event: RawJson,
) -> Result<()> {
    let is_in_timeline = options.passes_timeline(room_id, &event);
    let events = options.fields(vec![event])?;
    if (options.state_after || !is_in_timeline)
        && let State::Before(state) | State::After(state) = &mut room.state
    {
        state.events.extend(raw(events.clone()));
    }
    if is_in_timeline {
        room.timeline.events.extend(raw(events));
    }
    Ok(())
}

fn timeline_and_state(
    options: &SyncOptions,
    is_new: bool,
    sync: &mut RoomSync,
) -> Result<(Timeline, State)> {
    let mut timeline = Timeline::new();
    timeline.events = raw(options.fields(std::mem::take(&mut sync.timeline))?);
    timeline.limited = sync.limited;
    if is_new || sync.limited || !timeline.events.is_empty() {
        timeline.prev_batch = Some(format!("t{}", sync.prev_batch));
    }
    Ok((timeline, state(options, options.fields(std::mem::take(&mut sync.state))?)))
}

fn state(options: &SyncOptions, events: Vec<RawJson>) -> State {
    let events = StateEvents::with_events(raw(events));
    if options.state_after { State::After(events) } else { State::Before(events) }
}

fn summary(sync: &mut RoomSync) -> RoomSummary {
    let mut summary = RoomSummary::new();
    summary.heroes = sync.heroes.take().unwrap_or_default();
    summary.joined_member_count = sync.joined_member_count.map(UInt::new_saturating);
    summary.invited_member_count = sync.invited_member_count.map(UInt::new_saturating);
    summary
}

fn unread(count: UnreadCount) -> UnreadNotificationsCount {
    let mut unread = UnreadNotificationsCount::new();
    unread.notification_count = Some(UInt::new_saturating(count.notifications));
    unread.highlight_count = Some(UInt::new_saturating(count.highlights));
    unread
}

/// Events of a type that only the client will check.
fn raw<T>(events: Vec<RawJson>) -> Vec<Raw<T>> {
    events.into_iter().map(Raw::from_json).collect()
}
