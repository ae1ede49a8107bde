//! What a user has heard of rooms and has not written down, because it is no news.

use std::collections::BTreeMap;

use ruma::events::room::member::MembershipState;
use serde::{Deserialize, Serialize};

use super::{ReadPlan, RoomEntry};
use crate::delivery::Answer;

/// Unread rooms that are remembered; beyond that all are forgotten.
pub const MAX_HEARD_ROOMS: usize = 1_000;

/// Numbers that JavaScript and JSON carry exactly.
const INSTANCE_MASK: u64 = (1 << 53) - 1;

/// Which memory of a user something was answered from. Each object that is built anew takes a
/// random one; `Changes` hands it out, and `Read` brings it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instance(u64);

impl Instance {
    /// Takes a random number.
    pub fn new(random: u64) -> Self {
        Self(random & INSTANCE_MASK)
    }
}

/// What a delivery of a room comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something new: `known_position` and `known_seq` are to be written, clients to be woken,
    /// then [`HeardRooms::noted`].
    News,
    /// The stream knows of that position already: a repetition. Nothing is written.
    Known,
    /// The room is unread already, or the user is not joined to it. Nothing is written.
    Unread,
}

impl Heard {
    /// What the room is answered, once what is to be written is written.
    pub fn answer(self) -> Answer {
        match self {
            Self::News | Self::Known => Answer::Noted,
            Self::Unread => Answer::Unread,
        }
    }
}

/// An unread room.
#[derive(Clone, Copy, Debug)]
struct UnreadRoom {
    /// [`RoomEntry::known_position`], or less.
    known_position: u64,
    /// The highest position that was dropped because the room is unread.
    dropped: Option<u64>,
}

/// The memory of one user of the rooms that are unread: their deliveries need no look into the
/// store, and how far the dropped ones went is taken in by the next read that is recorded.
///
/// **Invariant:** a room that is remembered is unread in the store. Hence a read is recorded while
/// nothing else is heard, and when nobody knows whether a batch was committed, or the memory is
/// full, everything is forgotten and another instance begins. A membership changes nothing here: a
/// room that is joined anew is unread, and one that was left has nothing new.
#[derive(Clone, Debug)]
pub struct HeardRooms<K> {
    instance: Instance,
    rooms: BTreeMap<K, UnreadRoom>,
}

impl<K: Ord + Clone> HeardRooms<K> {
    /// An empty memory.
    pub fn new(instance: Instance) -> Self {
        Self { instance, rooms: BTreeMap::new() }
    }

    /// What `Changes` hands out.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// Takes a delivery in without a look into the store. None: [`Self::hear`] with the entry.
    pub fn hear_from_memory(&mut self, room: &K, position: u64) -> Option<Heard> {
        let unread = self.rooms.get_mut(room)?;
        if position <= unread.known_position {
            return Some(Heard::Known);
        }
        unread.dropped = unread.dropped.max(Some(position));
        Some(Heard::Unread)
    }

    /// Takes a delivery in. `entry` is the room as it is stored, if the stream knows it.
    pub fn hear(&mut self, room: &K, entry: Option<&RoomEntry>, position: u64) -> Heard {
        // Rooms the user is not joined to have nothing new: what was said until the user left
        // comes with the membership, and a room that is joined later is read from its beginning.
        let Some(entry) = entry.filter(|it| it.membership == MembershipState::Join) else {
            return Heard::Unread;
        };
        if position <= entry.known_position {
            return Heard::Known;
        }
        if !entry.is_unread() {
            return Heard::News;
        }
        self.remember(room, entry.known_position);
        self.hear_from_memory(room, position).unwrap_or(Heard::Unread)
    }

    /// The news of a room are committed: it is unread.
    pub fn noted(&mut self, room: &K, position: u64) {
        self.remember(room, position);
    }

    fn remember(&mut self, room: &K, known_position: u64) {
        if self.rooms.len() >= MAX_HEARD_ROOMS && !self.rooms.contains_key(room) {
            self.forget_all(Instance(self.instance.0.wrapping_add(1) & INSTANCE_MASK));
        }
        let unread = UnreadRoom { known_position, dropped: None };
        self.rooms.entry(room.clone()).or_insert(unread);
    }

    /// The highest position that was dropped of a room: for [`super::RoomRead::dropped`].
    pub fn dropped(&self, room: &K) -> Option<u64> {
        self.rooms.get(room).and_then(|unread| unread.dropped)
    }

    /// A read of the room is committed, and what was dropped with it. Nothing else forgets what was
    /// dropped: a membership, say, may come between the reading and its record.
    pub fn recorded(&mut self, room: &K, plan: &ReadPlan) {
        match self.rooms.get_mut(room) {
            Some(unread) if plan.entry.is_unread() => {
                let known_position = plan.entry.known_position;
                *unread = UnreadRoom { known_position, dropped: None };
            }
            _ => _ = self.rooms.remove(room),
        }
    }

    /// Nobody knows whether a batch was committed that recorded reads, or the object forgets for
    /// another reason: another instance begins.
    pub fn forget_all(&mut self, instance: Instance) {
        self.instance = instance;
        self.rooms.clear();
    }
}
