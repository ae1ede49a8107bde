//! The iterative auth checks ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/v2/#definitions

use std::{collections::BTreeMap, sync::Arc};

use ruma::state_res::check_state_dependent_auth_rules;
use rustc_hash::FxHashMap;

use super::context::Context;
use crate::{
    Pdu, authorize,
    engine::{Event, Incomplete, KeyId, Num, Verdict, View},
};

/// The partially resolved state.
pub(super) struct Checks<'a, 'b, V> {
    cx: &'a Context<'b, V>,
    /// Whether it began with the unconflicted state map.
    from_unconflicted: bool,
    /// The events that were applied to it.
    applied: FxHashMap<KeyId, Num>,
}

/// What the state says about an event.
enum Outcome {
    /// To be applied to the state.
    Allowed,
    /// To be ignored.
    Refused,
    /// Not in memory: taken for allowed, so that what comes after it can be asked for as well.
    Unknown,
}

impl<'a, 'b, V: View> Checks<'a, 'b, V> {
    pub(super) fn new(cx: &'a Context<'b, V>, from_unconflicted: bool) -> Self {
        Self { cx, from_unconflicted, applied: FxHashMap::default() }
    }

    /// Applies those events that the state allows, in their order.
    pub(super) fn apply(&mut self, events: &[Arc<Event>]) -> Result<(), Incomplete> {
        for event in events {
            let Some(key) = event.key else { continue };
            match self.check(event) {
                Outcome::Allowed | Outcome::Unknown => self.applied.insert(key, event.num),
                Outcome::Refused => None,
            };
        }
        self.cx.complete()
    }

    /// The event of a key; a miss is remembered.
    pub(super) fn state(&self, key: KeyId) -> Option<Num> {
        match self.applied.get(&key) {
            Some(num) => Some(*num),
            None if !self.from_unconflicted || self.cx.in_conflict(key) => None,
            None => self.cx.or_miss(self.cx.unconflicted(key).ok()).flatten(),
        }
    }

    /// The resolved events of the conflict, and of keys that the unconflicted state map lacks.
    pub(super) fn finish(mut self) -> Result<BTreeMap<KeyId, Option<Num>>, Incomplete> {
        let mut resolved = BTreeMap::new();
        for key in self.cx.keys.keys() {
            let event = match self.cx.in_conflict(*key) {
                true => self.applied.get(key).copied(),
                false => self.cx.unconflicted(*key).ok().flatten(),
            };
            self.applied.remove(key);
            resolved.insert(*key, event);
        }
        for (key, num) in self.applied {
            if let Some(None) = self.cx.or_miss(self.cx.unconflicted(key).ok()) {
                resolved.insert(key, Some(num));
            }
        }
        self.cx.complete()?;
        Ok(resolved)
    }

    fn check(&self, event: &Event) -> Outcome {
        let create = self.cx.create.key.filter(|_| {
            // It is not named among the auth events, and authorizes every event all the same.
            self.cx.rules.authorization.room_create_event_id_as_room_id
        });
        let mut as_received = event.verdict != Verdict::Rejected;
        let mut others: Vec<Num> = Vec::new();
        for key in event.needs.iter().filter(|key| Some(**key) != create) {
            if let Some(num) = self.state(*key).filter(|it| !event.auth.contains(it)) {
                as_received = false;
                others.push(num);
            }
        }
        // The state has exactly what the event names: by that it was allowed when it came.
        match as_received {
            true => Outcome::Allowed,
            false => self.check_against(event, &others),
        }
    }

    /// Checks an event against its own auth events, some of them replaced by those of the state.
    fn check_against(&self, event: &Event, state: &[Num]) -> Outcome {
        let mut found: Vec<Arc<Event>> = Vec::with_capacity(event.auth.len() + 1);
        let mut missed = false;
        for num in state.iter().chain(&event.auth) {
            match self.cx.event(*num) {
                None => missed = true,
                Some(known) if known.verdict == Verdict::Rejected => {}
                // What the state has comes first, and is not replaced.
                Some(known) if found.iter().any(|it| it.key == known.key) => {}
                Some(known) => found.push(known),
            }
        }
        if missed {
            return Outcome::Unknown;
        }
        if self.cx.rules.authorization.room_create_event_id_as_room_id {
            found.retain(|it| it.key != self.cx.create.key);
            found.push(Arc::clone(&self.cx.create));
        }
        match is_allowed(self.cx, &event.pdu, &found) {
            true => Outcome::Allowed,
            false => Outcome::Refused,
        }
    }
}

/// Whether these events, as the state, allow an event.
pub(super) fn is_allowed<V: View>(cx: &Context<'_, V>, pdu: &Pdu, state: &[Arc<Event>]) -> bool {
    check_state_dependent_auth_rules(&cx.rules.authorization, pdu, |event_type, key| {
        authorize::find_in_state(state.iter().map(|it| &*it.pdu), event_type, key)
    })
    .is_ok()
}
