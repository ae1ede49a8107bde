//! One room's part of an answer of sliding sync ([MSC4186]). What may be seen, and in which events,
//! is decided as for `/sync`.
//!
//! [MSC4186]: https://github.com/matrix-org/matrix-spec-proposals/pull/4186

mod required;

use std::{collections::BTreeSet, sync::Arc};

use js_int::UInt;
use ruma::{
    api::client::filter::{LazyLoadOptions, RoomEventFilter},
    events::room::member::MembershipState,
};
use serde::Deserialize;

use self::required::Need;
use super::{last_sent, start_of_stay, unread::Reader};
use crate::{
    Result,
    messages::{
        Requester,
        room::{Hero, RoomSlide, ShownRoom, SlideRoom, SyncRoom},
    },
    objects::room::{
        Room, limits,
        loaded::Loaded,
        read::{access::View, scan::Scan, whole_states::part_for},
    },
    store::room::{
        events::StoredEvent,
        readers,
        state::{self, Change},
        stored_us,
    },
};

const MEMBER: &str = "m.room.member";
const NAME: &str = "m.room.name";
const AVATAR: &str = "m.room.avatar";

impl Room {
    /// Gives the room's part of an answer. Whoever has read the room is told of what comes next.
    pub(crate) async fn slide(self: &Arc<Self>, it: SlideRoom) -> Result<Box<RoomSlide>> {
        let need = Need::new(&it);
        let part = part_for(match need.has_all_members() {
            true => LazyLoadOptions::Disabled,
            false => LazyLoadOptions::Enabled { include_redundant_members: false },
        });
        let space = if need.is_whole() { Some(self.space_for(part).await?) } else { None };
        let room = self.read().await?;
        let user_id = &it.caller.user_id;
        let view = self.view_in_sync(&room, user_id).await?;
        let is_joined = view.timeline.membership() == MembershipState::Join;
        if is_joined {
            // Under the same lock as the reading: what comes later finds them watching.
            self.begin_reading(&readers::Reader::User(user_id.clone())).await?;
        }
        let facts = self.facts(&room).await?;
        let mut slide = RoomSlide { to: view.upto, is_joined, facts, ..RoomSlide::default() };
        let changes = self.changes_since(&room, it.from, &view).await?;
        if it.devices {
            let since = self.changes_since(&room, it.devices_from, &view).await?;
            let from = it.devices_from;
            slide.devices = self.device_changes(&room, user_id, from, &view, &since).await?;
        }
        if !it.wants_room {
            return Ok(Box::new(slide));
        }
        let requester = Requester::User(it.caller.clone());
        let audience = self.audience(&room, &requester, &view.timeline).in_sync(false);
        let audience = audience.ignoring(&it.ignored_users);
        let command = as_sync(&it);
        let limit = it.timeline_limit.min(limits::TIMELINE_EVENTS);
        let ending = self.ending(&command, &view, limit).await?;
        let left = limit - u64::from(ending.is_in_timeline);
        let reads = SyncRoom { from: it.from.filter(|_| !it.expands), ..command };
        let mut scan = self.sync_timeline(&room, audience, &reads, &view, left).await?;
        let first = scan.first(view.upto);
        let mut state = self.required_state(&view, &it, &need, (&scan, &changes, space)).await?;
        ending.add_to(&mut scan.events, &mut state);
        slide.to = ending.to(view.upto);
        slide.limited = scan.next.is_some();
        slide.prev_batch = first.saturating_sub(1);
        slide.searched_kib = scan.searched_kib;
        slide.num_live = self.num_live(&room, &it, &scan).await?;
        slide.active_ms = last_sent(&scan.events, user_id);
        slide.shown = self.shown_of(&view, &it, &changes).await?;
        let mut events = scan.events;
        events.reverse();
        let state_from = events.len();
        events.extend(state);
        let seen: BTreeSet<_> =
            events.iter().take(state_from).map(|it| it.event_id.clone()).collect();
        slide.timeline = self.render(audience, &events).await?;
        slide.required_state = slide.timeline.split_off(state_from);
        if is_joined {
            let reads = SyncRoom { from: it.from, ..reads };
            self.add_what_members_see(&room, &it, (&reads, &changes), &mut slide).await?;
            let joined_at = start_of_stay(&view.timeline.memberships);
            let rules = it.push_rules.as_ref();
            let reader = Reader::new(user_id, &it.ignored_users).with_rules(rules);
            (slide.unread, _) = self.unread(&room, reader, joined_at, false).await?;
            let of = if it.receipts_from.is_none() { Some(&seen) } else { None };
            let after = it.receipts_from.unwrap_or(0);
            if it.receipts {
                slide.receipts = self.receipts_for(&room, after, user_id, of).await?;
            }
            if it.typing {
                slide.typing = self.typing_since(&room, it.from.unwrap_or(0)).await?;
            }
        }
        Ok(Box::new(slide))
    }

