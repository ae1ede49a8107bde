//! A bounded memory of what is true for a while.

use std::collections::BTreeMap;

/// Values that are forgotten when their time is over, and the ones whose time is over first where
/// there is no room. Forgetting one costs asking again.
#[derive(Clone, Debug)]
pub struct Expiring<K, V> {
    capacity: usize,
    values: BTreeMap<K, (u64, V)>,
}

impl<K: Ord + Clone, V> Expiring<K, V> {
    /// An empty one that holds at most so many values.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, values: BTreeMap::new() }
    }

    /// The value, and until when it holds (milliseconds since the Unix epoch). None when its time
    /// is over.
    pub fn find<Q>(&self, key: &Q, now_ms: u64) -> Option<(u64, &V)>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (until_ms, value) = self.values.get(key)?;
        (*until_ms > now_ms).then_some((*until_ms, value))
    }

    /// The value also when its time is over, as long as it is remembered.
    pub fn find_stale<Q>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.values.get(key).map(|(_, value)| value)
    }

    /// Remembers a value until then (milliseconds since the Unix epoch).
    pub fn insert(&mut self, key: K, value: V, until_ms: u64) {
        self.values.insert(key, (until_ms, value));
        while self.values.len() > self.capacity {
            let first = self.values.iter().min_by_key(|(_, (until_ms, _))| *until_ms);
            let Some(key) = first.map(|(key, _)| key.clone()) else { return };
            self.values.remove(&key);
        }
    }

    /// Forgets a value.
    pub fn remove<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.values.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_until_its_time_is_over() {
        let mut expiring = Expiring::new(2);
        expiring.insert("a", 1, 10);
        assert_eq!(expiring.find("a", 9), Some((10, &1)));
        assert_eq!(expiring.find("a", 10), None);
        assert_eq!(expiring.find_stale("a"), Some(&1));
        expiring.remove("a");
        assert_eq!(expiring.find_stale("a"), None);
    }

    #[test]
    fn where_there_is_no_room_the_first_to_end_is_forgotten() {
        let mut expiring = Expiring::new(2);
        for (key, until_ms) in [("a", 30), ("b", 10), ("c", 20)] {
            expiring.insert(key, (), until_ms);
        }
        assert!(expiring.find("a", 0).is_some());
        assert!(expiring.find("b", 0).is_none());
        assert!(expiring.find("c", 0).is_some());
    }
}
