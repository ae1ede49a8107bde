//! States of forks, and the one state they become ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#room-state-resolution

use std::collections::{BTreeMap, BTreeSet};

use ruma::room_version_rules::RoomVersionRules;

use super::{Incomplete, KeyId, Num, State, StateAt, Verdict, View};
use crate::state_res::{self, Conflict};

/// The event of a key before and after a change.
pub type Change = (Option<Num>, Option<Num>);

/// Collects answers of a view, so that one round asks for everything it can.
#[derive(Debug, Default)]
pub(super) struct Gather {
    missed: bool,
}

impl Gather {
    /// Takes an answer, or remembers that there was none.
    pub(super) fn take<T>(&mut self, answer: Option<T>) -> Option<T> {
        self.missed |= answer.is_none();
        answer
    }

    /// Ends the round.
    pub(super) fn done(&self) -> Result<(), Incomplete> {
        if self.missed { Err(Incomplete) } else { Ok(()) }
    }
}

/// The event a state has for a key; `Some(None)`: it has none. `None`: not in memory.
pub fn lookup(view: &impl View, state: &State, key: KeyId) -> Option<Option<Num>> {
    state.changes.get(&key).map_or_else(|| view.state(state.base, key), |it| Some(*it))
}

/// The keys in which a state has another event than a stored one, with the event before (in the
/// stored one) and after.
///
/// # Errors
///
/// [`Incomplete`]: load what the view noted and ask again.
pub fn changes(
    view: &impl View,
    from: StateAt,
    to: &State,
) -> Result<BTreeMap<KeyId, Change>, Incomplete> {
    let mut keys: BTreeSet<KeyId> = to.changes.keys().copied().collect();
    if to.base != from {
        keys.extend(view.differences(&[from, to.base]).ok_or(Incomplete)?);
    }
    let mut gather = Gather::default();
    let mut changed = BTreeMap::new();
    for key in keys {
        let before = gather.take(view.state(from, key));
        let after = gather.take(lookup(view, to, key));
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            changed.insert(key, (before, after));
        }
    }
    gather.done().map(|()| changed)
}

/// Resolves the states of forks to one state.
///
/// The result is expressed relative to the stored state that makes for the fewest changes; among
/// equals to `prefer`, the current state.
///
/// # Errors
///
/// [`Incomplete`]: load what the view noted and ask again.
pub fn merge(
    view: &impl View,
    rules: &RoomVersionRules,
    create: Num,
    states: &[State],
    prefer: StateAt,
) -> Result<State, Incomplete> {
    let mut forks: Vec<&State> = Vec::new();
    for state in states {
        if !forks.contains(&state) {
            forks.push(state);
        }
    }
    let [first, _, ..] = forks.as_slice() else {
        return Ok(forks.first().map_or_else(|| prefer.into(), |it| (*it).clone()));
    };
    let differing = differing(view, &forks)?;
    if differing.is_empty() {
        return relative(view, &forks, &BTreeMap::new(), prefer);
    }
    let conflict = conflict(&differing, forks.len());
    let unconflicted = |key| lookup(view, first, key);
    let mut resolved = state_res::resolve(rules, create, &conflict, &unconflicted, view)?;
    if has_rejected(view, &resolved)? {
        resolved =
            state_res::resolve_without_rejected(rules, create, &conflict, &unconflicted, view)?;
    }
    for key in differing.keys() {
        resolved.entry(*key).or_insert(None);
    }
    relative(view, &forks, &resolved, prefer)
}

/// What was rejected after events that cite it had come is in their auth chains, so that a
/// resolution may bring it back; and yet it is never part of a state.
fn has_rejected(
    view: &impl View,
    resolved: &BTreeMap<KeyId, Option<Num>>,
) -> Result<bool, Incomplete> {
    let mut gather = Gather::default();
    let events: Vec<_> =
        resolved.values().flatten().filter_map(|num| gather.take(view.event(*num))).collect();
    gather.done().map(|()| events.iter().any(|it| it.verdict == Verdict::Rejected))
}

/// The keys in which the forks really differ, with the event each fork has.
fn differing(
    view: &impl View,
    forks: &[&State],
) -> Result<BTreeMap<KeyId, Vec<Option<Num>>>, Incomplete> {
    let bases: BTreeSet<StateAt> = forks.iter().map(|it| it.base).collect();
    let mut keys: BTreeSet<KeyId> =
        forks.iter().flat_map(|it| it.changes.keys().copied()).collect();
    if bases.len() > 1 {
        let bases: Vec<StateAt> = bases.into_iter().collect();
        keys.extend(view.differences(&bases).ok_or(Incomplete)?);
    }
    let mut gather = Gather::default();
    let mut differing = BTreeMap::new();
    for key in keys {
        let column: Vec<Option<Num>> =
            forks.iter().filter_map(|it| gather.take(lookup(view, it, key))).collect();
        if column.iter().any(|it| Some(it) != column.first()) {
            differing.insert(key, column);
        }
    }
    gather.done().map(|()| differing)
}

/// The conflict of the forks, each different one counted once: what two forks agree on twice
/// changes neither the conflicted state set nor the auth difference.
fn conflict(differing: &BTreeMap<KeyId, Vec<Option<Num>>>, forks: usize) -> Conflict {
    let rows: Vec<Vec<Option<Num>>> = (0..forks)
        .map(|fork| differing.values().map(|it| it.get(fork).copied().flatten()).collect())
        .collect();
    let mut seen = BTreeSet::new();
    let kept: Vec<usize> = rows
        .iter()
        .enumerate()
        .filter_map(|(fork, row)| seen.insert(row).then_some(fork))
        .collect();
    let keys = differing
        .iter()
        .map(|(key, column)| {
            (*key, kept.iter().map(|fork| column.get(*fork).copied().flatten()).collect())
        })
        .collect();
    Conflict { forks: kept.len(), keys }
}

/// The resolved state, relative to the fork with the fewest changes.
fn relative(
    view: &impl View,
    forks: &[&State],
    resolved: &BTreeMap<KeyId, Option<Num>>,
    prefer: StateAt,
) -> Result<State, Incomplete> {
    let mut gather = Gather::default();
    let mut best: Option<State> = None;
    for fork in forks {
        let mut changes = fork.changes.clone();
        for (key, event) in resolved {
            match gather.take(view.state(fork.base, *key)) {
                Some(in_base) if in_base == *event => changes.remove(key),
                _ => changes.insert(*key, *event),
            };
        }
        let rank = |it: &State| (it.changes.len(), it.base != prefer);
        let state = State { base: fork.base, changes };
        if best.as_ref().is_none_or(|it| rank(&state) < rank(it)) {
            best = Some(state);
        }
    }
    gather.done()?;
    Ok(best.unwrap_or_else(|| prefer.into()))
}
