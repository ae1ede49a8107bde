//! All rooms of a user as lists of sliding sync see them. In memory alone: it is made of the rows
//! of the rooms and of account data, and follows what changes of these.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use serde::Deserialize;
use skerry_core::{sliding_sync::Traits, user_stream::RoomEntry};

use super::{
    State, User,
    account_data::{DIRECT, TAG},
    limits,
};
use crate::{
    Result,
    messages::{
        RawJson,
        room::RoomFacts,
        user::{Place, StreamPosition},
    },
    objects::held::Held,
    store::user::{
        account_data::{self, GLOBAL},
        rooms,
    },
};

/// A room.
#[derive(Debug)]
pub(super) struct Indexed {
    /// What the stream knows of it.
    pub(super) entry: RoomEntry,
    /// When something happened in it, as far as is known: an instant.
    pub(super) active_us: u64,
    /// What filters look at.
    pub(super) traits: Traits,
    /// Who set the membership.
    pub(super) sender: OwnedUserId,
    /// What is known of it is what holds: the room tells when that changes.
    pub(super) is_placed: bool,
    /// Its type is known.
    pub(super) has_facts: bool,
    /// At which version it has told something last.
    heard: u64,
}

/// All rooms.
#[derive(Debug)]
pub(super) struct RoomIndex {
    rooms: BTreeMap<OwnedRoomId, Indexed>,
    /// Up to where of the stream it follows; none: it has to be made.
    upto: Option<StreamPosition>,
    direct: BTreeSet<String>,
    /// Grows with what no position of the stream says.
    version: u64,
    held: Held,
}

impl Default for RoomIndex {
    fn default() -> Self {
        Self {
            rooms: BTreeMap::new(),
            upto: None,
            direct: BTreeSet::new(),
            version: 0,
            held: Held::of(&limits::USERS),
        }
    }
}

impl RoomIndex {
    /// It has to be made anew.
    pub(super) fn forget(&mut self) {
        *self = Self { version: self.version + 1, ..Self::default() };
    }

    /// Grows with what no position of the stream says.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// A room that is unread tells that something has happened in it. Whether anybody looks at it.
    pub(super) fn heard(&mut self, room_id: &RoomId, now_us: u64) -> bool {
        let Some(room) = self.rooms.get_mut(room_id) else { return false };
        self.version += 1;
        (room.active_us, room.is_placed, room.heard) = (now_us, false, self.version);
        true
    }

    /// A room.
    pub(super) fn get(&self, room_id: &RoomId) -> Option<&Indexed> {
        self.rooms.get(room_id)
    }

    /// All rooms, those first in which something has happened last.
    pub(super) fn in_order(&self) -> Vec<(&OwnedRoomId, &Indexed)> {
        let mut rooms: Vec<_> = self.rooms.iter().collect();
        rooms.sort_by_key(|(_, it)| Reverse(it.active_us));
        rooms
    }

    /// Rooms say where they stand that were asked at a version; what they have told since is newer.
    pub(super) fn place(&mut self, places: &[Place], asked_at: u64) {
        for Place { room_id, facts } in places {
            let room = self.rooms.get_mut(room_id);
            if let Some(room) = room.filter(|it| it.heard <= asked_at) {
                room.active_us = facts.active_us;
                room.traits.room_type.clone_from(&facts.room_type);
                room.traits.is_encrypted = facts.is_encrypted;
                (room.is_placed, room.has_facts) = (true, true);
            }
        }
    }

    fn insert(&mut self, room: rooms::Room, tags: Option<Vec<String>>) {
        let rooms::Room { room_id, entry, sender, active_us, facts, .. } = room;
        let old = self.rooms.remove(&room_id);
        let is_read = !entry.is_unread() && facts.is_some() && active_us > 0;
        let is_same = old
            .as_ref()
            .is_some_and(|it| it.is_placed && it.entry.known_position == entry.known_position);
        let heard = match &old {
            Some(old) if old.entry.known_position == entry.known_position => old.heard,
            Some(_) => {
                self.version += 1;
                self.version
            }
            None => 0,
        };
        let (tags, active_us) = match old {
            Some(old) if !is_read => {
                (tags.unwrap_or(old.traits.tags), active_us.max(old.active_us))
            }
            Some(old) => (tags.unwrap_or(old.traits.tags), active_us),
            None => (tags.unwrap_or_default(), active_us),
        };
        let has_facts = facts.is_some() || entry.membership != MembershipState::Join;
        let RoomFacts { room_type, is_encrypted, .. } = facts.unwrap_or_default();
        let is_invite = entry.membership == MembershipState::Invite;
        let is_dm = self.direct.contains(room_id.as_str());
        let traits = Traits { is_invite, is_dm, is_encrypted, room_type, tags };
        let is_placed = is_read || is_same || entry.membership != MembershipState::Join;
        let room = Indexed { entry, active_us, traits, sender, is_placed, has_facts, heard };
        self.rooms.insert(room_id, room);
    }

