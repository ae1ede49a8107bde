//! What one server remembers of the room, in memory, and two ways to look at it: [`Eye::Warm`]
//! knows all, [`Eye::Cold`] knows only what it was asked for before.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use ruma::{EventId, OwnedEventId, room_version_rules::RoomVersionRules};
use skerry_core::{
    Pdu,
    engine::{
        After, Decision, Edges, Event, Head, Incomplete, KeyId, Keys, Mode, Num, State, StateAt,
        States, Undecided, Unverified, Verdict, View, Withdrawal, states,
    },
};

/// A whole state.
pub type Map = BTreeMap<KeyId, Num>;

/// What a server has done with the room, so that another host of the engine can be asked to do the
/// same.
#[derive(Clone, Debug)]
pub enum Step {
    /// It joined, and was told of this state by these outliers.
    Join { pdu: Arc<Pdu>, state: Vec<OwnedEventId>, events: Vec<Arc<Pdu>> },
    /// It remembered an outlier.
    Outlier(Arc<Pdu>, Verdict),
    /// It decided an event, having been told these states.
    Event {
        pdu: Arc<Pdu>,
        given: Vec<(OwnedEventId, Vec<OwnedEventId>)>,
        mode: Mode,
        verdict: Verdict,
        /// The current state from then on, as it was known.
        current: Arc<Map>,
    },
}

/// A room, as one server knows it.
pub struct Store {
    pub rules: RoomVersionRules,
    pub keys: Keys,
    pub events: Vec<Arc<Event>>,
    pub ids: HashMap<OwnedEventId, Num>,
    /// Chains of states; chain 0 is the current state over time, and its group 0 is empty.
    chains: Vec<Vec<Arc<Map>>>,
    /// The state events that name a state event as an auth event.
    cites: HashMap<Num, BTreeSet<Num>>,
    pub extremities: Vec<Num>,
    pub create: Num,
    /// What clients see, in order, each with the state before it and the current state, as they
    /// were known when it came.
    pub timeline: Vec<(Num, [Arc<Map>; 2])>,
    /// The events that were decided with their states, in order.
    pub decided: Vec<Num>,
    /// The events that accepted events name as before them, or reach through others that are not.
    pub referenced: HashSet<OwnedEventId>,
    /// States that peers told are part of what is here.
    pub was_told: bool,
    /// Outliers that their auth events allowed, and that were rejected when their states came to
    /// be known: what had named them by then was judged by what was known.
    pub rejected_late: BTreeSet<Num>,
    /// All that was done, in order.
    pub journal: Vec<Step>,
    /// What its state may have besides.
    pub unverified: Vec<Unverified>,
}

impl Store {
    pub fn new(rules: RoomVersionRules) -> Self {
        Self {
            rules,
            keys: Keys::default(),
            events: Vec::new(),
            ids: HashMap::new(),
            chains: vec![vec![Arc::default()]],
            cites: HashMap::new(),
            extremities: Vec::new(),
            create: 0,
            timeline: Vec::new(),
            decided: Vec::new(),
            referenced: HashSet::new(),
            was_told: false,
            rejected_late: BTreeSet::new(),
            journal: Vec::new(),
            unverified: Vec::new(),
        }
    }

    pub fn current_at(&self) -> StateAt {
        StateAt { chain: 0, group: (self.chains[0].len() - 1) as u64 }
    }

