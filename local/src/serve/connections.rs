//! All connections: how many there are, in all and from one address, and which ones make room.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use skerry_core::rate_limits::network;
use tokio::time::Instant;

use super::{activity::Activity, limits::Limits};

/// Of this many places one more is freed at a time, so that the longest idle are not looked for
/// among all connections for each new one.
const ONE_FREED_OF: usize = 512;

/// All connections.
pub(super) struct Connections {
    limits: Arc<Limits>,
    /// Bytes of the answers that they hold.
    answers: Arc<AtomicU64>,
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

/// A connection with answers that are not taken to their ends.
struct Holding {
    origin: Option<IpAddr>,
    bytes: u64,
    last_step: Instant,
    number: u64,
}

impl Holding {
    fn of((number, entry): (&u64, &Entry)) -> Option<Self> {
        let Entry { origin, activity } = entry;
        let bytes = activity.answer_bytes();
        let last_step = activity.last_step();
        (bytes > 0).then_some(Self { origin: *origin, bytes, last_step, number: *number })
    }
}

/// A connection's place, until it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits: Arc::new(limits),
            answers: Arc::default(),
            state: Mutex::default(),
        })
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
        let activity = Arc::new(Activity::new(self.limits.clone(), self.answers.clone()));
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

    /// Where the answers take too much memory, closes connections that hold them: of the address
    /// whose clients hold the most, the one that has waited longest.
    pub(super) fn bound_answers(&self) {
        if self.answers.load(Ordering::Relaxed) <= self.limits.answers_bytes {
            return;
        }
        let mut state = self.lock();
        let mut holding: Vec<_> = state.all.iter().filter_map(Holding::of).collect();
        // Those that were closed already are no longer among them.
        while holding.iter().map(|it| it.bytes).sum::<u64>() > self.limits.answers_bytes {
            let mut by_origin = BTreeMap::<_, u64>::new();
            for it in &holding {
                *by_origin.entry(it.origin).or_default() += it.bytes;
            }
            let most = by_origin.into_iter().max_by_key(|(_, bytes)| *bytes).map(|it| it.0);
            let of_most = holding.iter().enumerate().filter(|(_, it)| Some(it.origin) == most);
            let Some((slowest, _)) = of_most.min_by_key(|(_, it)| it.last_step) else { return };
            state.evict(vec![holding.swap_remove(slowest).number]);
            tracing::debug!("a connection was closed: answers take too much memory");
        }
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