    fn count(&mut self) {
        const ROOM_BYTES: usize = 350;
        let texts = self.rooms.iter().map(|(room_id, it)| {
            let tags = it.traits.tags.iter().map(String::len).sum::<usize>();
            ROOM_BYTES + room_id.as_str().len() + it.sender.as_str().len() + tags
        });
        let bytes = texts.sum::<usize>();
        self.held.set(bytes + self.direct.iter().map(String::len).sum::<usize>());
    }
}

impl User {
    /// Brings the index up to date.
    pub(super) async fn refresh_index(&self, state: &mut State) -> Result<()> {
        let (sql, scope) = (self.sql(), self.scope());
        let upto = state.index.upto.filter(|_| !state.index.held.exceeds(limits::ROOM_INDEX_BYTES));
        match upto.and_then(|upto| state.changed.after(upto)) {
            Some(changed) => {
                for room in rooms::list_some(sql, scope, changed.iter().map(|it| &**it)).await? {
                    state.index.insert(room, None);
                }
            }
            None => {
                state.index.forget();
                state.index.direct = self.direct_rooms().await?;
                let mut tags: BTreeMap<_, _> = account_data::list_by_type(sql, scope, TAG)
                    .await?
                    .into_iter()
                    .map(|(room_id, content)| (room_id, tags_in(&content)))
                    .collect();
                for room in rooms::list(sql, scope).await? {
                    let tags = tags.remove(room.room_id.as_str()).unwrap_or_default();
                    state.index.insert(room, Some(tags));
                }
                state.index.count();
            }
        }
        state.index.upto = Some(state.seq);
        Ok(())
    }

    /// The rooms that `m.direct` names.
    async fn direct_rooms(&self) -> Result<BTreeSet<String>> {
        let stored = account_data::find(self.sql(), self.scope(), GLOBAL, DIRECT).await?;
        // A client may have written anything.
        let content: BTreeMap<String, Vec<String>> =
            stored.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default();
        Ok(content.into_values().flatten().collect())
    }
}

/// The tags in the content of `m.tag`.
fn tags_in(content: &str) -> Vec<String> {
    #[derive(Default, Deserialize)]
    struct Content {
        #[serde(default)]
        tags: BTreeMap<String, RawJson>,
    }
    let content: Content = serde_json::from_str(content).unwrap_or_default();
    content.tags.into_keys().collect()
}

/// What lists look at, as far as an invitation or a knock shows it; none: it shows nothing.
pub(super) fn facts_of(stripped_state: &[RawJson]) -> Option<RoomFacts> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        event_type: String,
        #[serde(default)]
        content: Content,
    }
    #[derive(Default, Deserialize)]
    struct Content {
        #[serde(rename = "type", default)]
        room_type: Option<String>,
    }
    let events = stripped_state.iter();
    let events = events.filter_map(|it| serde_json::from_str::<Event>(it.get()).ok());
    let mut facts = (!stripped_state.is_empty()).then(RoomFacts::default);
    for event in events {
        let Some(facts) = &mut facts else { break };
        match event.event_type.as_str() {
            "m.room.create" => facts.room_type = event.content.room_type,
            "m.room.encryption" => facts.is_encrypted = true,
            _ => {}
        }
    }
    facts
}

/// Whether a room is in the lists of a user. `given`: the membership that the client was given, if
/// any was. Whoever has left by themselves knows it: their clients are told once.
pub(super) fn is_listed(
    room: &Indexed,
    me: &UserId,
    ignored_users: &[OwnedUserId],
    given: Option<StreamPosition>,
) -> bool {
    match room.entry.membership {
        MembershipState::Join | MembershipState::Knock => true,
        MembershipState::Invite => !User::is_ignored(ignored_users, &room.sender),
        _ => {
            let is_to_be_told = given.is_some_and(|it| it != room.entry.membership_seq);
            let was_there = room.entry.read_position.is_some() || given.is_some();
            let was_removed = room.sender != me && was_there && !room.entry.forgotten;
            is_to_be_told || was_removed
        }
    }
}
