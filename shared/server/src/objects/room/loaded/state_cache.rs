//! Pieces of the current state in memory: those that were used last, in as many bytes as there is
//! room for.
//!
//! Any member with the power may set state, of any size and under any number of keys, and whoever
//! may create rooms may fill many of them. So a room has a bound, and all rooms of a process have
//! one together; where that is reached, a room keeps to its share.

use std::sync::atomic::{AtomicUsize, Ordering};

use lru::LruCache;
use skerry_core::authorize::StateKey;

use super::state_event::StateEvent;
use crate::objects::room::limits;

/// What the process's rooms hold together, in bytes.
static ALL_ROOMS: AtomicUsize = AtomicUsize::new(0);

/// What an entry takes beside its texts, in bytes: about, and rather more.
const ENTRY_BYTES: usize = 400;

/// The pieces of one room's state that are in memory.
#[derive(Debug)]
pub(super) struct StateCache {
    /// None: there is no such piece.
    pieces: LruCache<StateKey, Option<StateEvent>>,
    bytes: usize,
    all: &'static AtomicUsize,
}

impl Default for StateCache {
    fn default() -> Self {
        Self::within(&ALL_ROOMS)
    }
}

impl StateCache {
    /// Empty, with a count of what all that share it hold.
    fn within(all: &'static AtomicUsize) -> Self {
        Self { pieces: LruCache::sparse(limits::CACHED_STATE), bytes: 0, all }
    }

    /// A piece, or that there is none, if it is known.
    pub(super) fn get(&mut self, key: &StateKey) -> Option<&Option<StateEvent>> {
        self.pieces.get(key)
    }

    /// Remembers a piece, or that there is none, and forgets others for it.
    pub(super) fn put(&mut self, key: StateKey, event: Option<StateEvent>) {
        self.grow(bytes_of(&key, event.as_ref()));
        if let Some((key, event)) = self.pieces.push(key, event) {
            self.shrink(bytes_of(&key, event.as_ref()));
        }
        while self.is_too_large() {
            let Some((key, event)) = self.pieces.pop_lru() else { break };
            self.shrink(bytes_of(&key, event.as_ref()));
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.shrink(self.bytes);
    }

    fn is_too_large(&self) -> bool {
        let all_have_too_much = self.all.load(Ordering::Relaxed) > limits::ALL_CACHED_STATE_BYTES;
        let bound = match all_have_too_much {
            true => limits::CACHED_STATE_SHARE_BYTES,
            false => limits::CACHED_STATE_BYTES,
        };
        self.bytes > bound
    }

    fn grow(&mut self, by: usize) {
        self.bytes += by;
        self.all.fetch_add(by, Ordering::Relaxed);
    }

    fn shrink(&mut self, by: usize) {
        self.bytes -= by;
        self.all.fetch_sub(by, Ordering::Relaxed);
    }
}

impl Drop for StateCache {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// What a piece takes, in bytes. An event has its content twice.
fn bytes_of(key: &StateKey, event: Option<&StateEvent>) -> usize {
    let event = event.map_or(0, |(_, pdu)| pdu.json.len() + pdu.content.get().len());
    ENTRY_BYTES + key.0.len() + key.1.len() + event
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ruma::room_id;
    use serde_json::json;
    use skerry_core::Pdu;

    use super::*;

    fn cache() -> StateCache {
        StateCache::within(Box::leak(Box::new(AtomicUsize::new(0))))
    }

    fn beside(other: &StateCache) -> StateCache {
        StateCache::within(other.all)
    }

    fn key(number: usize) -> StateKey {
        ("org.example".to_owned(), number.to_string())
    }

    fn event(bytes: usize) -> StateEvent {
        let json = json!({
            "type": "org.example", "state_key": "", "sender": "@a:b", "room_id": "!r:b",
            "origin_server_ts": 1, "depth": 1, "prev_events": [], "auth_events": [],
            "content": { "text": "x".repeat(bytes) },
        });
        let event_id = "$event".try_into().unwrap();
        let pdu = Pdu::from_stored(event_id, room_id!("!r:b"), json.to_string().into()).unwrap();
        (1, Arc::new(pdu))
    }

    #[test]
    fn a_room_keeps_what_was_used_last_within_its_bytes() {
        let mut cache = cache();
        let bytes = 60_000;
        let fit = limits::CACHED_STATE_BYTES / (2 * bytes);
        for number in 0..2 * fit {
            cache.put(key(number), Some(event(bytes)));
            assert!(cache.get(&key(0)).is_some(), "it is used all the time");
            assert!(cache.bytes <= limits::CACHED_STATE_BYTES);
        }
        assert!(cache.get(&key(1)).is_none());
        assert!(cache.pieces.len() > fit / 2, "{}", cache.pieces.len());
    }

    #[test]
    fn what_is_put_anew_or_goes_is_counted_no_more() {
        let mut cache = cache();
        for bytes in [10_000, 20, 5_000] {
            cache.put(key(1), Some(event(bytes)));
            assert_eq!(cache.bytes, bytes_of(&key(1), Some(&event(bytes))));
        }
        cache.put(key(1), None);
        assert_eq!(cache.bytes, bytes_of(&key(1), None));
        cache.clear();
        assert_eq!((cache.bytes, cache.all.load(Ordering::Relaxed)), (0, 0));
        for number in 0..=limits::CACHED_STATE.get() {
            cache.put(key(number), None);
        }
        assert_eq!(cache.pieces.len(), limits::CACHED_STATE.get());
        let sum: usize = cache.pieces.iter().map(|(key, _)| bytes_of(key, None)).sum();
        assert_eq!(cache.bytes, sum);
        let all = cache.all;
        drop(cache);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn where_all_rooms_have_too_much_each_keeps_to_its_share() {
        let first = cache();
        let mut rooms: Vec<_> = (0..40).map(|_| beside(&first)).collect();
        for room in &mut rooms {
            for number in 0..60 {
                room.put(key(number), Some(event(60_000)));
            }
        }
        let all = first.all.load(Ordering::Relaxed);
        let most = limits::ALL_CACHED_STATE_BYTES + 40 * limits::CACHED_STATE_SHARE_BYTES;
        assert!(all <= most, "{all}");
        let last = rooms.last_mut().unwrap();
        last.put(key(0), Some(event(500)));
        assert!(last.get(&key(0)).is_some(), "a share is left to everybody");
    }
}
