//! What a room remembers by name: what was used last, within a number and within bytes.
//!
//! Any member with the power may set state, of any size and under any number of keys, and may come
//! and go, so neither the number nor the sizes of what is remembered are the server's choice.

use std::{borrow::Borrow, hash::Hash, num::NonZeroUsize};

use lru::LruCache;

use crate::objects::{
    held::{Bound, Held, Total},
    room::limits,
};

/// What an entry takes beside what its name and its value have elsewhere, in bytes: about, and
/// rather more.
const ENTRY_BYTES: usize = 200;

/// A name or a value, as it counts.
pub(super) trait Weigh {
    /// Bytes that it has elsewhere than in itself.
    fn bytes(&self) -> usize;
}

/// What is remembered by name.
#[derive(Debug)]
pub(super) struct Cache<K: Hash + Eq, V> {
    entries: LruCache<K, V>,
    bound: Bound,
    held: Held,
}

impl<K: Hash + Eq + Weigh, V: Weigh> Cache<K, V> {
    /// Nothing, of which there may be so many within these bytes.
    pub(super) fn new(most: NonZeroUsize, bound: Bound) -> Self {
        Self::counted(most, bound, &limits::ROOMS)
    }

    /// The same, counted with others than all rooms.
    fn counted(most: NonZeroUsize, bound: Bound, total: &'static Total) -> Self {
        Self { entries: LruCache::sparse(most), bound, held: Held::of(total) }
    }

    /// What is remembered under a name.
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    /// Remembers this, and forgets others for it.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.held.grow(bytes_of(&key, &value));
        if let Some((key, value)) = self.entries.push(key, value) {
            self.held.shrink(bytes_of(&key, &value));
        }
        while self.held.exceeds(self.bound) {
            let Some((key, value)) = self.entries.pop_lru() else { break };
            self.held.shrink(bytes_of(&key, &value));
        }
    }

    /// Forgets what is remembered under a name.
    pub(super) fn pop<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some((key, value)) = self.entries.pop_entry(key) {
            self.held.shrink(bytes_of(&key, &value));
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.held.set(0);
    }
}

fn bytes_of(key: &impl Weigh, value: &impl Weigh) -> usize {
    ENTRY_BYTES + key.bytes() + value.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: NonZeroUsize = NonZeroUsize::new(100).unwrap();
    const BOUND: Bound = Bound { most: 10_000, share: 1_000 };

    impl Weigh for usize {
        fn bytes(&self) -> usize {
            *self
        }
    }

    impl Weigh for u8 {
        fn bytes(&self) -> usize {
            0
        }
    }

    fn total(most: usize) -> &'static Total {
        Box::leak(Box::new(Total::new(most)))
    }

    fn cache(total: &'static Total) -> Cache<u8, usize> {
        Cache::counted(NUMBER, BOUND, total)
    }

    #[test]
    fn what_was_used_last_is_kept_within_the_bytes() {
        let mut cache = cache(total(usize::MAX));
        for number in 0..50 {
            cache.put(number, 800);
            assert!(cache.get(&0).is_some(), "it is used all the time");
            assert!(cache.held.bytes() <= BOUND.most);
        }
        assert!(cache.get(&1).is_none());
        assert_eq!(cache.entries.len(), 10);
    }

    #[test]
    fn what_is_put_anew_or_goes_is_counted_no_more() {
        let total = total(usize::MAX);
        let mut cache = cache(total);
        for bytes in [1_000, 20, 500] {
            cache.put(1, bytes);
            assert_eq!(cache.held.bytes(), ENTRY_BYTES + bytes);
        }
        cache.pop(&1);
        cache.pop(&2);
        assert_eq!(total.bytes(), 0);
        for number in 0..=100 {
            cache.put(number, 0);
        }
        assert_eq!(cache.entries.len(), BOUND.most / ENTRY_BYTES);
        assert_eq!(cache.held.bytes(), cache.entries.len() * ENTRY_BYTES);
        cache.clear();
        assert_eq!((cache.held.bytes(), total.bytes()), (0, 0));
        cache.put(1, 1);
        drop(cache);
        assert_eq!(total.bytes(), 0);
    }

    #[test]
    fn where_all_rooms_have_too_much_each_keeps_to_its_share() {
        let total = total(50_000);
        let mut rooms: Vec<_> = (0..20).map(|_| cache(total)).collect();
        for room in &mut rooms {
            for number in 0..20 {
                room.put(number, 800);
            }
        }
        assert!(total.bytes() <= 50_000 + 20 * BOUND.share, "{}", total.bytes());
        let last = rooms.last_mut().unwrap();
        last.put(30, 500);
        assert!(last.get(&30).is_some(), "a share is left to everybody");
    }
}
