//! What a loaded room remembers so that most reads need no store: the newest events, what its
//! members may see, and what they have not read. All of it can be dropped at any time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{
    OwnedServerName, OwnedUserId, ServerName, UserId,
    events::room::history_visibility::HistoryVisibility,
};
use skerry_core::{
    authorize::StateKey,
    visibility::{ServerTimeline, Timeline},
};

use crate::{
    messages::room::{Position, UnreadCount},
    objects::room::{
        limits,
        loaded::{
            cache::{Cache, Weigh},
            recent::{Recent, RecentEvents},
            state_event::{StateEvent, bytes_of},
        },
    },
    store::room::events::StoredEvent,
};

/// How much of the room a member has not read, counted up to a position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) upto: Position,
    /// Read up to here by a receipt for the whole room, or because they joined here.
    pub(crate) everywhere: Position,
    /// Read up to here by thread, `main` among them.
    pub(crate) by_thread: BTreeMap<String, Position>,
    /// Which users' events were not counted, because the member ignores them: a hash of the list.
    pub(crate) ignored_hash: u64,
    pub(crate) main: UnreadCount,
    pub(crate) threads: BTreeMap<String, UnreadCount>,
}

/// What memory has of a piece of state.
pub(crate) enum Remembered {
    /// Its event.
    Present(StateEvent),
    /// There is none.
    Absent,
    /// The store has to be asked.
    Nothing,
}

/// The memory of one room.
#[derive(Debug)]
pub(crate) struct Memory(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// Pieces of the current state that were needed. None: there is no such piece.
    state: Cache<StateKey, Option<StateEvent>>,
    /// How visible the history was over the life of the room.
    visibilities: Option<Arc<[(Position, HistoryVisibility)]>>,
    timelines: Cache<OwnedUserId, Arc<Timeline>>,
    /// Each as far as it goes: a change of the state comes after its end, and a redaction leaves
    /// memberships and visibilities as they are.
    server_timelines: Cache<OwnedServerName, Arc<ServerTimeline>>,
    tallies: Cache<OwnedUserId, Tally>,
    recent: RecentEvents,
}

