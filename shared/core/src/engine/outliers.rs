//! Outliers: what becomes of them, and which of them can be judged by the state before them.

use std::{collections::HashSet, sync::Arc};

use ruma::{OwnedEventId, room_version_rules::RoomVersionRules};

use super::{
    Event, Incomplete, KeyId, Num, State, Verdict, View,
    authorization::{ByAuth, Named, by_auth_events, named},
    decision::{Undecided, Withdrawal},
    gather::Gather,
    states::lookup,
};
use crate::Pdu;

/// What becomes of an outlier: the verdict, why it is not accepted, and the auth events it names.
pub type OutlierDecision = (Verdict, Option<String>, Box<[Num]>);

/// How many outliers are looked at for one event. Whoever sends more of them in a row could as
/// well have withheld one.
const MAX_OUTLIERS: usize = 100;
/// The same of those that authorize an event. Most rooms that were joined have outliers that
/// authorize everything and build on nothing that is here; a few of them follow each other.
const MAX_AUTHORIZING: usize = 20;

/// Decides an outlier: by its auth events alone. Gives the auth events too.
///
/// # Errors
///
/// [`Undecided`], and what has to be done first.
pub fn decide_outlier(
    view: &impl View,
    rules: &RoomVersionRules,
    create: Num,
    event: &Event,
) -> Result<OutlierDecision, Undecided> {
    let auth = named(view, &event.pdu.auth_events)?;
    let nums = auth.iter().filter_map(|it| it.1.as_ref()).map(|it| it.num).collect();
    match by_auth_events(view, rules, create, event, &auth)? {
        ByAuth::Unknown(auth) => Err(Undecided::Waits { auth, prev: Vec::new() }),
        ByAuth::Allowed => match judgeable_authorizing(view, &auth)? {
            first if !first.is_empty() => Err(Undecided::Authorizing(first)),
            _ => Ok((Verdict::Accepted, None, nums)),
        },
        ByAuth::Refused(reason) => Ok((Verdict::Rejected, Some(reason), nums)),
    }
}

/// Nothing, if no outliers are to be judged before an event. `all_stateful`: it builds on none.
pub(super) fn none_first(
    view: &impl View,
    event: &Pdu,
    auth: &Named<'_>,
    all_stateful: bool,
) -> Result<(), Undecided> {
    let authorizing = judgeable_authorizing(view, auth)?;
    if !authorizing.is_empty() {
        return Err(Undecided::Authorizing(authorizing));
    }
    let before = if all_stateful { Vec::new() } else { judgeable_before(view, event)? };
    if before.is_empty() { Ok(()) } else { Err(Undecided::Outliers(before)) }
}

/// What a rejected event, with these auth events and this state before it, takes back: something,
/// if it was known as an outlier that its auth events allow.
pub(super) fn withdrawal(
    view: &impl View,
    event: &Event,
    auth: &[Num],
    before: Option<&State>,
) -> Result<Option<Withdrawal>, Incomplete> {
    let Some(num) = view.find(&event.pdu.event_id).ok_or(Incomplete)? else { return Ok(None) };
    let known = view.event(num).ok_or(Incomplete)?;
    if known.states.is_some() || known.verdict != Verdict::Accepted {
        return Ok(None);
    }
    let instead = match (event.key, before) {
        (None, _) => None,
        (Some(key), Some(before)) => lookup(view, before, key).ok_or(Incomplete)?,
        (Some(key), None) => builds_on(view, key, auth)?,
    };
    Ok(Some(Withdrawal { num, instead: instead.filter(|it| *it != num) }))
}

/// The last event of a key that is not rejected, from these auth events downwards.
fn builds_on(view: &impl View, key: KeyId, auth: &[Num]) -> Result<Option<Num>, Incomplete> {
    let mut auth = auth.to_vec();
    loop {
        let mut gather = Gather::default();
        let known: Vec<_> = auth.iter().filter_map(|it| gather.take(view.event(*it))).collect();
        gather.done()?;
        let Some(event) = known.into_iter().find(|it| it.key == Some(key)) else { return Ok(None) };
        if event.verdict != Verdict::Rejected {
            return Ok(Some(event.num));
        }
        auth = event.auth.to_vec();
    }
}

/// The outliers through which an event builds on events with states, so that each has one as well
/// once those it builds on have been judged: in that order. What is rejected stays so, and has a
/// state that others build on.
fn judgeable_before(view: &impl View, event: &Pdu) -> Result<Vec<OwnedEventId>, Incomplete> {
    judgeable(view, event.prev_events.iter(), MAX_OUTLIERS)
}

/// The outliers among the events that authorize an event, as far as they can be judged by the
/// state before them, and those that come before them, in the order in which they are to be.
///
/// An outlier is allowed by its auth events alone. Who has it as an event of the room may have
/// rejected it by the state before it, and rejects all that cites it: so a server that could know
/// the same has to.
fn judgeable_authorizing(
    view: &impl View,
    auth: &Named<'_>,
) -> Result<Vec<OwnedEventId>, Incomplete> {
    let is_outlier = |it: &Arc<Event>| it.states.is_none();
    let outliers = auth.iter().filter(|it| it.1.as_ref().is_some_and(is_outlier));
    judgeable(view, outliers.map(|it| it.0), MAX_AUTHORIZING)
}

/// Those of these events, and of the events through which they build on events with states, that
/// are outliers and have a state once those before them have been judged: in that order. `most`
/// are looked at.
fn judgeable<'a>(
    view: &impl View,
    ids: impl Iterator<Item = &'a OwnedEventId>,
    most: usize,
) -> Result<Vec<OwnedEventId>, Incomplete> {
    let mut gather = Gather::default();
    let (mut judgeable, mut seen, mut have_state) = (Vec::new(), HashSet::new(), HashSet::new());
    // An outlier is met before those that it builds on, and once more after them.
    let mut todo: Vec<_> = ids.map(|id| (id.clone(), false)).collect();
    while let Some((id, is_second)) = todo.pop() {
        let Some(found) = gather.take(view.find(&id)) else { continue };
        let Some(before) = found.and_then(|num| gather.take(view.event(num))) else { continue };
        let prev = &before.pdu.prev_events;
        if before.states.is_some() {
            have_state.insert(id);
        } else if prev.is_empty() {
            // A create event has its state with the history that it begins.
        } else if is_second {
            if prev.iter().all(|it| have_state.contains(it)) && have_state.insert(id.clone()) {
                judgeable.push(id);
            }
        } else if seen.len() < most && seen.insert(before.num) {
            todo.push((id, true));
            todo.extend(prev.iter().map(|it| (it.clone(), false)));
        }
    }
    gather.done().map(|()| judgeable)
}
