//! One room's part of a `/sync` response.

mod devices;
mod ending;
mod lazy;
mod reconcile;
mod summary;
mod unread;

use std::{collections::BTreeMap, sync::Arc};

use ruma::{UserId, events::room::member::MembershipState};
use skerry_core::{engine::StateAt, filter::Matcher, gather::Gather as _};

use self::{lazy::Lazy, unread::Reader};
use crate::{
    Result,
    messages::{
        RawJson, Requester,
        room::{Direction, Position, RoomSync, SyncRoom},
    },
    objects::room::{
        Room, limits,
        loaded::Loaded,
        read::{
            access::View,
            audience::Audience,
            scan::{Budget, Scan, passes},
            whole_states::{PartSpace, part_for},
        },
    },
    store::room::{
        events::{self, StoredEvent},
        readers,
        state::{self, Change},
    },
};

impl Room {
    /// Gives the room's part of a `/sync` response. Whoever has read the room is told of what comes
    /// next.
    pub(super) async fn sync(self: &Arc<Self>, command: SyncRoom) -> Result<Box<RoomSync>> {
        let is_whole = command.full_state || command.from.is_none();
        let part = part_for(command.state.lazy_load_options);
        let space = if is_whole { Some(self.space_for(part).await?) } else { None };
        let room = self.read().await?;
        let user_id = &command.caller.user_id;
        let requester = Requester::User(command.caller.clone());
        let view = self.view_in_sync(&room, user_id).await?;
        let is_joined = view.timeline.membership() == MembershipState::Join;
        if is_joined {
            // Under the same lock as the reading: what comes later finds them watching.
            self.begin_reading(&readers::Reader::User(user_id.clone())).await?;
        }
        let audience = self.audience(&room, &requester, &view.timeline);
        let audience = audience.in_sync(command.federation_format);
        let audience = audience.ignoring(&command.ignored_users);
        let limit = command.timeline.limit.map_or(limits::DEFAULT_TIMELINE_EVENTS, u64::from);
        let limit = limit.min(limits::TIMELINE_EVENTS);
        let ending = self.ending(&command, &view, limit).await?;
        let limit = limit - u64::from(ending.is_in_timeline);
        let mut scan = self.sync_timeline(&room, audience, &command, &view, limit).await?;
        let changes = match command.from {
            Some(from) if room.state.group > from => {
                state::list_changes(self.sql(), self.scope(), from, view.upto).await?
            }
            _ => Vec::new(),
        };
        let (first, mut added) =
            self.reconcile(&room, &command, &view, &mut scan, &changes).await?;
        ending.add_to(&mut scan.events, &mut added);
        let (limited, searched_kib) = (scan.next.is_some(), scan.searched_kib);
        let (heroes, counts) = self.summary(&room, &command, &changes).await?;
        let lazy = Lazy::new(&command, &scan.events, heroes.as_deref().unwrap_or_default());
        let matcher = Matcher::of_room(&command.state, &self.id);
        added.retain(|it| passes(&matcher, it) && lazy.wants(it));
        let mut state =
            self.sync_state(&command, &view, &lazy, &changes, (first, space.as_ref())).await?;
        state.retain(|it| passes(&matcher, it));
        state.retain(|old| !added.iter().any(|it| is_same_key(it, old)));
        state.extend(added);
        let members_sent = lazy.sent(&state);
        let active_ms = last_sent(&scan.events, user_id);
        let mut shown = scan.events;
        shown.reverse();
        let state_from = shown.len();
        shown.extend(state);
        let mut timeline = self.render(audience, &shown).await?;
        let state = timeline.split_off(state_from);
        let mut sync = RoomSync {
            to: ending.to(view.upto),
            timeline,
            limited,
            prev_batch: first.saturating_sub(1),
            state,
            members_sent,
            heroes,
            joined_member_count: counts.map(|it| it.0),
            invited_member_count: counts.map(|it| it.1),
            searched_kib,
            active_ms,
            ..RoomSync::default()
        };
        if command.wants_devices {
            let from = command.from;
            sync.devices = self.device_changes(&room, user_id, from, &view, &changes).await?;
        }
        if is_joined {
            self.add_what_members_get(&room, &command, &view, &mut sync).await?;
        }
        Ok(Box::new(sync))
    }