    pub fn head(&self) -> Head<'_> {
        Head {
            rules: &self.rules,
            create: self.create,
            extremities: &self.extremities,
            current: self.current_at(),
            unverified: &self.unverified,
        }
    }

    pub fn map(&self, at: StateAt) -> &Arc<Map> {
        &self.chains[at.chain as usize][at.group as usize]
    }

    pub fn current(&self) -> &Arc<Map> {
        self.map(self.current_at())
    }

    pub fn by_id(&self, id: &EventId) -> Option<&Arc<Event>> {
        self.ids.get(id).map(|it| &self.events[*it as usize])
    }

    pub fn get(&self, num: Num) -> &Arc<Event> {
        &self.events[num as usize]
    }

    /// The current event of a key.
    pub fn current_event(&self, event_type: &str, state_key: &str) -> Option<&Arc<Event>> {
        self.event_in(self.current(), event_type, state_key)
    }

    pub fn event_in(&self, map: &Map, event_type: &str, state_key: &str) -> Option<&Arc<Event>> {
        map.iter().find_map(|(key, num)| {
            let key = self.keys.get(*key)?;
            (key.0 == event_type && key.1 == state_key).then(|| self.get(*num))
        })
    }

    /// A state by the names of its keys and the IDs of its events.
    pub fn named(&self, map: &Map) -> BTreeMap<(String, String), OwnedEventId> {
        map.iter()
            .map(|(key, num)| {
                (self.keys.get(*key).unwrap().clone(), self.get(*num).pdu.event_id.clone())
            })
            .collect()
    }

    /// The whole of a state that is told as changes.
    pub fn materialize(&self, state: &State) -> Map {
        let mut map = (**self.map(state.base)).clone();
        for (key, event) in &state.changes {
            match event {
                Some(num) => map.insert(*key, *num),
                None => map.remove(key),
            };
        }
        map
    }

    /// Stores a state that is nobody's current state.
    pub fn add_state(&mut self, map: Map) -> StateAt {
        // As in chain 0, group 0 is what it hangs on: the empty state.
        self.chains.push(vec![Arc::default(), Arc::new(map)]);
        StateAt { chain: (self.chains.len() - 1) as u64, group: 1 }
    }

    /// Stores a state as the current one.
    pub fn add_current(&mut self, map: Map) -> StateAt {
        self.chains[0].push(Arc::new(map));
        self.current_at()
    }

    fn put(&mut self, state: &State) -> StateAt {
        match state.changes.is_empty() {
            true => state.base,
            false => {
                let map = self.materialize(state);
                self.add_state(map)
            }
        }
    }

    /// Writes an event that is known now, or known better.
    pub fn insert(&mut self, event: Event) {
        let num = event.num;
        if event.key.is_some() {
            for auth in &event.auth {
                let citing = self.cites.entry(*auth).or_default();
                match event.verdict {
                    Verdict::Rejected => citing.remove(&num),
                    Verdict::Accepted | Verdict::SoftFailed => citing.insert(num),
                };
            }
        }
        self.ids.insert(event.pdu.event_id.clone(), num);
        match self.events.get_mut(num as usize) {
            Some(known) => *known = Arc::new(event),
            None => {
                assert_eq!(num as usize, self.events.len());
                self.events.push(Arc::new(event));
            }
        }
    }

    /// The state events that cite an event and are not rejected.
    pub fn citers(&self, num: Num) -> impl Iterator<Item = Num> {
        self.cites.get(&num).into_iter().flatten().copied()
    }

    /// The current state that an event was asked about: where what led to it is missing, the
    /// state that was told of it is taken for a fork of the room.
    fn current_for(&mut self, event: &Event, decision: &Decision) -> StateAt {
        let current = self.current_at();
        let is_here = |it| self.by_id(it).is_some_and(|it| it.states.is_some());
        match &decision.before {
            Some(before) if !event.pdu.prev_events.iter().all(|it| is_here(it)) => {
                let both = [current.into(), before.clone()];
                let merged = states::merge(&Eye::Warm(self), &self.head(), &both);
                self.put(&merged.unwrap())
            }
            _ => current,
        }
    }

    /// Remembers that an event was decided.
    pub fn note(
        &mut self,
        pdu: &Arc<Pdu>,
        given: &[(OwnedEventId, State)],
        mode: Mode,
        verdict: Verdict,
    ) {
        let ids = |state: &State| {
            let map = self.materialize(state);
            map.values().map(|it| self.get(*it).pdu.event_id.clone()).collect()
        };
        let given = given.iter().map(|(id, state)| (id.clone(), ids(state))).collect();
        let (pdu, current) = (Arc::clone(pdu), Arc::clone(self.current()));
        self.journal.push(Step::Event { pdu, given, mode, verdict, current });
    }

    /// Takes an event out of every state.
    fn withdraw(&mut self, event: Withdrawal) {
        self.rejected_late.insert(event.num);
        for state in self.chains.iter_mut().flatten() {
            let Some(key) = state.iter().find_map(|it| (*it.1 == event.num).then_some(*it.0))
            else {
                continue;
            };
            match event.instead {
                Some(instead) => Arc::make_mut(state).insert(key, instead),
                None => Arc::make_mut(state).remove(&key),
            };
        }
    }

    /// Writes what was decided.
    pub fn commit(&mut self, event: Event, decision: &Decision, is_live: bool) {
        let (num, id) = (event.num, event.pdu.event_id.clone());
        let was_allowed = self.by_id(&id).is_some_and(|it| it.verdict == Verdict::Accepted);
        assert_eq!(
            decision.withdrawal.is_some(),
            was_allowed && decision.verdict == Verdict::Rejected
        );
        let current = self.current_for(&event, decision);
        let states = decision.before.as_ref().map(|before| {
            let before = self.put(before);
            (before, decision.after.clone())
        });
        if !decision.current_changes.is_empty() {
            let mut map = (**self.current()).clone();
            for (key, (old, new)) in &decision.current_changes {
                assert_eq!(map.get(key), old.as_ref(), "a change of what is not there");
                match new {
                    Some(num) => map.insert(*key, *num),
                    None => map.remove(key),
                };
            }
            self.add_current(map);
        }
        let states = states.map(|(before, after)| {
            let after = match after {
                After::SameAsBefore => before,
                After::Current => {
                    let mut expected = (**self.map(before)).clone();
                    expected.insert(event.key.unwrap(), num);
                    assert_eq!(**self.current(), expected, "not the current state");
                    self.current_at()
                }
                After::Other(state) => self.put(&state),
            };
            States { before, after }
        });
        if decision.verdict == Verdict::Accepted || !is_live || self.referenced.contains(&id) {
            self.referenced.extend(event.pdu.prev_events.iter().cloned());
        }
        if decision.verdict == Verdict::Accepted && is_live {
            let before = states.map_or(current, |it| it.before);
            let known = [before, current].map(|it| Arc::clone(self.map(it)));
            self.timeline.push((num, known));
        }
        if states.is_some() {
            self.decided.push(num);
        }
        if let Some(event) = decision.withdrawal {
            self.withdraw(event);
        }
        let (auth, verdict) = (decision.auth.clone(), decision.verdict);
        self.insert(Event { auth, verdict, states, ..event });
        self.extremities.clone_from(&decision.extremities);
        assert!(self.ids.contains_key(&id));
        for extremity in &self.extremities {
            assert_eq!(self.get(*extremity).verdict, Verdict::Accepted, "an extremity");
        }
    }
}

