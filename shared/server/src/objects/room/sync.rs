//! One room's part of a `/sync` response.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{
    OwnedUserId, RoomId, UserId,
    api::client::filter::{LazyLoadOptions, RoomEventFilter},
    events::room::member::MembershipState,
};
use skerry_core::{authorize::StateKey, engine::StateAt, filter};

use super::{
    Room, limits,
    load::Loaded,
    serve::{Asker, Scan, passes},
    timeline::View,
};
use crate::{
    Result,
    messages::{
        RawJson,
        room::{Direction, Position, RoomSync, SyncRoom},
    },
    store::room::{
        events::{self, Stored},
        members,
        state::{self, Change, Part},
    },
};

impl Room {
    /// Gives the room's part of a `/sync` response. Whoever has read the room is told of what comes next.
    pub(super) async fn sync(self: &Arc<Self>, command: SyncRoom) -> Result<Box<RoomSync>> {
        let room = self.read().await?;
        let user_id = &command.caller.user_id;
        let view = self.view(&room, user_id).await?;
        let is_joined = view.timeline.membership() == MembershipState::Join;
        if is_joined {
            // Under the same lock as the reading: what comes later finds them watching.
            self.watch().watch(user_id);
        }
        let asker = Asker {
            caller: &command.caller,
            timeline: &view.timeline,
            federation_format: command.federation_format,
            redacts_in_content: room.rules.redaction.content_field_redacts,
            room_id: None,
        };
        let from = command.from.unwrap_or(0);
        let scan = self.sync_timeline(&room, asker, &command, &view).await?;
        let limited = scan.next.is_some();
        let next = scan.events.last().map_or(view.upto + 1, |it| it.position);
        let (events, settled) = self.settle(&room, &command, &view, scan.events, next).await?;
        let scan = Scan { events, next: scan.next };
        let changes = match command.from {
            Some(from) if room.state.group > from => {
                state::list_changes(self.sql(), self.scope(), from, view.upto).await?
            }
            _ => Vec::new(),
        };
        let first = next;
        let (heroes, counts) = self.summary(&room, &command, &changes).await?;
        let lazy = Lazy::new(&command, &scan.events, heroes.as_deref().unwrap_or_default());
        let mut state = self.sync_state(&command, &view, &lazy, &changes, first).await?;
        for it in settled.into_iter().filter(|it| passes(&command.state, &self.id, it)) {
            let is_same =
                |old: &Stored| old.event_type == it.event_type && old.state_key == it.state_key;
            state.retain(|old| !is_same(old));
            state.push(it);
        }
        let members_sent = lazy.sent(&state);
        let mut shown = scan.events;
        shown.reverse();
        let state_from = shown.len();
        shown.extend(state);
        let mut timeline = self.serve(asker, &shown).await?;
        let state = timeline.split_off(state_from);
        let mut sync = RoomSync {
            to: view.upto,
            timeline,
            limited,
            prev_batch: first.saturating_sub(1),
            state,
            ephemeral: Vec::new(),
            members_sent,
            heroes,
            joined_member_count: counts.map(|it| it.0),
            invited_member_count: counts.map(|it| it.1),
            unread: crate::messages::room::UnreadCount::default(),
            unread_threads: BTreeMap::new(),
        };
        if is_joined {
            let joined_at = start_of_stay(&view.timeline.memberships);
            (sync.unread, sync.unread_threads) =
                self.unread(&room, user_id, joined_at, command.thread_counts).await?;
            sync.ephemeral = self.ephemeral_since(&room, from, user_id).await?;
            sync.ephemeral.retain(|it| passes_ephemeral(&command.ephemeral, &self.id, it));
        }
        Ok(Box::new(sync))
    }

    /// The newest events after what was seen, newest first.
    async fn sync_timeline(
        &self,
        room: &Loaded,
        asker: Asker<'_>,
        command: &SyncRoom,
        view: &View,
    ) -> Result<Scan> {
        let wanted = command.timeline.limit.map_or(limits::DEFAULT_TIMELINE_EVENTS, u64::from);
        let limit = wanted.min(limits::TIMELINE_EVENTS);
        let from = command.from.unwrap_or(0);
        // A timeline does not reach across missing history: what comes may stand in between.
        let gaps = room.gaps.iter().filter(|it| it.next > from + 1 && it.next <= view.upto);
        let start = gaps.map(|it| it.next - 1).max().unwrap_or(from);
        let range = (start, view.upto);
        let mut scan =
            self.scan(room, asker, range, Direction::Backward, limit, &command.timeline).await?;
        if start > from {
            scan.next.get_or_insert(start);
        }
        let ignored = &command.ignored_users;
        scan.events.retain(|it| {
            it.state_key.is_some() || !ignored.iter().any(|user| user.as_str() == it.sender)
        });
        Ok(scan)
    }

