//! What one resolution works on, and what it has learnt that several steps need.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
};

use ruma::{events::TimelineEventType, room_version_rules::RoomVersionRules};
use rustc_hash::FxHashSet;

use super::{Column, Conflict};
use crate::engine::{Edges, Event, Incomplete, KeyId, Num, View};

/// One resolution. Its questions to the view are asked through it, so that it knows whether one
/// had no answer.
pub(super) struct Context<'a, V> {
    pub(super) rules: &'a RoomVersionRules,
    pub(super) create: Arc<Event>,
    pub(super) forks: usize,
    pub(super) keys: &'a BTreeMap<KeyId, Column>,
    conflicted: FxHashSet<KeyId>,
    unconflicted: &'a dyn Fn(KeyId) -> Option<Option<Num>>,
    pub(super) view: &'a V,
    missed: Cell<bool>,
    power_levels: Cell<Option<KeyId>>,
    /// Keys that are not that of the power levels, as long as that is not known.
    others: RefCell<FxHashSet<KeyId>>,
}

impl<'a, V: View> Context<'a, V> {
    pub(super) fn new(
        rules: &'a RoomVersionRules,
        create: Num,
        conflict: &'a Conflict,
        unconflicted: &'a dyn Fn(KeyId) -> Option<Option<Num>>,
        view: &'a V,
    ) -> Result<Self, Incomplete> {
        Ok(Self {
            rules,
            create: view.event(create).ok_or(Incomplete)?,
            forks: conflict.forks,
            keys: &conflict.keys,
            conflicted: conflict
                .keys
                .iter()
                .filter(|(_, column)| !column.is_agreed())
                .map(|(key, _)| *key)
                .collect(),
            unconflicted,
            view,
            missed: Cell::new(false),
            power_levels: Cell::new(None),
            others: RefCell::default(),
        })
    }

    /// Whether the forks differ in this key.
    pub(super) fn in_conflict(&self, key: KeyId) -> bool {
        self.conflicted.contains(&key)
    }

    /// The event that all forks have for a key in which they do not differ. Whether a miss matters
    /// is for the caller to decide.
    pub(super) fn unconflicted(&self, key: KeyId) -> Result<Option<Num>, Incomplete> {
        match self.keys.get(&key) {
            Some(column) => Ok(column.rest()),
            None => (self.unconflicted)(key).ok_or(Incomplete),
        }
    }

    /// An event; a miss is remembered.
    pub(super) fn event(&self, num: Num) -> Option<Arc<Event>> {
        self.or_miss(self.view.event(num))
    }

    /// The edges of a state event; a miss is remembered.
    pub(super) fn edges(&self, num: Num) -> Option<Edges<'a>> {
        self.or_miss(self.view.edges(num))
    }

    /// An answer that matters; a miss is remembered.
    pub(super) fn or_miss<T>(&self, answer: Option<T>) -> Option<T> {
        if answer.is_none() {
            self.miss();
        }
        answer
    }

    /// Remembers that an answer which matters is missing.
    pub(super) fn miss(&self) {
        self.missed.set(true);
    }

    /// Ends here if an answer that matters was missing.
    pub(super) fn complete(&self) -> Result<(), Incomplete> {
        if self.missed.get() { Err(Incomplete) } else { Ok(()) }
    }

    /// The power levels among these auth events.
    pub(super) fn power_levels_among(&self, auth: &[Num]) -> Option<Num> {
        auth.iter().copied().find(|num| {
            let Some(edges) = self.edges(*num) else { return false };
            self.is_power_levels(*num, edges.key)
        })
    }

    /// The key of the power levels, once one event of it was met.
    pub(super) fn power_levels_key(&self) -> Option<KeyId> {
        self.power_levels.get()
    }

    /// Whether the event with this key is one of power levels. The key is learnt from the first.
    fn is_power_levels(&self, num: Num, key: KeyId) -> bool {
        if let Some(power_levels) = self.power_levels.get() {
            return power_levels == key;
        }
        if self.others.borrow().contains(&key) {
            return false;
        }
        let Some(event) = self.event(num) else { return false };
        let found = event.pdu.event_type == TimelineEventType::RoomPowerLevels
            && event.pdu.state_key.as_deref() == Some("");
        if found {
            self.power_levels.set(Some(key));
        } else {
            self.others.borrow_mut().insert(key);
        }
        found
    }
}
