//! States of forks, and the one state they become ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#room-state-resolution

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    Incomplete, KeyId, Num, State, StateAt, Verdict, View,
    decision::{Change, Head, Undecided, Unverified},
    gather::Gather,
    related::{Changes, Related},
};
use crate::{
    gather::Gather as _,
    state_res::{self, Column, Conflict},
};

/// The event a state has for a key; `Some(None)`: it has none. `None`: not in memory.
pub fn lookup(view: &impl View, state: &State, key: KeyId) -> Option<Option<Num>> {
    state.changes.get(&key).map_or_else(|| view.state(state.base, key), |it| Some(*it))
}

/// Whether a state is of this room: it has the room's create event.
///
/// # Errors
///
/// [`Incomplete`]: load what the view noted and ask again.
pub fn is_of_room(view: &impl View, head: &Head<'_>, state: &State) -> Result<bool, Incomplete> {
    let create = view.event(head.create).ok_or(Incomplete)?;
    let Some(key) = create.key else { return Ok(false) };
    Ok(lookup(view, state, key).ok_or(Incomplete)? == Some(head.create))
}

/// Whether a state says by itself which event it has for a key, or none. Else it has what the
/// stored state `of`, which is one of chain 0, or a later one has.
///
/// # Errors
///
/// [`Incomplete`]: load what the view noted and ask again.
pub fn says(view: &impl View, state: &State, key: KeyId, of: StateAt) -> Result<bool, Incomplete> {
    if state.changes.contains_key(&key) {
        return Ok(true);
    }
    let mut at = state.base;
    while at.chain != of.chain {
        let deltas = view.deltas(at.chain, 0, at.group).ok_or(Incomplete)?;
        if deltas.iter().any(|it| it.0 == key) {
            return Ok(true);
        }
        let Some(parent) = view.parent(at.chain).ok_or(Incomplete)? else { return Ok(true) };
        at = parent;
    }
    Ok(at.group < of.group)
}

/// Sees to it that none of these states would have an event for a key that is asked of
/// it, were it verified.
pub(super) fn none_lacks(
    view: &impl View,
    unverified: &[Unverified],
    states: &[State],
    is_asked: impl Fn(KeyId) -> bool,
) -> Result<(), Undecided> {
    let mut lacking = Vec::new();
    for it in unverified.iter().filter(|it| it.authorizes && is_asked(it.key)) {
        for state in states {
            if lacks(view, state, it)? {
                lacking.push(it.event_id.clone());
                break;
            }
        }
    }
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(Undecided::Unverified(lacking)),
    }
}

/// Whether a state has no event for the key, only because this one could not be verified.
fn lacks(view: &impl View, state: &State, it: &Unverified) -> Result<bool, Incomplete> {
    let found = lookup(view, state, it.key).ok_or(Incomplete)?;
    Ok(found.is_none() && !says(view, state, it.key, it.of)?)
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
    let related = Related::of(view, &[&from.into(), to])?;
    let change = |key: &KeyId| {
        let (before, after) = (related.lookup(0, *key), related.lookup(1, *key));
        (before != after).then_some((*key, (before, after)))
    };
    Ok(related.in_common().keys().filter_map(change).gather())
}

