//! Which events a new event names as those before it, and the state before it.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{
    Event, Head, Incomplete, KeyId, Num, State, Undecided, Verdict, View, gather::Gather,
    related::Related, states,
};
use crate::{gather::Gather as _, pdu::MAX_PREV_EVENTS};

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
    events.retain(|it| it.states.is_some());
    events.sort_by_key(|it| Reverse((it.pdu.depth, it.num)));
    let after = events.iter().filter_map(|it| it.states).map(|it| State::from(it.after));
    let states: Vec<State> = [head.current.into()].into_iter().chain(after).collect();
    let mut related = Related::of(view, &states.iter().collect::<Vec<_>>())?;
    related.look_up(view, needs.iter().copied())?;
    let mut chosen = BTreeSet::new();
    for key in needs {
        let current = related.lookup(0, *key);
        let mut with_current =
            (1..).zip(&events).filter(|(at, _)| related.lookup(*at, *key) == current);
        if let Some((_, event)) = with_current.next()
            && chosen.len() < MAX_PREV_EVENTS
        {
            chosen.insert(event.num);
        }
    }
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
/// As [`states::merge`].
pub fn state_before(view: &impl View, head: &Head<'_>, prev: &[Num]) -> Result<State, Undecided> {
    if is_head(head, prev) {
        return Ok(head.current.into());
    }
    let mut gather = Gather::default();
    let events: Vec<_> = prev.iter().filter_map(|it| gather.take(view.event(*it))).collect();
    gather.done()?;
    let states: Vec<State> =
        events.iter().filter_map(|it| it.states).map(|it| it.after.into()).collect();
    states::merge(view, head, &states)
}

/// Whether these are the room's forward extremities, all of them.
pub(super) fn is_head(head: &Head<'_>, prev: &[Num]) -> bool {
    let set = |it: &[Num]| it.iter().copied().gather::<BTreeSet<_>>();
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
    let mut left: BTreeSet<Num> = head.extremities.iter().copied().gather();
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
