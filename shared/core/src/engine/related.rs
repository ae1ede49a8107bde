//! Stored states as what differs from one that all of them come from: the work grows with what
//! differs, and not with how many states there are times how many keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::gather::Gather as _;

use super::{Incomplete, KeyId, Num, State, StateAt, View, gather::Gather};

/// What some keys have: an event, or none.
pub(super) type Changes = BTreeMap<KeyId, Option<Num>>;

/// States, and a stored one that all of them come from.
pub(super) struct Related {
    /// The stored state that all come from.
    common: StateAt,
    /// What it has for all keys in which some state may differ from it.
    in_common: Changes,
    /// For each state, what its base has other than `common`; equal values may be among it.
    bases: Vec<Changes>,
    /// The same of the state itself.
    states: Vec<Changes>,
}

impl Related {
    /// Finds what differs.
    pub(super) fn of(view: &impl View, states: &[&State]) -> Result<Self, Incomplete> {
        let bases: BTreeSet<StateAt> = states.iter().map(|it| it.base).gather();
        let lines = Lines::of(view, bases)?;
        let common = lines.common();
        let mut gather = Gather::default();
        let mut changes = BTreeMap::new();
        for (base, line) in &lines.0 {
            changes.insert(*base, gather.take(changes_since(view, common, line)));
        }
        gather.done()?;
        let bases: Vec<Changes> = states
            .iter()
            .map(|it| changes.get(&it.base).cloned().flatten().unwrap_or_default())
            .collect();
        let states: Vec<Changes> = states
            .iter()
            .zip(&bases)
            .map(|(state, base)| {
                let mut all = base.clone();
                all.extend(state.changes.iter().map(|(key, event)| (*key, *event)));
                all
            })
            .gather();
        let mut new = Self { common, in_common: Changes::new(), bases, states };
        let keys: BTreeSet<KeyId> = new.states.iter().flat_map(|it| it.keys()).copied().gather();
        new.look_up(view, keys)?;
        Ok(new)
    }

    /// Finds what the state that all come from has for some more keys.
    pub(super) fn look_up(
        &mut self,
        view: &impl View,
        keys: impl IntoIterator<Item = KeyId>,
    ) -> Result<(), Incomplete> {
        let mut gather = Gather::default();
        for key in keys {
            if !self.in_common.contains_key(&key)
                && let Some(event) = gather.take(view.state(self.common, key))
            {
                self.in_common.insert(key, event);
            }
        }
        gather.done()
    }

    /// The stored state that all come from: what keys have in which none differs from it.
    pub(super) fn common(&self) -> StateAt {
        self.common
    }

    /// Every key in which some state may differ from the one that all come from, and what that has.
    pub(super) fn in_common(&self) -> &Changes {
        &self.in_common
    }

    /// What each state has other than that one; equal values may be among it.
    pub(super) fn states(&self) -> &[Changes] {
        &self.states
    }

    /// The same of the stored state that each one is told by.
    pub(super) fn bases(&self) -> &[Changes] {
        &self.bases
    }

    /// What a state has for a key that was looked up.
    pub(super) fn lookup(&self, state: usize, key: KeyId) -> Option<Num> {
        let own = self.states.get(state).and_then(|it| it.get(&key));
        own.or_else(|| self.in_common.get(&key)).copied().flatten()
    }
}

/// For each stored state the stored states that it comes from, chain 0 first, itself last.
struct Lines(BTreeMap<StateAt, Vec<StateAt>>);

impl Lines {
    fn of(view: &impl View, states: BTreeSet<StateAt>) -> Result<Self, Incomplete> {
        let mut gather = Gather::default();
        let mut lines = BTreeMap::new();
        for at in states {
            let mut line = vec![at];
            let mut chain = at.chain;
            while let Some(Some(parent)) = gather.take(view.parent(chain)) {
                line.push(parent);
                chain = parent.chain;
            }
            line.reverse();
            lines.insert(at, line);
        }
        gather.done().map(|()| Self(lines))
    }

    /// The last stored state that all of them come from.
    fn common(&self) -> StateAt {
        let mut common = StateAt::default();
        for level in 0.. {
            let Some(all) = self.0.values().map(|it| it.get(level)).collect::<Option<Vec<_>>>()
            else {
                break;
            };
            let Some(first) = all.iter().min() else { break };
            if all.iter().any(|it| it.chain != first.chain) {
                break;
            }
            common = **first;
            if all.iter().any(|it| it.group != first.group) {
                break;
            }
        }
        common
    }
}

/// What a state has other than one that it comes from. `line`: what it comes from, itself last.
fn changes_since(view: &impl View, common: StateAt, line: &[StateAt]) -> Option<Changes> {
    let mut changes = Changes::new();
    let mut missed = false;
    let at_common = line.iter().position(|it| it.chain == common.chain)?;
    for (level, at) in line.iter().enumerate().skip(at_common) {
        let after = if level == at_common { common.group } else { 0 };
        if after >= at.group {
            continue;
        }
        match view.deltas(at.chain, after, at.group) {
            Some(deltas) => changes.extend(deltas),
            None => missed = true,
        }
    }
    (!missed).then_some(changes)
}