    /// The state that goes with the timeline.
    async fn sync_state(
        &self,
        command: &SyncRoom,
        view: &View,
        lazy: &Lazy<'_>,
        changes: &[Change],
        first: Position,
    ) -> Result<Vec<Stored>> {
        let whole = command.full_state || command.from.is_none();
        let upto = if command.state_after { view.upto } else { first.saturating_sub(1) };
        let at = StateAt { group: upto.min(view.state.group), ..view.state };
        let (sql, scope) = (self.sql(), self.scope());
        let mut found = if whole {
            let part = if lazy.is_on { Part::WithoutMembers } else { Part::Whole };
            state::list(sql, scope, at, part).await?
        } else {
            let changed = changes.iter().filter(|it| it.position <= upto);
            let latest: BTreeMap<_, _> = changed.map(|it| (&it.key, it.event)).collect();
            let nums: Vec<_> = latest.into_values().flatten().collect();
            events::list(sql, scope, &nums).await?
        };
        let missing = lazy.missing(&found);
        found.extend(self.events_of(at, &missing).await?);
        found.retain(|it| passes(&command.state, &self.id, it));
        if let Some(limit) = command.state.limit {
            found.truncate(usize::try_from(u64::from(limit)).unwrap_or(usize::MAX));
        }
        Ok(found)
    }

    /// Heroes and member counts, when they may have changed.
    async fn summary(
        &self,
        room: &Loaded,
        command: &SyncRoom,
        changes: &[Change],
    ) -> Result<(Option<Vec<OwnedUserId>>, Option<(u64, u64)>)> {
        let is_new = command.from.is_none() || command.full_state;
        let touches = |name: &str| changes.iter().any(|it| it.key.0 == name);
        let members_changed = is_new || touches("m.room.member");
        let names = ["m.room.name", "m.room.canonical_alias"];
        if !members_changed && !names.iter().any(|it| touches(it)) {
            return Ok((None, None));
        }
        let counts = members_changed.then_some((room.joined, room.invited));
        let keys: Vec<_> = names.iter().map(|it| ((*it).to_owned(), String::new())).collect();
        let named = self.state_events(room, &keys).await?.iter().any(|(_, (_, event))| {
            let content: serde_json::Value =
                serde_json::from_str(event.content.get()).unwrap_or_default();
            ["name", "alias"].iter().any(|it| {
                content.get(it).and_then(|it| it.as_str()).is_some_and(|it| !it.is_empty())
            })
        });
        if named {
            return Ok((None, counts));
        }
        Ok((Some(self.heroes(&command.caller.user_id).await?), counts))
    }

    /// The first members but the asker: joined and invited ones, or else those who left.
    async fn heroes(&self, asker: &UserId) -> Result<Vec<OwnedUserId>> {
        let groups = [
            [MembershipState::Join, MembershipState::Invite],
            [MembershipState::Leave, MembershipState::Ban],
        ];
        for group in groups {
            let mut found =
                members::list(self.sql(), self.scope(), &group, limits::HEROES + 1).await?;
            found.retain(|it| it.user_id != asker);
            found.truncate(usize::try_from(limits::HEROES).unwrap_or(usize::MAX));
            if !found.is_empty() {
                return Ok(found.into_iter().map(|it| it.user_id).collect());
            }
        }
        Ok(Vec::new())
    }
}

/// Lazy loading of members ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members
struct Lazy<'a> {
    is_on: bool,
    /// Members that the client needs for this timeline.
    needed: BTreeSet<&'a str>,
    timeline: &'a [Stored],
}

impl<'a> Lazy<'a> {
    fn new(command: &'a SyncRoom, timeline: &'a [Stored], heroes: &'a [OwnedUserId]) -> Self {
        let LazyLoadOptions::Enabled { include_redundant_members } =
            command.state.lazy_load_options
        else {
            return Self { is_on: false, needed: BTreeSet::new(), timeline };
        };
        let mut needed: BTreeSet<_> = timeline.iter().map(|it| it.sender.as_str()).collect();
        // The specification wants the heroes' events wherever the heroes are.
        needed.extend(heroes.iter().map(|it| it.as_str()));
        if command.from.is_none() || command.full_state {
            needed.insert(command.caller.user_id.as_str());
        }
        if !include_redundant_members && !command.full_state {
            for known in &command.known_members {
                needed.remove(known.as_str());
            }
        }
        Self { is_on: true, needed, timeline }
    }

    /// Needed members whose events are not among these.
    fn missing(&self, state: &[Stored]) -> Vec<StateKey> {
        let present: BTreeSet<_> = state
            .iter()
            .filter(|it| it.event_type == "m.room.member")
            .filter_map(|it| it.state_key.as_deref())
            .collect();
        self.needed
            .difference(&present)
            .map(|it| ("m.room.member".to_owned(), (*it).to_owned()))
            .collect()
    }

    /// Members whose events the client has after this response.
    fn sent(&self, state: &[Stored]) -> Vec<OwnedUserId> {
        if !self.is_on {
            return Vec::new();
        }
        state
            .iter()
            .chain(self.timeline)
            .filter(|it| it.event_type == "m.room.member")
            .filter_map(|it| UserId::parse(it.state_key.as_deref()?).ok())
            .collect()
    }
}

/// Where the present stay of a joined member began.
fn start_of_stay(memberships: &[(Position, MembershipState)]) -> Position {
    let stay = memberships.iter().rev().take_while(|(_, it)| *it == MembershipState::Join);
    stay.last().map_or(0, |(at, _)| *at)
}

/// Whether the filter lets an ephemeral event through.
fn passes_ephemeral(filter: &RoomEventFilter, room_id: &RoomId, event: &RawJson) -> bool {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(rename = "type", borrow)]
        event_type: std::borrow::Cow<'a, str>,
    }
    serde_json::from_str::<Event<'_>>(event.get()).is_ok_and(|it| {
        let subject = filter::Subject { event_type: &it.event_type, sender: None, has_url: false };
        filter::passes_room_event(filter, room_id, subject)
    })
}
