//! Putting a `/sync` response together.

use std::collections::BTreeMap;

use js_int::UInt;
use ruma::{
    OneTimeKeyAlgorithm, OwnedRoomId,
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
use skerry_core::sync_token::SyncToken;

use super::{super::push, complete::Complete, options::SyncOptions, read_rooms::ReadRoom};
use crate::{
    Result,
    messages::{
        Caller, RawJson,
        room::{RoomSync, UnreadCount},
    },
};

/// A response in the making.
pub(super) struct Builder(Response);

impl Builder {
    /// An empty response.
    pub(super) fn new() -> Self {
        Self(Response::new(String::new()))
    }

    /// Whether there is nothing in it that a client waits for.
    pub(super) fn is_empty(&self) -> bool {
        self.0.rooms.is_empty() && self.0.account_data.is_empty()
    }

    /// The response.
    pub(super) fn finish(self, token: SyncToken) -> Complete {
        let Self(mut response) = self;
        response.next_batch = token.to_string();
        // Clients take a missing count for an old server's.
        response.device_one_time_keys_count =
            BTreeMap::from([(OneTimeKeyAlgorithm::SignedCurve25519, UInt::MIN)]);
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
        sync.unread_threads.into_iter().map(|(root, count)| (root, unread(count))).collect();
    room.ephemeral.events = raw(sync.ephemeral);
    Ok(room)
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