    /// How the state changed since a position; nothing, where there is none.
    async fn changes_since(
        &self,
        room: &Loaded,
        from: Option<u64>,
        view: &View,
    ) -> Result<Vec<Change>> {
        match from {
            Some(from) if room.state.group > from => {
                state::list_changes(self.sql(), self.scope(), from, view.upto).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Heroes, counts, and when people were active.
    async fn add_what_members_see(
        &self,
        room: &Loaded,
        it: &SlideRoom,
        (reads, changes): (&SyncRoom, &[Change]),
        slide: &mut RoomSlide,
    ) -> Result<()> {
        slide.bump_us = self.bump_us(room).await?;
        let (heroes, counts) = self.summary(room, reads, changes).await?;
        slide.counts = counts;
        let Some(heroes) = heroes else { return Ok(()) };
        let keys: Vec<_> =
            heroes.iter().map(|it| (MEMBER.to_owned(), it.as_str().to_owned())).collect();
        let found = self.state_events(room, &keys).await?;
        let hero = |user_id: &ruma::OwnedUserId| {
            let event = found.iter().find(|((_, key), _)| key == user_id.as_str());
            let content = event.map(|(_, (_, event))| event.content.get()).unwrap_or_default();
            let Member { displayname, avatar_url } =
                serde_json::from_str(content).unwrap_or_default();
            Hero { user_id: user_id.clone(), displayname, avatar_url }
        };
        slide.heroes = Some(heroes.iter().map(hero).collect());
        debug_assert!(it.wants_room);
        Ok(())
    }

    /// How many events of the timeline, newest first, have just occurred.
    async fn num_live(&self, room: &Loaded, it: &SlideRoom, scan: &Scan) -> Result<u64> {
        let after = match (it.from, it.live_after_us) {
            (Some(from), _) => from,
            (None, Some(instant_us)) if instant_us < room.stored_us => {
                stored_us::find_position_before(self.sql(), self.scope(), instant_us).await?
            }
            (None, _) => return Ok(0),
        };
        Ok(scan.events.iter().take_while(|event| event.position > after).count() as u64)
    }

    /// Name and avatar, where the client does not know them.
    async fn shown_of(
        &self,
        view: &View,
        it: &SlideRoom,
        changes: &[Change],
    ) -> Result<Option<ShownRoom>> {
        let touches = |name: &str| changes.iter().any(|it| it.key.0 == name);
        if it.from.is_some() && !touches(NAME) && !touches(AVATAR) {
            return Ok(None);
        }
        let keys = [NAME, AVATAR].map(|it| (it.to_owned(), String::new()));
        let mut shown = ShownRoom::default();
        for event in self.events_of(view.state, &keys).await? {
            let content = content(&event);
            let text = |it: Option<String>| it.filter(|it| !it.is_empty());
            match event.event_type.as_str() {
                NAME => shown.name = text(content.name),
                _ => shown.avatar = text(content.url),
            }
        }
        Ok(Some(shown))
    }
}

/// What of the content of a name or an avatar is shown.
#[derive(Default, Deserialize)]
struct Shown {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

/// What of a member is shown.
#[derive(Default, Deserialize)]
struct Member {
    #[serde(default)]
    displayname: Option<String>,
    #[serde(default)]
    avatar_url: Option<String>,
}

fn content(event: &StoredEvent) -> Shown {
    #[derive(Deserialize)]
    struct Event {
        content: Shown,
    }
    serde_json::from_str::<Event>(&event.json).map(|it| it.content).unwrap_or_default()
}

/// The same question, as `/sync` asks it.
fn as_sync(it: &SlideRoom) -> SyncRoom {
    let mut timeline = RoomEventFilter::default();
    timeline.limit = Some(UInt::new_saturating(it.timeline_limit));
    SyncRoom {
        caller: it.caller.clone(),
        from: it.from,
        full_state: false,
        state_after: true,
        timeline,
        state: RoomEventFilter::default(),
        ephemeral: RoomEventFilter::default(),
        known_members: Vec::new(),
        thread_counts: false,
        ignored_users: it.ignored_users.clone(),
        federation_format: false,
        statuses: false,
        wants_devices: false,
        push_rules: None,
    }
}
