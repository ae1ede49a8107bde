//! The current state of a room over time, as far as it is known: chain 0, from the group at which
//! it began to be followed to the newest.
//!
//! Every change is noted when it is planned, so that what is known of a key at one group holds
//! until the next change of that key: a room whose state changes does not ask anew for all that
//! has stayed as it was.

use std::collections::BTreeMap;

use skerry_core::engine::{KeyId, Num, StateAt, Withdrawal};

/// A change of the current state: the group that has it, the key, and its event then.
pub(crate) type StateChange = (u64, KeyId, Slot);

/// What a state has for a key: an event, or none.
pub(crate) type Slot = Option<Num>;

/// What is known of the current state over time.
#[derive(Debug, Default)]
pub(super) struct CurrentStates {
    /// The group at which it began to be followed.
    from: u64,
    /// The newest group.
    upto: u64,
    /// Events by key, and by the group at which they are known to be there.
    events: BTreeMap<(KeyId, u64), Slot>,
}

impl CurrentStates {
    /// Nothing yet of what follows from this state on.
    fn from(current: StateAt) -> Self {
        Self { from: current.group, upto: current.group, events: BTreeMap::new() }
    }

    /// The current state is this one. If it came about without a word, nothing is known any more.
    pub(super) fn is_at(&mut self, current: StateAt) {
        if current.chain != 0 || current.group != self.upto {
            *self = Self::from(current);
        }
    }

    /// Whether this was the current state since it began to be followed.
    pub(super) fn covers(&self, at: StateAt) -> bool {
        at.chain == 0 && (self.from..=self.upto).contains(&at.group)
    }

    /// The event of a key at a state that this covers, as far as it is known.
    pub(super) fn find(&self, at: StateAt, key: KeyId) -> Option<Slot> {
        let before = self.events.range((key, self.from)..=(key, at.group)).next_back();
        before.map(|(_, event)| *event)
    }

    /// The event of a key at a state that this covers.
    pub(super) fn remember(&mut self, at: StateAt, key: KeyId, event: Slot) {
        self.events.insert((key, at.group), event);
    }

    /// The current state has become another one, by these changes.
    pub(super) fn advance(&mut self, before: StateAt, after: StateAt, changes: Vec<StateChange>) {
        self.is_at(before);
        self.upto = after.group;
        for (group, key, event) in changes {
            self.events.insert((key, group), event);
        }
    }

    /// No state has this event, nor ever had.
    pub(super) fn withdraw(&mut self, it: Withdrawal) {
        for event in self.events.values_mut() {
            *event = it.of(*event);
        }
    }

    /// How much is known.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId(1);
    const OTHER: KeyId = KeyId(2);

    fn at(group: u64) -> StateAt {
        StateAt { chain: 0, group }
    }

    #[test]
    fn what_is_known_of_a_key_holds_until_it_changes() {
        let mut states = CurrentStates::default();
        states.is_at(at(5));
        assert!(states.covers(at(5)) && !states.covers(at(4)) && !states.covers(at(6)));
        assert!(!states.covers(StateAt { chain: 5, group: 5 }));
        states.remember(at(5), KEY, Some(3));
        states.advance(at(5), at(9), vec![(8, OTHER, Some(8)), (9, KEY, None)]);
        states.advance(at(9), at(12), vec![(12, OTHER, Some(12))]);
        let known = |key| [5, 7, 8, 9, 11, 12].map(|it| states.find(at(it), key));
        assert_eq!(
            known(KEY),
            [Some(Some(3)), Some(Some(3)), Some(Some(3)), Some(None), Some(None), Some(None)]
        );
        assert_eq!(
            known(OTHER),
            [None, None, Some(Some(8)), Some(Some(8)), Some(Some(8)), Some(Some(12))]
        );
        // What is asked later, of the past.
        states.remember(at(7), OTHER, Some(2));
        assert_eq!(states.find(at(6), OTHER), None);
        assert_eq!(states.find(at(7), OTHER), Some(Some(2)));
        assert_eq!(states.find(at(8), OTHER), Some(Some(8)));
    }

    #[test]
    fn of_a_state_that_came_about_without_a_word_nothing_is_known() {
        let mut states = CurrentStates::default();
        states.remember(at(0), KEY, None);
        states.is_at(at(0));
        assert_eq!(states.len(), 1);
        states.advance(at(3), at(4), vec![(4, OTHER, Some(4))]);
        assert_eq!(states.find(at(4), KEY), None);
        assert_eq!(states.find(at(4), OTHER), Some(Some(4)));
        assert!(!states.covers(at(0)));
        states.withdraw(Withdrawal { num: 4, instead: Some(1) });
        assert_eq!(states.find(at(4), OTHER), Some(Some(1)));
    }
}
