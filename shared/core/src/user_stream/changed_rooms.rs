//! Which rooms may have something new for a token, without a look into the store.

use std::collections::{BTreeMap, BTreeSet};

use crate::{gather::Gather as _, sync_token::SyncToken};

/// Rooms whose last change is remembered.
pub const MAX_RECENT_ROOMS: usize = 1_000;

/// Unread rooms that are remembered; a user with more has their rooms looked up each time.
pub const MAX_UNREAD_ROOMS: usize = 2_000;

/// The candidates for "what changed since a token": the rooms that changed after some position of
/// the stream, and those that no client has read to the end. They are new to every token.
#[derive(Clone, Debug)]
pub struct ChangedRooms<K> {
    /// Every room whose last change lies beyond this position of the stream is remembered.
    complete_after: u64,
    by_seq: BTreeSet<(u64, K)>,
    last_seq: BTreeMap<K, u64>,
    unread: BTreeSet<K>,
    /// There were more unread rooms than are remembered.
    lacks_unread: bool,
}

impl<K> Default for ChangedRooms<K> {
    fn default() -> Self {
        Self {
            complete_after: 0,
            by_seq: BTreeSet::new(),
            last_seq: BTreeMap::new(),
            unread: BTreeSet::new(),
            lacks_unread: false,
        }
    }
}

impl<K: Ord + Clone> ChangedRooms<K> {
    /// The index of all rooms of a user: each with the position of the stream at which anything of
    /// it or of its account data changed last, and whether [`super::RoomEntry::is_unread`].
    pub fn load(rooms: impl IntoIterator<Item = (K, u64, bool)>) -> Self {
        let mut index = Self::default();
        for (room, last_seq, is_unread) in rooms {
            index.changed(&room, last_seq, is_unread);
        }
        index
    }

    /// A room changed, or a read of it was recorded, at a position of the stream; called when that
    /// is committed.
    pub fn changed(&mut self, room: &K, seq: u64, is_unread: bool) {
        match (is_unread, self.unread.len() < MAX_UNREAD_ROOMS) {
            (false, _) => _ = self.unread.remove(room),
            (true, true) => _ = self.unread.insert(room.clone()),
            (true, false) if self.unread.contains(room) => {}
            (true, false) => self.lacks_unread = true,
        }
        self.account_data_changed(room, seq);
    }

    /// The account data of a room changed, at a position of the stream, and the room did not.
    pub fn account_data_changed(&mut self, room: &K, seq: u64) {
        if seq <= self.complete_after {
            return;
        }
        if let Some(before) = self.last_seq.insert(room.clone(), seq) {
            self.by_seq.remove(&(before, room.clone()));
        }
        self.by_seq.insert((seq, room.clone()));
        while self.last_seq.len() > MAX_RECENT_ROOMS
            && let Some((seq, room)) = self.by_seq.pop_first()
        {
            self.last_seq.remove(&room);
            self.complete_after = seq;
        }
    }

    /// The position of the stream beyond which every change is remembered.
    pub fn complete_after(&self) -> u64 {
        self.complete_after
    }

    /// The rooms that may have something new for a token, and maybe some that have not. None: the
    /// token is older than what is remembered, or its client has not been given all rooms yet, and
    /// all rooms are to be looked up.
    pub fn since(&self, token: SyncToken) -> Option<BTreeSet<K>> {
        if token.base < self.complete_after || token.rest.is_some() || self.lacks_unread {
            return None;
        }
        let recent = self.by_seq.iter().rev().take_while(|(seq, _)| *seq > token.base);
        let recent = recent.map(|(_, room)| room);
        Some(recent.chain(&self.unread).cloned().gather())
    }
}