    /// What is for those who are in the room: unread counts, receipts, typing.
    async fn add_what_members_get(
        &self,
        room: &Loaded,
        command: &SyncRoom,
        view: &View,
        sync: &mut RoomSync,
    ) -> Result<()> {
        if command.statuses {
            sync.statuses = self.statuses_of_members(room).await?;
        }
        let user_id = &command.caller.user_id;
        let joined_at = start_of_stay(&view.timeline.memberships);
        let reader = Reader::new(user_id, &command.ignored_users);
        (sync.unread, sync.unread_threads) =
            self.unread(room, reader, joined_at, command.thread_counts).await?;
        let from = command.from.unwrap_or(0);
        sync.ephemeral = self.ephemeral_since(room, from, user_id).await?;
        let matcher = Matcher::of_room(&command.ephemeral, &self.id);
        sync.ephemeral.retain(|it| passes_ephemeral(&matcher, it));
        Ok(())
    }

    /// The newest events after what was seen, newest first.
    async fn sync_timeline(
        &self,
        room: &Loaded,
        audience: Audience<'_>,
        command: &SyncRoom,
        view: &View,
        limit: u64,
    ) -> Result<Scan> {
        let from = command.from.unwrap_or(0);
        // A timeline does not reach across missing history: what comes may stand in between.
        let gaps = room.gaps.iter().filter(|it| it.next > from + 1 && it.next <= view.upto);
        let start = gaps.map(|it| it.next - 1).max().unwrap_or(from);
        let range = (start, view.upto);
        let budget = Budget { events: limit, bytes: limits::TIMELINE_BYTES };
        let mut scan = self
            .scan(room, audience, range, Direction::Backward, budget, &command.timeline)
            .await?;
        if start > from {
            scan.next.get_or_insert(start);
        }
        Ok(scan)
    }

    /// The state that goes with the timeline.
    async fn sync_state(
        &self,
        command: &SyncRoom,
        view: &View,
        lazy: &Lazy<'_>,
        changes: &[Change],
        (first, space): (Position, Option<&PartSpace<'_>>),
    ) -> Result<Vec<StoredEvent>> {
        let upto = if command.state_after { view.upto } else { first.saturating_sub(1) };
        let at = StateAt { group: upto.min(view.state.group), ..view.state };
        let mut found = if let Some(space) = space {
            self.list_state(at, space).await?
        } else {
            let changed = changes.iter().filter(|it| it.position <= upto);
            let latest: BTreeMap<_, _> = changed.map(|it| (&it.key, it.event)).gather();
            let nums: Vec<_> = latest.into_values().flatten().collect();
            events::list(self.sql(), self.scope(), &nums).await?
        };
        let missing = lazy.missing(&found);
        found.extend(self.events_of(at, &missing).await?);
        // A limit in the filter is none on state: the client could not get at what is left out,
        // and would not know of it.
        Ok(found)
    }
}

/// Whether two state events set the same piece of the state.
fn is_same_key(one: &StoredEvent, other: &StoredEvent) -> bool {
    one.event_type == other.event_type && one.state_key == other.state_key
}

/// When the first of some events that are by a user was sent, as it says.
fn last_sent(events: &[StoredEvent], user_id: &UserId) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Event {
        origin_server_ts: u64,
    }
    let own = events.iter().find(|it| it.sender == *user_id)?;
    serde_json::from_str::<Event>(&own.json).ok().map(|it| it.origin_server_ts)
}

/// Where the present stay of a joined member began.
fn start_of_stay(memberships: &[(Position, MembershipState)]) -> Position {
    let stay = memberships.iter().rev().take_while(|(_, it)| *it == MembershipState::Join);
    stay.last().map_or(0, |(at, _)| *at)
}

/// Whether the filter lets an ephemeral event through.
fn passes_ephemeral(matcher: &Matcher<'_>, event: &RawJson) -> bool {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(rename = "type", borrow)]
        event_type: std::borrow::Cow<'a, str>,
    }
    serde_json::from_str::<Event<'_>>(event.get())
        .is_ok_and(|it| matcher.passes(&it.event_type, None, || false))
}
