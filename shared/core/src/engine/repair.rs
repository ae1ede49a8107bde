//! A state that another server tells at a forward extremity, where the operator doubts what is
//! here.

use std::collections::BTreeMap;

use super::{Head, KeyId, Num, State, Undecided, View, decision::Change, gather::Gather, states};

/// What comes of a state that another server tells.
#[derive(Clone, Debug)]
pub struct Repair {
    /// The state after the extremity, from then on.
    pub after: State,
    /// What of it is new there.
    pub after_changes: BTreeMap<KeyId, Change>,
    /// What changes in the current state, relative to [`Head::current`].
    pub current_changes: BTreeMap<KeyId, Change>,
}

/// Resolves the state after a forward extremity that is here with the one that another server
/// tells, as if they were those of two forks: no word of a server counts for more than the rules.
/// `told` is the state *before* the extremity, whose events the host has stored.
///
/// What differs stays in the room, since everything that comes after the extremity builds on it.
/// None: what was told is not of this room.
///
/// # Errors
///
/// As [`states::merge`].
pub fn repair(
    view: &impl View,
    head: &Head<'_>,
    extremity: Num,
    told: &State,
) -> Result<Option<Repair>, Undecided> {
    if !states::is_of_room(view, head, told)? {
        return Ok(None);
    }
    let mut gather = Gather::default();
    let events: Vec<_> =
        head.extremities.iter().filter_map(|it| gather.take(view.event(*it))).collect();
    gather.done()?;
    let after = |num: Num| {
        let event = events.iter().find(|it| it.num == num)?;
        event.states.map(|it| it.after)
    };
    let Some(own) = after(extremity) else {
        let nothing = BTreeMap::new();
        let after = head.current.into();
        return Ok(Some(Repair {
            after,
            after_changes: nothing.clone(),
            current_changes: nothing,
        }));
    };
    let mut told = told.clone();
    if let Some(key) = events.iter().find(|it| it.num == extremity).and_then(|it| it.key) {
        told.changes.insert(key, Some(extremity));
    }
    let resolved = states::merge(view, head, &[own.into(), told])?;
    let after_changes = states::changes(view, own, &resolved)?;
    if after_changes.is_empty() {
        let current_changes = BTreeMap::new();
        return Ok(Some(Repair { after: own.into(), after_changes, current_changes }));
    }
    let others = head.extremities.iter().filter(|it| **it != extremity);
    let others = others.filter_map(|it| after(*it)).map(State::from);
    let all: Vec<State> = others.chain([resolved.clone()]).collect();
    let current_changes = states::changes(view, head.current, &states::merge(view, head, &all)?)?;
    Ok(Some(Repair { after: resolved, after_changes, current_changes }))
}
