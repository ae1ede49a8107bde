//! Rooms that other servers have read lately: where an event is looked for first that a server
//! names without its room.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName};

/// Servers of which it is remembered: those that have read last.
const MAX_SERVERS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// Rooms of each: those that it has read last.
const MAX_ROOMS: usize = 8;

/// The memory. Forgetting it costs asking more rooms.
#[derive(Debug)]
pub struct RecentRooms(Mutex<LruCache<OwnedServerName, VecDeque<OwnedRoomId>>>);

impl Default for RecentRooms {
    fn default() -> Self {
        Self(Mutex::new(LruCache::sparse(MAX_SERVERS)))
    }
}

impl RecentRooms {
    /// A server has read a room, which has let it.
    pub fn note(&self, server: &ServerName, room_id: &RoomId) {
        let mut servers = self.lock();
        let rooms = servers.get_or_insert_mut_ref(server, VecDeque::new);
        rooms.retain(|it| it != room_id);
        rooms.push_front(room_id.to_owned());
        rooms.truncate(MAX_ROOMS);
    }

    /// The rooms that a server has read, the last one first.
    pub fn list(&self, server: &ServerName) -> Vec<OwnedRoomId> {
        self.lock().get(server).into_iter().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<OwnedServerName, VecDeque<OwnedRoomId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn the_last_rooms_of_each_server_are_remembered() {
        let (a, b) = (server_name!("a.example"), server_name!("b.example"));
        let rooms = RecentRooms::default();
        let room = |n: usize| RoomId::parse(format!("!{n}:x.example")).unwrap();
        for n in (0..=MAX_ROOMS).chain([3]) {
            rooms.note(a, &room(n));
        }
        let mut expected: Vec<_> = (1..=MAX_ROOMS).rev().filter(|n| *n != 3).map(room).collect();
        expected.insert(0, room(3));
        assert_eq!(rooms.list(a), expected);
        assert_eq!(rooms.list(b), Vec::<OwnedRoomId>::new());
    }
}
