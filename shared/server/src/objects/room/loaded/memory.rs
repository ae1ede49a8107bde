//! What a loaded room remembers so that most reads need no store: the newest events, what its
//! members may see, and what they have not read. All of it can be dropped at any time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
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
        loaded::{state_cache::StateCache, state_event::StateEvent},
    },
    store::room::{events::StoredEvent, unread::Unread},
};

/// An event, and what it is to those who have not read it.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    pub(crate) stored: StoredEvent,
    pub(crate) unread: Unread,
}

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
    /// Pieces of the current state that were needed.
    state: StateCache,
    /// How visible the history was over the life of the room.
    visibilities: Option<Arc<[(Position, HistoryVisibility)]>>,
    timelines: LruCache<OwnedUserId, Arc<Timeline>>,
    /// Each as far as it goes: a change of the state comes after its end, and a redaction leaves
    /// memberships and visibilities as they are.
    server_timelines: LruCache<OwnedServerName, Arc<ServerTimeline>>,
    tallies: LruCache<OwnedUserId, Tally>,
    /// Every event after `complete_after`, oldest first.
    recent: VecDeque<Recent>,
    /// Bytes of the JSON of these.
    recent_bytes: usize,
    complete_after: Position,
}

impl Memory {
    /// Remembers nothing of what stands at or before `head`.
    pub(crate) fn new(head: Position) -> Self {
        Self(Mutex::new(Inner {
            state: StateCache::default(),
            visibilities: None,
            timelines: LruCache::sparse(limits::CACHED_MEMBERS),
            server_timelines: LruCache::sparse(limits::CACHED_SERVERS),
            tallies: LruCache::sparse(limits::CACHED_MEMBERS),
            recent: VecDeque::new(),
            recent_bytes: 0,
            complete_after: head,
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
                if let Ok(user_id) = UserId::parse(&key.1) {
                    inner.timelines.pop(&user_id);
                    inner.tallies.pop(&user_id);
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
        inner.recent.clear();
        inner.recent_bytes = 0;
        inner.complete_after = head;
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
        let mut inner = self.inner();
        inner.recent_bytes += event.stored.json.len();
        inner.recent.push_back(event);
        while inner.recent.len() > limits::RECENT_EVENTS
            || inner.recent_bytes > limits::RECENT_EVENTS_BYTES
        {
            let Some(oldest) = inner.recent.pop_front() else { break };
            inner.recent_bytes -= oldest.stored.json.len();
            inner.complete_after = oldest.stored.position;
        }
    }

    /// The newest events with `after < position <= upto`, newest first, when memory has `limit` of
    /// them or all.
    pub(crate) fn newest(
        &self,
        (after, upto): (Position, Position),
        limit: usize,
    ) -> Option<Vec<StoredEvent>> {
        let inner = self.inner();
        let last = inner.recent.partition_point(|it| it.stored.position <= upto);
        let first = inner.recent.partition_point(|it| it.stored.position <= after);
        let is_whole = after >= inner.complete_after;
        if !is_whole && last.saturating_sub(first) < limit {
            return None;
        }
        let newest = inner.recent.range(first..last.max(first)).rev().take(limit);
        Some(newest.map(|it| it.stored.clone()).collect())
    }

    /// Every event after a position, oldest first, when memory has them all.
    pub(crate) fn events_after<T>(
        &self,
        after: Position,
        take: impl Fn(&Recent) -> Option<T>,
    ) -> Option<Vec<T>> {
        let inner = self.inner();
        if after < inner.complete_after {
            return None;
        }
        let first = inner.recent.partition_point(|it| it.stored.position <= after);
        Some(inner.recent.iter().skip(first).filter_map(take).collect())
    }
}

#[cfg(test)]
mod tests {
    use ruma::EventId;

    use super::*;

    fn recent(position: Position) -> Recent {
        let stored = StoredEvent {
            num: position,
            position,
            states: None,
            event_id: EventId::parse("$event").unwrap(),
            event_type: "m.room.message".into(),
            state_key: None,
            sender: "@a:b".into(),
            json: "{}".into(),
            auth_content: None,
            redacted_by: None,
            replaces: None,
            sent_by: None,
        };
        let unread =
            Unread { position, sender: "@a:b".into(), notifies: 1, mentions: None, thread: None };
        Recent { stored, unread }
    }

    #[test]
    fn memory_answers_only_for_what_it_has_whole() {
        let memory = Memory::new(10);
        let after = |position| memory.events_after(position, |it| Some(it.stored.position));
        assert_eq!(after(9), None, "an event at 10 was never seen");
        assert_eq!(after(10), Some(vec![]));
        memory.append(recent(12));
        assert_eq!(after(10), Some(vec![12]));
        assert_eq!(after(12), Some(vec![]));
        for position in 13..13 + limits::RECENT_EVENTS as u64 {
            memory.append(recent(position));
        }
        assert_eq!(after(11), None, "12 was dropped");
        assert_eq!(after(12).unwrap().len(), limits::RECENT_EVENTS);
        let newest = |after, upto, limit| {
            let found = memory.newest((after, upto), limit)?;
            Some(found.iter().map(|it| it.position).collect::<Vec<_>>())
        };
        assert_eq!(newest(0, 20, 3), Some(vec![20, 19, 18]), "enough of them are there");
        assert_eq!(newest(0, 14, 3), None, "12 was dropped");
        assert_eq!(newest(12, 14, 3), Some(vec![14, 13]), "there are no more");
        assert_eq!(newest(14, 14, 3), Some(vec![]));
        memory.redacted(50);
        assert_eq!(after(49), None);
        assert_eq!(newest(0, 60, 1), None);
    }

    #[test]
    fn the_newest_events_are_remembered_in_bytes_too() {
        let memory = Memory::new(0);
        let after = |position| memory.events_after(position, |it| Some(it.stored.position));
        let large = |position| {
            let mut event = recent(position);
            event.stored.json = "x".repeat(limits::RECENT_EVENTS_BYTES / 2);
            event
        };
        for position in 1..=3 {
            memory.append(large(position));
        }
        assert_eq!((after(0), after(1)), (None, Some(vec![2, 3])));
        let mut largest = recent(4);
        largest.stored.json = "x".repeat(limits::RECENT_EVENTS_BYTES + 1);
        memory.append(largest);
        assert_eq!((after(3), after(4)), (None, Some(vec![])), "it is not remembered");
        memory.append(recent(5));
        assert_eq!(after(4), Some(vec![5]));
    }

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