/// Resolves the states of forks to one state.
///
/// The result is expressed relative to the stored state that makes for the fewest changes; among
/// equals to the current state.
///
/// # Errors
///
/// [`Undecided::Incomplete`]: load what the view noted and ask again. [`Undecided::Unverified`]:
/// what they are resolved to depends on these.
pub fn merge(view: &impl View, head: &Head<'_>, states: &[State]) -> Result<State, Undecided> {
    let Head { rules, create, current: prefer, unverified, .. } = *head;
    let mut seen = BTreeSet::new();
    let forks: Vec<&State> = states.iter().filter(|it| seen.insert(*it)).collect();
    let [_, _, ..] = forks.as_slice() else {
        return Ok(forks.first().map_or_else(|| prefer.into(), |it| (*it).clone()));
    };
    let mut related = Related::of(view, &forks)?;
    let conflict = conflict(&related);
    if conflict.keys.is_empty() {
        return Ok(relative(&related, &forks, &BTreeMap::new(), prefer));
    }
    let absent = RefCell::new(BTreeSet::new());
    let unconflicted = |key| {
        let found = match related.in_common().contains_key(&key) {
            true => Some(related.lookup(0, key)),
            false => view.state(related.common(), key),
        };
        if found == Some(None) && !unverified.is_empty() {
            absent.borrow_mut().insert(key);
        }
        found
    };
    let mut resolved = state_res::resolve(rules, create, &conflict, &unconflicted, view)?;
    if has_rejected(view, &resolved)? {
        resolved =
            state_res::resolve_without_rejected(rules, create, &conflict, &unconflicted, view)?;
    }
    let mut asked = absent.into_inner();
    for key in conflict.keys.keys() {
        resolved.entry(*key).or_insert(None);
        asked.insert(*key);
    }
    none_lacks(view, unverified, states, |it| asked.contains(&it))?;
    related.look_up(view, resolved.keys().copied())?;
    Ok(relative(&related, &forks, &resolved, prefer))
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

/// The conflict of the forks, each different one counted once: what two forks agree on twice
/// changes neither the conflicted state set nor the auth difference.
fn conflict(related: &Related) -> Conflict {
    let in_common = |key: &KeyId| related.in_common().get(key).copied().flatten();
    // What every fork changes in the same way is no conflict.
    let mut said = BTreeMap::<KeyId, (usize, BTreeSet<Option<Num>>)>::new();
    for (key, event) in related.states().iter().flatten() {
        let (count, events) = said.entry(*key).or_default();
        *count += 1;
        events.insert(*event);
    }
    let all = related.states().len();
    let differ = |(key, (count, mut events)): (KeyId, (usize, BTreeSet<_>))| {
        if count < all {
            events.insert(in_common(&key));
        }
        (events.len() > 1).then_some(key)
    };
    let keys: BTreeSet<KeyId> = said.into_iter().filter_map(differ).gather();
    let mut kept = BTreeSet::<Vec<(KeyId, Option<Num>)>>::new();
    for state in related.states() {
        let differs =
            |(key, event): &(KeyId, Option<Num>)| keys.contains(key) && *event != in_common(key);
        kept.insert(state.iter().map(|(key, event)| (*key, *event)).filter(differs).gather());
    }
    let mut columns = BTreeMap::<KeyId, Vec<(usize, Option<Num>)>>::new();
    for (fork, row) in kept.iter().enumerate() {
        for (key, event) in row {
            columns.entry(*key).or_default().push((fork, *event));
        }
    }
    let forks = kept.len();
    let column = |key: &KeyId| {
        let others = columns.remove(key).unwrap_or_default();
        (*key, Column::new(forks, in_common(key), others))
    };
    Conflict { forks, keys: keys.iter().map(column).gather() }
}

/// The resolved state, relative to the fork with the fewest changes.
fn relative(related: &Related, forks: &[&State], resolved: &Changes, prefer: StateAt) -> State {
    let is_resolved = |key: &KeyId, event: Option<Num>| resolved.get(key) == Some(&event);
    // What it differs in from what all come from; of each fork that is corrected.
    let from_common = (resolved.iter())
        .filter(|(key, event)| related.in_common().get(*key) != Some(*event))
        .count();
    let mut best: Option<(usize, bool, usize)> = None;
    for (at, (fork, base)) in forks.iter().zip(related.bases()).enumerate() {
        let mut count = from_common;
        count += fork.changes.keys().filter(|key| !resolved.contains_key(*key)).count();
        for (key, event) in base.iter().filter(|(key, _)| resolved.contains_key(*key)) {
            let in_common = related.in_common().get(key).copied().flatten();
            count += usize::from(!is_resolved(key, *event));
            count -= usize::from(!is_resolved(key, in_common));
        }
        let rank = (count, fork.base != prefer, at);
        best = Some(best.map_or(rank, |it| it.min(rank)));
    }
    let best = best.and_then(|(.., at)| Some((forks.get(at)?, related.bases().get(at)?)));
    let Some((fork, base)) = best else { return prefer.into() };
    let mut changes = fork.changes.clone();
    for (key, event) in resolved {
        let in_base = base.get(key).or_else(|| related.in_common().get(key));
        match in_base == Some(event) {
            true => changes.remove(key),
            false => changes.insert(*key, *event),
        };
    }
    State { base: fork.base, changes }
}
