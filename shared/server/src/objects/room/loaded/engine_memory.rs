//! What the room engine has in memory of this room: events as integers, loaded when a decision
//! asks for them. All of it can be dropped between two commands.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{EventId, OwnedEventId};
use skerry_core::engine::{
    Edges, Event, Incomplete, KeyId, Keys, Num, StateAt, Undecided, View, Withdrawal,
};

use super::state_event::bytes_of;
use crate::objects::{held::Held, room::limits};

/// What an entry of one of its maps takes, in bytes: about.
const ENTRY_BYTES: usize = 80;

/// What was asked and is not in memory.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    pub(crate) ids: HashSet<OwnedEventId>,
    pub(crate) events: HashSet<Num>,
    pub(crate) edges: HashSet<Num>,
    pub(crate) citers: HashSet<(Num, Num)>,
    pub(crate) states: HashMap<StateAt, HashSet<KeyId>>,
    pub(crate) differences: HashSet<Vec<StateAt>>,
}

/// The engine's memory of one room.
#[derive(Debug)]
pub(crate) struct EngineMemory {
    pub(crate) keys: Keys,
    pub(crate) ids: HashMap<OwnedEventId, Option<Num>>,
    events: HashMap<Num, Arc<Event>>,
    pub(crate) edges: HashMap<Num, (KeyId, Box<[Num]>)>,
    pub(crate) citers: HashMap<(Num, Num), Vec<Num>>,
    pub(crate) states: HashMap<(StateAt, KeyId), Option<Num>>,
    pub(crate) differences: HashMap<Vec<StateAt>, Vec<KeyId>>,
    /// Bytes of the events.
    event_bytes: usize,
    /// What all of it held when it was last looked at.
    held: Held,
    noted: Mutex<Noted>,
}

impl Default for EngineMemory {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            ids: HashMap::new(),
            events: HashMap::new(),
            edges: HashMap::new(),
            citers: HashMap::new(),
            states: HashMap::new(),
            differences: HashMap::new(),
            event_bytes: 0,
            held: Held::of(&limits::ROOMS),
            noted: Mutex::default(),
        }
    }
}

impl EngineMemory {
    /// What was noted since this was last asked.
    pub(crate) fn take_noted(&self) -> Noted {
        std::mem::take(&mut *self.noted())
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything when it has become too much.
    pub(crate) fn trim(&mut self) {
        self.held.set(self.bytes());
        if self.held.exceeds(limits::ENGINE_MEMORY_BYTES) {
            *self = Self::default();
        }
    }

    /// What it holds, in bytes: about.
    fn bytes(&self) -> usize {
        let entries = self.edges.len() + self.states.len() + self.ids.len() + self.keys.len();
        self.event_bytes + entries * ENTRY_BYTES
    }

    /// Whether an event is in memory.
    pub(crate) fn has(&self, num: Num) -> bool {
        self.events.contains_key(&num)
    }

    /// An event has been loaded.
    pub(crate) fn load(&mut self, event: Arc<Event>) {
        self.event_bytes += bytes_of(&event.pdu);
        self.ids.insert(event.pdu.event_id.clone(), Some(event.num));
        if let Some(before) = self.events.insert(event.num, event) {
            self.event_bytes = self.event_bytes.saturating_sub(bytes_of(&before.pdu));
        }
    }

    /// Others name these events now.
    fn forget_citers(&mut self, cited: &[Num]) {
        if !self.citers.is_empty() {
            self.citers.retain(|(it, _), _| !cited.contains(it));
        }
    }

    /// An event has been stored, or is event better than before.
    pub(crate) fn insert(&mut self, event: Arc<Event>) {
        self.forget_citers(&event.auth);
        if let Some(key) = event.key {
            self.edges.insert(event.num, (key, event.auth.clone()));
        }
        self.load(event);
    }

    /// No state has this event, nor ever had.
    pub(crate) fn withdraw(&mut self, it: Withdrawal) {
        for event in self.states.values_mut() {
            *event = it.of(*event);
        }
    }

    /// An event has been stored; the engine need not remember it.
    pub(crate) fn stored(&mut self, event_id: &EventId, num: Num, cited: &[Num]) {
        if let Some(found) = self.ids.get_mut(event_id) {
            *found = Some(num);
        }
        self.forget_citers(cited);
    }
}

impl View for EngineMemory {
    fn find(&self, event_id: &EventId) -> Option<Option<Num>> {
        let found = self.ids.get(event_id).copied();
        if found.is_none() {
            self.noted().ids.insert(event_id.to_owned());
        }
        found
    }

    fn event(&self, num: Num) -> Option<Arc<Event>> {
        let found = self.events.get(&num).cloned();
        if found.is_none() {
            self.noted().events.insert(num);
        }
        found
    }

    fn edges(&self, num: Num) -> Option<Edges<'_>> {
        let found = self.edges.get(&num);
        if found.is_none() {
            self.noted().edges.insert(num);
        }
        found.map(|(key, auth)| Edges { key: *key, auth: Cow::Borrowed(auth) })
    }

    fn cited_by(&self, num: Num, before: Num) -> Option<Vec<Num>> {
        let found = self.citers.get(&(num, before)).cloned();
        if found.is_none() {
            self.noted().citers.insert((num, before));
        }
        found
    }

    fn state(&self, at: StateAt, key: KeyId) -> Option<Option<Num>> {
        let found = self.states.get(&(at, key)).copied();
        if found.is_none() {
            self.noted().states.entry(at).or_default().insert(key);
        }
        found
    }

    fn differences(&self, at: &[StateAt]) -> Option<Vec<KeyId>> {
        let found = self.differences.get(at).cloned();
        if found.is_none() {
            self.noted().differences.insert(at.to_vec());
        }
        found
    }
}

/// An outcome that may say that more must be loaded first.
pub(crate) trait IsIncomplete {
    /// Whether it says so.
    fn is_incomplete(&self) -> bool;
}

impl IsIncomplete for Incomplete {
    fn is_incomplete(&self) -> bool {
        true
    }
}

impl IsIncomplete for Undecided {
    fn is_incomplete(&self) -> bool {
        matches!(self, Self::Incomplete)
    }
}
