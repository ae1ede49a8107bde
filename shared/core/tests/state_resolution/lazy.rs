//! A view that begins with nothing and loads only what was noted.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use ruma::EventId;
use skerry_core::{
    engine::{Edges, Event, Incomplete, KeyId, Num, StateAt, View},
    state_res,
};

use crate::room::{Room, State, merge, split};

/// What is in memory, or noted to be loaded.
struct Seen<T> {
    loaded: BTreeSet<T>,
    noted: RefCell<BTreeSet<T>>,
}

impl<T: Ord + Copy> Seen<T> {
    fn new() -> Self {
        Self { loaded: BTreeSet::new(), noted: RefCell::default() }
    }

    fn ask(&self, what: T) -> Option<()> {
        if self.loaded.contains(&what) {
            return Some(());
        }
        self.noted.borrow_mut().insert(what);
        None
    }

    fn load(&mut self) {
        self.loaded.append(&mut self.noted.borrow_mut());
    }
}

/// A part of a room.
pub(crate) struct Lazy<'a> {
    room: &'a Room,
    events: Seen<Num>,
    edges: Seen<Num>,
    citers: Seen<(Num, Num)>,
    state: Seen<KeyId>,
    /// How often the decision began.
    pub(crate) rounds: usize,
}

impl<'a> Lazy<'a> {
    pub(crate) fn new(room: &'a Room) -> Self {
        Self {
            room,
            events: Seen::new(),
            edges: Seen::new(),
            citers: Seen::new(),
            state: Seen::new(),
            rounds: 0,
        }
    }

    /// Resolves, loading what is noted until nothing is missing.
    pub(crate) fn resolve(&mut self, states: &[State]) -> State {
        let (unconflicted, conflict) = split(states);
        loop {
            self.rounds += 1;
            let answer = |key| {
                assert!(!conflict.keys.contains_key(&key), "asked for what is in the conflict");
                self.state.ask(key).map(|()| unconflicted.get(&key).copied())
            };
            match state_res::resolve(&self.room.rules, 0, &conflict, &answer, self) {
                Ok(resolved) => return merge(unconflicted, &resolved),
                Err(Incomplete) => {
                    let before = self.loaded();
                    self.events.load();
                    self.edges.load();
                    self.citers.load();
                    self.state.load();
                    assert!(self.loaded() > before, "incomplete, but nothing was noted");
                }
            }
        }
    }

    /// How many events were loaded, in any form.
    pub(crate) fn events(&self) -> usize {
        self.events.loaded.union(&self.edges.loaded).count()
    }

    /// How much was loaded.
    pub(crate) fn loaded(&self) -> usize {
        self.events.loaded.len()
            + self.edges.loaded.len()
            + self.citers.loaded.len()
            + self.state.loaded.len()
    }
}

impl View for Lazy<'_> {
    fn find(&self, event_id: &EventId) -> Option<Option<Num>> {
        self.room.find(event_id)
    }

    fn event(&self, num: Num) -> Option<Arc<Event>> {
        self.events.ask(num).and_then(|()| self.room.event(num))
    }

    fn edges(&self, num: Num) -> Option<Edges<'_>> {
        match self.events.loaded.contains(&num) {
            true => self.room.edges(num),
            false => self.edges.ask(num).and_then(|()| self.room.edges(num)),
        }
    }

    fn cited_by(&self, num: Num, before: Num) -> Option<Vec<Num>> {
        self.citers.ask((num, before)).and_then(|()| self.room.cited_by(num, before))
    }

    fn state(&self, _: StateAt, _: KeyId) -> Option<Option<Num>> {
        None
    }

    fn parent(&self, _: u64) -> Option<Option<StateAt>> {
        None
    }

    fn deltas(&self, _: u64, _: u64, _: u64) -> Option<Vec<(KeyId, Option<Num>)>> {
        None
    }
}
