//! All connections: how many there are, in all and from one address, and which ones make room.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skerry_core::rate_limits::network;

use super::{activity::Activity, limits::Limits};

/// Of this many places one more is freed at a time, so that the longest idle are not looked for
/// among all connections for each new one.
const ONE_FREED_OF: usize = 512;

/// All connections.
pub(super) struct Connections {
    limits: Arc<Limits>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    all: BTreeMap<u64, Entry>,
    /// Those that are counted by where they come from.
    by_origin: BTreeMap<IpAddr, BTreeSet<u64>>,
}

struct Entry {
    /// None: it may have any number of connections.
    origin: Option<IpAddr>,
    activity: Arc<Activity>,
}

/// A connection's place, until it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits: Arc::new(limits), state: Mutex::default() })
    }

    /// A place for a connection from this address. None: there is none, and no other connection
    /// waits for its client.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let origin = (!(self.limits.exempt)(address)).then(|| network(address));
        let mut state = self.lock();
        let from_there = origin.and_then(|it| state.by_origin.get(&it));
        if let Some(numbers) = from_there
            && numbers.len() >= self.limits.per_address
        {
            let idlest = state.idlest(numbers.iter(), 1);
            if idlest.is_empty() {
                return None;
            }
            state.evict(idlest);
        }
        if state.all.len() >= self.limits.connections.saturating_sub(self.limits.kept_free) {
            let count = (self.limits.connections / ONE_FREED_OF).max(1);
            let idlest = state.idlest(state.all.keys(), count);
            state.evict(idlest);
        }
        if state.all.len() >= self.limits.connections {
            return None;
        }
        let number = state.next;
        state.next += 1;
        let activity = Arc::new(Activity::new(self.limits.clone()));
        state.all.insert(number, Entry { origin, activity: activity.clone() });
        if let Some(origin) = origin {
            state.by_origin.entry(origin).or_default().insert(number);
        }
        Some(Place { connections: self.clone(), number, activity })
    }

    /// Closes a few of those that have waited longest for their clients.
    pub(super) fn make_room(&self) {
        let mut state = self.lock();
        let count = (self.limits.connections / ONE_FREED_OF).max(1);
        let idlest = state.idlest(state.all.keys(), count);
        state.evict(idlest);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Of these, those that have waited longest for their clients. None of them has a request that
    /// is being worked on.
    fn idlest<'a>(&self, of: impl Iterator<Item = &'a u64>, count: usize) -> Vec<u64> {
        let mut waiting: Vec<_> = of
            .filter_map(|number| Some((self.all.get(number)?.activity.waits_since()?, *number)))
            .collect();
        if waiting.len() > count {
            waiting.select_nth_unstable(count);
            waiting.truncate(count);
        }
        waiting.into_iter().map(|(_, number)| number).collect()
    }

    fn evict(&mut self, numbers: Vec<u64>) {
        for number in numbers {
            if let Some(activity) = self.remove(number) {
                activity.evict();
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Activity>> {
        let Entry { origin, activity } = self.all.remove(&number)?;
        if let Some(origin) = origin
            && let Some(numbers) = self.by_origin.get_mut(&origin)
        {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_origin.remove(&origin);
            }
        }
        Some(activity)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(self.number);
    }
}
