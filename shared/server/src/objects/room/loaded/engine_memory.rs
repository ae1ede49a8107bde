//! What the room engine has in memory of this room: events as integers, loaded when a decision
//! asks for them. All of it can be dropped between two commands.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{EventId, OwnedEventId};
use skerry_core::{
    authorize::StateKey,
    engine::{
        Edges, Event, Incomplete, KeyId, Keys, Num, StateAt, Undecided, Unverified, View,
        Withdrawal,
    },
    gather::Gather as _,
};

use super::{
    chains::Chains,
    current_states::{CurrentStates, Slot, StateChange},
    state_event::bytes_of,
};
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
    pub(crate) parents: HashSet<u64>,
    /// Chain, `after` and `upto`, as in [`View::deltas`].
    pub(crate) deltas: HashSet<(u64, u64, u64)>,
}

/// The engine's memory of one room.
#[derive(Debug)]
pub(crate) struct EngineMemory {
    pub(crate) keys: Keys,
    pub(crate) ids: HashMap<OwnedEventId, Option<Num>>,
    events: HashMap<Num, Arc<Event>>,
    pub(crate) edges: HashMap<Num, (KeyId, Box<[Num]>)>,
    pub(crate) citers: HashMap<(Num, Num), Vec<Num>>,
    /// States that the current state never was, or that it was before it was followed.
    states: HashMap<(StateAt, KeyId), Option<Num>>,
    current: CurrentStates,
    /// What chains hang on.
    pub(crate) parents: HashMap<u64, Option<StateAt>>,
    chains: Chains,
    /// Events that the state before the join may have: nothing else knows of them.
    unverified: Vec<Unverified>,
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
            current: CurrentStates::default(),
            parents: HashMap::new(),
            chains: Chains::default(),
            unverified: Vec::new(),
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

    /// Forgets everything when it has become too much. `current`: the room's current state.
    pub(crate) fn trim(&mut self, current: StateAt) {
        self.held.set(self.bytes());
        if self.held.exceeds(limits::ENGINE_MEMORY_BYTES) {
            self.forget();
            self.adopt_keys(Keys::default());
        }
        self.current.is_at(current);
    }

    /// Keys have these integers from now on. Nothing but what could not be verified is in memory.
    pub(crate) fn adopt_keys(&mut self, mut keys: Keys) {
        for it in &mut self.unverified {
            if let Some(key) = self.keys.get(it.key) {
                it.key = keys.intern(&key.0, &key.1);
            }
        }
        self.keys = keys;
    }

    /// Forgets what the store can say again. The integers for keys stay what they are: there are
    /// states under way that speak of them.
    pub(crate) fn forget(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        let unverified = std::mem::take(&mut self.unverified);
        *self = Self { keys, unverified, ..Self::default() };
    }

    /// These events could not be verified: each with its key, and the state before the join, which
    /// may have it.
    pub(crate) fn set_unverified(&mut self, events: Vec<(OwnedEventId, StateKey, StateAt)>) {
        let keys = &mut self.keys;
        let unverified =
            events.into_iter().map(|(id, key, of)| Unverified::new(id, &key, of, keys));
        self.unverified = unverified.gather();
    }

    /// What could not be verified.
    pub(crate) fn unverified(&self) -> &[Unverified] {
        &self.unverified
    }

    /// Whether one of what could not be verified has this key.
    pub(crate) fn is_unverified(&self, key: &StateKey) -> bool {
        self.unverified.iter().any(|it| self.keys.get(it.key) == Some(key))
    }

    /// What it holds, in bytes: about.
    fn bytes(&self) -> usize {
        let entries = self.edges.len()
            + self.states.len()
            + self.current.len()
            + self.parents.len()
            + self.ids.len()
            + self.unverified.len()
            + self.keys.len();
        self.event_bytes + entries * ENTRY_BYTES + self.chains.bytes()
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
        self.current.withdraw(it);
        self.chains.withdraw(it);
    }

    /// The event that a state has for a key, as far as it is known.
    pub(crate) fn known_state(&self, at: StateAt, key: KeyId) -> Option<Slot> {
        match self.current.covers(at) {
            true => self.current.find(at, key),
            false => self.states.get(&(at, key)).copied(),
        }
    }

    /// The event that a state has for a key.
    pub(crate) fn remember_state(&mut self, at: StateAt, key: KeyId, event: Slot) {
        match self.current.covers(at) {
            true => self.current.remember(at, key, event),
            false => _ = self.states.insert((at, key), event),
        }
    }

    /// The current state has become another one, by these changes.
    pub(crate) fn current_changed(
        &mut self,
        before: StateAt,
        after: StateAt,
        changes: Vec<StateChange>,
    ) {
        let mut last = before.group;
        for (group, key, event) in &changes {
            self.chains.extend(StateAt { chain: 0, group: *group }, last, *key, *event);
            last = *group;
        }
        self.current.advance(before, after, changes);
    }

    /// A chain has been read: what it changes in groups with `after < group <= upto`, in their
    /// order.
    pub(crate) fn load_chain(
        &mut self,
        chain: u64,
        (after, upto): (u64, u64),
        deltas: Vec<(u64, KeyId, Option<Num>)>,
    ) {
        self.chains.load(chain, (after, upto), deltas);
    }

    /// A chain begins that hangs on a state.
    pub(crate) fn begin_chain(&mut self, chain: u64, parent: StateAt) {
        self.parents.insert(chain, Some(parent));
        self.chains.load(chain, (0, 0), Vec::new());
    }

    /// A chain changes a key in a group, the next one after `last`.
    pub(crate) fn change(&mut self, at: StateAt, last: u64, key: &StateKey, event: Option<Num>) {
        let key = self.keys.intern(&key.0, &key.1);
        self.chains.extend(at, last, key, event);
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
        let found = self.known_state(at, key);
        if found.is_none() {
            self.noted().states.entry(at).or_default().insert(key);
        }
        found
    }

    fn parent(&self, chain: u64) -> Option<Option<StateAt>> {
        if chain == 0 {
            return Some(None);
        }
        let found = self.parents.get(&chain).copied();
        if found.is_none() {
            self.noted().parents.insert(chain);
        }
        found
    }

    fn deltas(&self, chain: u64, after: u64, upto: u64) -> Option<Vec<(KeyId, Option<Num>)>> {
        let found = self.chains.deltas(chain, after, upto);
        if found.is_none() {
            self.noted().deltas.insert((chain, after, upto));
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