impl Memory {
    /// Remembers nothing of what stands at or before `head`.
    pub(crate) fn new(head: Position) -> Self {
        let members = limits::CACHED_MEMBERS;
        let bytes = limits::CACHED_MEMBERS_BYTES;
        Self(Mutex::new(Inner {
            state: Cache::new(limits::CACHED_STATE, limits::CACHED_STATE_BYTES),
            visibilities: None,
            timelines: Cache::new(members, bytes),
            server_timelines: Cache::new(limits::CACHED_SERVERS, bytes),
            tallies: Cache::new(members, bytes),
            recent: RecentEvents::after(head),
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece of state is this, or absent.
    pub(crate) fn remember_state(&self, key: StateKey, event: Option<StateEvent>) {
        self.inner().state.put(key, event);
    }

    /// What memory has of a piece of state.
    pub(crate) fn state(&self, key: &StateKey) -> Remembered {
        match self.inner().state.get(key) {
            Some(Some(event)) => Remembered::Present(event.clone()),
            Some(None) => Remembered::Absent,
            None => Remembered::Nothing,
        }
    }

    /// A piece of state has changed: what members may see may have changed with it.
    pub(crate) fn state_changed(&self, key: StateKey, event: Option<StateEvent>) {
        let mut inner = self.inner();
        match key.0.as_str() {
            "m.room.member" => {
                if let Ok(user_id) = <&UserId>::try_from(key.1.as_str()) {
                    inner.timelines.pop(user_id);
                    inner.tallies.pop(user_id);
                }
            }
            "m.room.history_visibility" => {
                inner.visibilities = None;
                inner.timelines.clear();
            }
            _ => {}
        }
        inner.state.put(key, event);
    }

    /// An event was redacted: whatever was made of it is forgotten.
    pub(crate) fn redacted(&self, head: Position) {
        let mut inner = self.inner();
        inner.state.clear();
        inner.visibilities = None;
        inner.timelines.clear();
        inner.tallies.clear();
        inner.recent.forget(head);
    }

    /// How visible the history was over the life of the room, when it is known.
    pub(crate) fn visibilities(&self) -> Option<Arc<[(Position, HistoryVisibility)]>> {
        self.inner().visibilities.clone()
    }

    /// How visible the history was over the life of the room.
    pub(crate) fn remember_visibilities(&self, all: &Arc<[(Position, HistoryVisibility)]>) {
        self.inner().visibilities = Some(Arc::clone(all));
    }

    /// What a member may see, when it is known.
    pub(crate) fn timeline(&self, user_id: &UserId) -> Option<Arc<Timeline>> {
        self.inner().timelines.get(user_id).cloned()
    }

    /// What a member may see.
    pub(crate) fn remember_timeline(&self, user_id: &UserId, timeline: &Arc<Timeline>) {
        self.inner().timelines.put(user_id.to_owned(), Arc::clone(timeline));
    }

    /// What a server may see, as far as it is known.
    pub(crate) fn server_timeline(&self, server: &ServerName) -> Option<Arc<ServerTimeline>> {
        self.inner().server_timelines.get(server).cloned()
    }

    /// What a server may see.
    pub(crate) fn remember_server_timeline(
        &self,
        server: &ServerName,
        timeline: &Arc<ServerTimeline>,
    ) {
        self.inner().server_timelines.put(server.to_owned(), Arc::clone(timeline));
    }

    /// How much a member has not read, when it is known.
    pub(crate) fn tally(&self, user_id: &UserId) -> Option<Tally> {
        self.inner().tallies.get(user_id).cloned()
    }

    /// How much a member has not read.
    pub(crate) fn remember_tally(&self, user_id: &UserId, tally: Tally) {
        self.inner().tallies.put(user_id.to_owned(), tally);
    }

    /// A member has read something.
    pub(crate) fn forget_tally(&self, user_id: &UserId) {
        self.inner().tallies.pop(user_id);
    }

    /// The room has a new newest event.
    pub(crate) fn append(&self, event: Recent) {
        self.inner().recent.append(event);
    }

    /// [`RecentEvents::newest`].
    pub(crate) fn newest(
        &self,
        between: (Position, Position),
        limit: usize,
    ) -> Option<Vec<StoredEvent>> {
        self.inner().recent.newest(between, limit)
    }

    /// [`RecentEvents::list_after`].
    pub(crate) fn events_after<T>(
        &self,
        after: Position,
        take: impl Fn(&Recent) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.inner().recent.list_after(after, take)
    }
}

impl Weigh for StateKey {
    fn bytes(&self) -> usize {
        self.0.len() + self.1.len()
    }
}

impl Weigh for Option<StateEvent> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, |(_, pdu)| bytes_of(pdu))
    }
}

impl Weigh for OwnedUserId {
    fn bytes(&self) -> usize {
        self.as_str().len()
    }
}

impl Weigh for OwnedServerName {
    fn bytes(&self) -> usize {
        self.as_str().len()
    }
}

impl Weigh for Arc<Timeline> {
    fn bytes(&self) -> usize {
        // Of visibilities there is one list for all.
        size_of_val(self.memberships.as_slice())
    }
}

impl Weigh for Arc<ServerTimeline> {
    fn bytes(&self) -> usize {
        self.timeline.bytes()
    }
}

/// What a thread takes in a tally beside its name, in bytes: about, and rather more.
const THREAD_BYTES: usize = 80;

impl Weigh for Tally {
    fn bytes(&self) -> usize {
        let threads = self.by_thread.keys().chain(self.threads.keys());
        threads.map(|it| THREAD_BYTES + it.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_one_member_more_than_are_remembered_those_that_read_last_are() {
        let memory = Memory::new(0);
        let user = |number: usize| UserId::parse(format!("@{number}:b")).unwrap();
        let members = limits::CACHED_MEMBERS.get() + 1;
        for number in 0..members {
            memory.remember_tally(&user(number), Tally::default());
            // Who reads all the time is remembered all the time.
            assert!(memory.tally(&user(0)).is_some(), "{number}");
        }
        assert!(memory.tally(&user(1)).is_none(), "its turn is the longest ago");
        let remembered = (0..members).filter(|it| memory.tally(&user(*it)).is_some());
        assert_eq!(remembered.count(), limits::CACHED_MEMBERS.get());
    }
}
