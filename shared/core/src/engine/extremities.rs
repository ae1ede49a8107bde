//! Which events a new event names as those before it, and the state before it.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{
    Event, Head, Incomplete, KeyId, Num, State, Verdict, View,
    states::{self, Gather},
};
use crate::pdu::MAX_PREV_EVENTS;

/// The forward extremities that a new event names: all, or [`MAX_PREV_EVENTS`] of them.
///
/// Each event that names several leaves fewer, so a room that others have split shrinks again.
/// `needs` are the keys that authorize the new event: for each of them, one of the chosen has in
/// its state the event that the current state has, so that a flood of extremities from old parts
/// of the room does not silence its members. The rest are the deepest and the oldest in equal
/// parts: what is new stays connected, and every extremity has its turn.
///
/// # Errors
///
/// [`Incomplete`]: load what the view noted and ask again.
pub fn choose_prev(
    view: &impl View,
    head: &Head<'_>,
    needs: &[KeyId],
) -> Result<Vec<Num>, Incomplete> {
    if head.extremities.len() <= MAX_PREV_EVENTS {
        return Ok(head.extremities.to_vec());
    }
    let mut gather = Gather::default();
    let mut events: Vec<_> =
        head.extremities.iter().filter_map(|it| gather.take(view.event(*it))).collect();
    gather.done()?;
    events.sort_by_key(|it| Reverse((it.pdu.depth, it.num)));
    let mut chosen = BTreeSet::new();
    for key in needs {
        let Some(current) = view.state(head.current, *key) else {
            gather.take(None::<()>);
            continue;
        };
        // Stops at the first miss, which is noted: to go on would ask for every fork's state.
        for event in &events {
            let Some(states) = event.states else { continue };
            match view.state(states.after, *key) {
                None => gather.take(None::<()>),
                Some(it) if it == current && chosen.len() < MAX_PREV_EVENTS => {
                    chosen.insert(event.num);
                    break;
                }
                Some(_) => continue,
            };
            break;
        }
    }
    gather.done()?;
    fill(&events, &mut chosen);
    Ok(chosen.into_iter().collect())
}

/// Fills up to the limit with the deepest and the oldest, in turns. `events`: deepest first.
fn fill(events: &[std::sync::Arc<Event>], chosen: &mut BTreeSet<Num>) {
    let mut oldest: Vec<Num> = events.iter().map(|it| it.num).collect();
    oldest.sort_unstable();
    for (deep, old) in events.iter().zip(oldest) {
        for num in [deep.num, old] {
            if chosen.len() < MAX_PREV_EVENTS {
                chosen.insert(num);
            }
        }
    }
}

/// The state before an event that names these as the events before it.
///
/// # Errors
///
/// [`Incomplete`]: load what the view noted and ask again.
pub fn state_before(view: &impl View, head: &Head<'_>, prev: &[Num]) -> Result<State, Incomplete> {
    if is_head(head, prev) {
        return Ok(head.current.into());
    }
    let mut gather = Gather::default();
    let events: Vec<_> = prev.iter().filter_map(|it| gather.take(view.event(*it))).collect();
    gather.done()?;
    let states: Vec<State> =
        events.iter().filter_map(|it| it.states).map(|it| it.after.into()).collect();
    states::merge(view, head.rules, head.create, &states, head.current)
}

/// Whether these are the room's forward extremities, all of them.
pub(super) fn is_head(head: &Head<'_>, prev: &[Num]) -> bool {
    let set = |it: &[Num]| it.iter().copied().collect::<BTreeSet<_>>();
    set(prev) == set(head.extremities)
}

/// The extremities once this event is known: no longer those it names, nor those it reaches
/// through events that may not be extremities themselves; and, with `add`, the event. The walk is
/// bounded, because it only tidies: an extremity that stays is named by the next own event.
pub(super) fn after(
    view: &impl View,
    head: &Head<'_>,
    event: &Event,
    add: bool,
) -> Result<Vec<Num>, Incomplete> {
    const MAX_WALK: usize = 64;
    let mut left: BTreeSet<Num> = head.extremities.iter().copied().collect();
    let mut todo = event.pdu.prev_events.clone();
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if seen.len() >= MAX_WALK {
            break;
        }
        if !seen.insert(id.clone()) {
            continue;
        }
        let Some(num) = view.find(&id).ok_or(Incomplete)? else { continue };
        if !left.remove(&num) {
            let before = view.event(num).ok_or(Incomplete)?;
            if before.verdict != Verdict::Accepted {
                todo.extend(before.pdu.prev_events.iter().cloned());
            }
        }
    }
    if add {
        left.insert(event.num);
    }
    Ok(match left.is_empty() {
        true => head.extremities.to_vec(),
        false => left.into_iter().collect(),
    })
}
