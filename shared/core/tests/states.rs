//! What stored states say by themselves, and what they have from those they build on.

use std::{collections::BTreeMap, sync::Arc};

use ruma::EventId;
use skerry_core::engine::{
    Edges, Event, KeyId, Num, State, StateAt, View,
    states::{lookup, says},
};

/// Deltas of chains, and on what the chains hang.
#[derive(Default)]
struct Chains {
    parents: BTreeMap<u64, StateAt>,
    deltas: Vec<(StateAt, KeyId, Option<Num>)>,
}

impl View for Chains {
    fn find(&self, _: &EventId) -> Option<Option<Num>> {
        None
    }

    fn event(&self, _: Num) -> Option<Arc<Event>> {
        None
    }

    fn edges(&self, _: Num) -> Option<Edges<'_>> {
        None
    }

    fn cited_by(&self, _: Num, _: Num) -> Option<Vec<Num>> {
        None
    }

    fn state(&self, at: StateAt, key: KeyId) -> Option<Option<Num>> {
        let deltas = self.deltas(at.chain, 0, at.group)?;
        match deltas.into_iter().find(|it| it.0 == key) {
            Some((_, event)) => Some(event),
            None => self.parent(at.chain)?.map_or(Some(None), |it| self.state(it, key)),
        }
    }

    fn parent(&self, chain: u64) -> Option<Option<StateAt>> {
        Some(self.parents.get(&chain).copied())
    }

    fn deltas(&self, chain: u64, after: u64, upto: u64) -> Option<Vec<(KeyId, Option<Num>)>> {
        let is_in = |at: &StateAt| at.chain == chain && after < at.group && at.group <= upto;
        let found = self.deltas.iter().filter(|it| is_in(&it.0));
        let last: BTreeMap<_, _> = found.map(|(_, key, event)| (*key, *event)).collect();
        Some(last.into_iter().collect())
    }
}

fn at(chain: u64, group: u64) -> StateAt {
    StateAt { chain, group }
}

/// A state before a join, group 10 of chain 0, that came without some of its events: what is built
/// on it has them once it has, and what says that it has none does not.
#[test]
fn a_state_says_what_it_does_not_have() {
    let (alice, bob) = (KeyId(0), KeyId(1));
    let join = at(0, 10);
    let mut chains = Chains::default();
    // A fork after the join, one that says of Alice that there is nothing, and one on that.
    chains.parents.extend([(20, at(0, 12)), (30, at(0, 12)), (40, at(30, 30)), (50, at(0, 9))]);
    chains.deltas.extend([
        (at(20, 20), bob, Some(3)),
        (at(30, 30), alice, None),
        (at(40, 40), bob, Some(4)),
    ]);
    let cases = [
        (at(0, 0), alice, true, "the empty state"),
        (at(0, 9), alice, true, "before the join"),
        (at(50, 50), alice, true, "a chain that hangs on what was before the join"),
        (join, alice, false, "the state before the join"),
        (at(0, 12), alice, false, "after the join"),
        (at(20, 20), alice, false, "a fork after the join"),
        (at(20, 20), bob, true, "a fork that has it"),
        (at(30, 30), alice, true, "a chain that says so"),
        (at(40, 40), alice, true, "a chain on one that says so"),
        (at(30, 30), bob, false, "a chain that says something else"),
    ];
    for (state, key, expected, what) in cases {
        assert_eq!(says(&chains, &state.into(), key, join).unwrap(), expected, "{what}");
    }
    let changed = State { base: join, changes: [(alice, None)].into() };
    assert!(says(&chains, &changed, alice, join).unwrap());

    // The state before the join has Alice after all.
    chains.deltas.push((join, alice, Some(1)));
    let has = |state: StateAt| lookup(&chains, &state.into(), alice).unwrap();
    assert_eq!((has(at(0, 12)), has(at(20, 20))), (Some(1), Some(1)));
    assert_eq!((has(at(30, 30)), has(at(40, 40)), has(at(50, 50))), (None, None, None));
}