/// A question to a view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    Find(OwnedEventId),
    Event(Num),
    Edges(Num),
    CitedBy(Num, Num),
    State(StateAt, KeyId),
    Parent(u64),
    Deltas(u64, u64, u64),
}

/// A way to look at a store.
pub enum Eye<'a> {
    /// Knows all.
    Warm(&'a Store),
    /// Knows what is loaded, and notes what else it is asked.
    Cold { store: &'a Store, loaded: &'a BTreeSet<Ask>, noted: RefCell<BTreeSet<Ask>> },
}

impl<'a> Eye<'a> {
    fn see(&self, ask: impl FnOnce() -> Ask) -> Option<&'a Store> {
        match self {
            Eye::Warm(store) => Some(store),
            Eye::Cold { store, loaded, noted } => {
                let ask = ask();
                if loaded.contains(&ask) {
                    return Some(store);
                }
                noted.borrow_mut().insert(ask);
                None
            }
        }
    }
}

impl View for Eye<'_> {
    fn find(&self, event_id: &EventId) -> Option<Option<Num>> {
        let store = self.see(|| Ask::Find(event_id.to_owned()))?;
        Some(store.ids.get(event_id).copied())
    }

    fn event(&self, num: Num) -> Option<Arc<Event>> {
        self.see(|| Ask::Event(num))?.events.get(num as usize).cloned()
    }

    fn edges(&self, num: Num) -> Option<Edges<'_>> {
        let event = self.see(|| Ask::Edges(num))?.get(num);
        Some(Edges { key: event.key?, auth: Cow::Borrowed(&event.auth) })
    }

    fn cited_by(&self, num: Num, before: Num) -> Option<Vec<Num>> {
        let store = self.see(|| Ask::CitedBy(num, before))?;
        let citing = store.cites.get(&num).map(|it| it.range(..before).rev().copied());
        // Not necessarily all: a cold view gives one at a time.
        let most = if matches!(self, Eye::Warm(_)) { usize::MAX } else { 1 };
        Some(citing.into_iter().flatten().take(most).collect())
    }

    fn state(&self, at: StateAt, key: KeyId) -> Option<Option<Num>> {
        Some(self.see(|| Ask::State(at, key))?.map(at).get(&key).copied())
    }

    fn parent(&self, chain: u64) -> Option<Option<StateAt>> {
        self.see(|| Ask::Parent(chain))?;
        Some((chain > 0).then(StateAt::default))
    }

    fn deltas(&self, chain: u64, after: u64, upto: u64) -> Option<Vec<(KeyId, Option<Num>)>> {
        let store = self.see(|| Ask::Deltas(chain, after, upto))?;
        let [before, after] = [after, upto].map(|group| store.map(StateAt { chain, group }));
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
        let changed = keys.into_iter().filter(|it| before.get(it) != after.get(it));
        Some(changed.map(|it| (it, after.get(&it).copied())).collect())
    }
}

/// An error that may mean "load what was noted".
pub trait Missed {
    fn missed(&self) -> bool;
}

impl Missed for Incomplete {
    fn missed(&self) -> bool {
        true
    }
}

impl Missed for Undecided {
    fn missed(&self) -> bool {
        matches!(self, Undecided::Incomplete)
    }
}

/// Asks until nothing is missing.
pub fn ask<T, E: Missed>(
    store: &Store,
    cold: bool,
    question: impl Fn(&Eye<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut loaded = BTreeSet::new();
    for _ in 0..10_000 {
        let eye = match cold {
            true => Eye::Cold { store, loaded: &loaded, noted: RefCell::default() },
            false => Eye::Warm(store),
        };
        match question(&eye) {
            Err(it) if it.missed() => {
                let Eye::Cold { noted, .. } = eye else {
                    panic!("incomplete, where everything is in memory")
                };
                let noted = noted.into_inner();
                assert!(!noted.is_subset(&loaded), "incomplete, and nothing was noted");
                loaded.extend(noted);
            }
            other => return other,
        }
    }
    panic!("never complete")
}
