//! What becomes of an event: the checks performed on receipt of a PDU that need the room
//! ([spec], checks 4 to 6).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::OwnedEventId;

use super::{
    Event, Incomplete, Num, State, StateAt, Verdict, View,
    authorization::{ByAuth, Named, by_auth_events, check_by_state, named},
    decision::{After, Decision, Head, Mode, Undecided},
    extremities, outliers,
    states::{self, Gather, lookup},
    view_with::ViewWith,
};

/// Decides an event. Nothing changes: the decision is for the host to write.
///
/// `event` comes with its number, and whatever verdict and states. `given` are states as a peer
/// gave them, whose events the host has stored as outliers: after events that are not here; or,
/// by the ID of `event` itself, before it, which then counts alone, because to resolve a resolved
/// state once more with a part of what it came from can give another one.
/// `is_referenced`: an accepted event here comes after this one already, because it names it, or
/// names one that does and that is not accepted itself. Then this one is no forward extremity, and
/// whatever its verdict, those before it no longer are.
///
/// # Errors
///
/// [`Undecided`], and what has to be done first.
pub fn decide(
    view: &impl View,
    head: &Head<'_>,
    event: &Event,
    given: &[(OwnedEventId, State)],
    mode: Mode,
    is_referenced: bool,
) -> Result<Decision, Undecided> {
    let auth = named(view, &event.pdu.auth_events);
    let prev = named(view, &event.pdu.prev_events);
    let (auth, prev) = (auth?, prev?);
    let creates = event.num == head.create;
    let (before, waits) = match creates {
        true => (Vec::new(), Vec::new()),
        false => before(event, &prev, given),
    };
    let auth_nums: Box<[Num]> =
        auth.iter().filter_map(|it| it.1.as_ref()).map(|it| it.num).collect();
    let refusal = match by_auth_events(view, head.rules, head.create, event, &auth)? {
        ByAuth::Unknown(unknown) => return Err(Undecided::Waits { auth: unknown, prev: waits }),
        ByAuth::Allowed => None,
        ByAuth::Refused(reason) => Some(reason),
    };
    let is_stateful = |it: &Arc<Event>| it.states.is_some();
    let all_stateful = creates || prev.iter().all(|it| it.1.as_ref().is_some_and(is_stateful));
    if refusal.is_none() && mode != Mode::Own {
        outliers::none_first(view, &event.pdu, &auth, all_stateful)?;
    }
    // Every other event builds on the one that begins the room.
    let is_referenced = is_referenced || creates && !head.extremities.is_empty();
    let circumstances = Circumstances { mode, is_referenced };
    let rejected = |reason, before| {
        let verdict = (Verdict::Rejected, Some(reason));
        conclude(view, head, event, auth_nums.clone(), before, verdict, circumstances)
    };
    if !waits.is_empty() || before.is_empty() && !creates {
        return match refusal {
            Some(reason) => Ok(rejected(reason, None)?),
            None => Err(Undecided::Waits { auth: Vec::new(), prev: waits }),
        };
    }
    let prev_nums: Vec<Num> = prev.iter().filter_map(|it| it.1.as_ref()).map(|it| it.num).collect();
    let all_known = prev_nums.len() == prev.len();
    let before = match (creates, all_known && extremities::is_head(head, &prev_nums)) {
        (true, _) => State::from(StateAt::default()),
        (false, true) => State::from(head.current),
        (false, false) => states::merge(view, head.rules, head.create, &before, head.current)?,
    };
    let refusal = match refusal {
        Some(reason) => Some(reason),
        None => by_state(view, head, event, &auth_nums, &before)?,
    };
    if let Some(reason) = refusal {
        return Ok(rejected(reason, Some(before))?);
    }
    let current = match (mode, all_stateful) {
        (Mode::Live | Mode::Own, true) => State::from(head.current),
        // What led to the event is missing here, so the current state does not have it yet.
        (Mode::Live | Mode::Own, false) => {
            let both = [head.current.into(), before.clone()];
            states::merge(view, head.rules, head.create, &both, head.current)?
        }
        (Mode::History | Mode::Rejoin, _) => before.clone(),
    };
    let soft_failed = match before == current {
        true => None,
        false => by_state(view, head, event, &auth_nums, &current)?,
    };
    let verdict = match soft_failed {
        Some(reason) => (Verdict::SoftFailed, Some(reason)),
        None => (Verdict::Accepted, None),
    };
    Ok(conclude(view, head, event, auth_nums, Some(before), verdict, circumstances)?)
}

/// The states after the events before an event, and the events of which there is none.
fn before(
    event: &Event,
    prev: &Named<'_>,
    given: &[(OwnedEventId, State)],
) -> (Vec<State>, Vec<OwnedEventId>) {
    let given = |id: &OwnedEventId| given.iter().find(|it| it.0 == *id).map(|it| it.1.clone());
    let mut states = Vec::with_capacity(prev.len());
    let mut waits = Vec::new();
    for (id, event) in prev {
        let known = event.as_ref().and_then(|it| it.states);
        match known.map(|it| it.after.into()).or_else(|| given(id)) {
            Some(state) => states.push(state),
            None => waits.push((*id).clone()),
        }
    }
    match given(&event.pdu.event_id) {
        Some(state) if !waits.is_empty() => (vec![state], Vec::new()),
        _ => (states, waits),
    }
}

/// Checks 5 and 6: by a state. The reason, when the state does not allow the event.
///
/// `auth` are the events that it names and that allow it. A state that has the same for it says no
/// more than they do, and is that of most events.
fn by_state(
    view: &impl View,
    head: &Head<'_>,
    event: &Event,
    auth: &[Num],
    state: &State,
) -> Result<Option<String>, Incomplete> {
    let mut gather = Gather::default();
    let in_state: Vec<Num> = (event.needs.iter())
        .filter_map(|key| gather.take(lookup(view, state, *key)).flatten())
        .collect();
    // The create event authorizes all, named or not.
    let besides_create = |it: &[Num]| -> BTreeSet<Num> {
        it.iter().copied().filter(|it| *it != head.create).collect()
    };
    if gather.done().is_ok() && besides_create(&in_state) == besides_create(auth) {
        return Ok(None);
    }
    let needed: Vec<_> =
        in_state.into_iter().filter_map(|num| gather.take(view.event(num))).collect();
    let create = match event.num == head.create {
        true => None,
        false => gather.take(view.event(head.create)),
    };
    gather.done()?;
    let checked = check_by_state(head.rules, event, &needed, create.as_deref());
    Ok(checked.err().map(|it| it.to_string()))
}

/// How an event comes, and whether an accepted event reaches it.
#[derive(Clone, Copy)]
struct Circumstances {
    mode: Mode,
    is_referenced: bool,
}

/// The decision, once there is a verdict: the state after the event, and what becomes of the room.
fn conclude(
    view: &impl View,
    head: &Head<'_>,
    event: &Event,
    auth: Box<[Num]>,
    before: Option<State>,
    (verdict, reason): (Verdict, Option<String>),
    circumstances: Circumstances,
) -> Result<Decision, Incomplete> {
    let after = match (event.key, &before) {
        (Some(key), Some(before)) if verdict != Verdict::Rejected => {
            let mut after = before.clone();
            after.changes.insert(key, Some(event.num));
            Some(after)
        }
        _ => None,
    };
    let own = after.clone().or_else(|| before.clone());
    let withdrawal = match verdict {
        Verdict::Rejected => outliers::withdrawal(view, event, &auth, before.as_ref())?,
        Verdict::Accepted | Verdict::SoftFailed => None,
    };
    let mut decision = Decision {
        verdict,
        reason,
        auth,
        before,
        after: after.map_or(After::SameAsBefore, After::Other),
        extremities: head.extremities.to_vec(),
        current_changes: BTreeMap::new(),
        withdrawal,
    };
    let advances = verdict == Verdict::Accepted && circumstances.mode != Mode::History;
    if !advances && !circumstances.is_referenced && withdrawal.is_none() {
        return Ok(decision);
    }
    let add = advances && !circumstances.is_referenced;
    let extremities = match (advances, circumstances.mode) {
        (true, Mode::Rejoin) => vec![event.num],
        _ if !advances && !circumstances.is_referenced => head.extremities.to_vec(),
        _ => extremities::after(view, head, event, add)?,
    };
    if extremities == head.extremities && withdrawal.is_none() {
        return Ok(decision);
    }
    let (num, key) = (event.num, event.key);
    let event = Event { auth: decision.auth.clone(), verdict, ..event.clone() };
    let known = ViewWith::new(view, Arc::new(event), withdrawal);
    let current = match withdrawal {
        Some(_) => current_without(&known, head, &extremities)?,
        None => current(&known, head, &extremities, num, own.as_ref())?,
    };
    decision.extremities = extremities;
    decision.current_changes = states::changes(&known, head.current, &current)?;
    if let (Some(_), Some(key)) = (withdrawal, key)
        && view.state(head.current, key).ok_or(Incomplete)? == Some(num)
    {
        let instead = lookup(&known, &current, key).ok_or(Incomplete)?;
        decision.current_changes.insert(key, (Some(num), instead));
    }
    if Some(&current) == own.as_ref() && matches!(decision.after, After::Other(_)) {
        decision.after = After::Current;
    }
    Ok(decision)
}

/// The current state: that of all forward extremities, resolved. `own` is the state after the
/// event with number `num`, which is not stored yet.
///
/// What leaves every fork's state as it was, as a message does, leaves the current state as it was.
fn current(
    view: &impl View,
    head: &Head<'_>,
    extremities: &[Num],
    num: Num,
    own: Option<&State>,
) -> Result<State, Incomplete> {
    let mut gather = Gather::default();
    let mut after = |num: Num| {
        let event = gather.take(view.event(num))?;
        event.states.map(|it| State::from(it.after))
    };
    let before: Vec<State> = head.extremities.iter().filter_map(|it| after(*it)).collect();
    let states: Vec<State> = extremities
        .iter()
        .filter_map(|it| if *it == num { own.cloned() } else { after(*it) })
        .collect();
    gather.done()?;
    let stored = |it: &State| it.changes.is_empty().then_some(it.base);
    let forks = |states: &[State]| states.iter().map(stored).collect::<Option<BTreeSet<StateAt>>>();
    if !states.is_empty() && forks(&states).is_some_and(|it| Some(it) == forks(&before)) {
        return Ok(head.current.into());
    }
    states::merge(view, head.rules, head.create, &states, head.current)
}

/// The current state without an event that was part of a state and is rejected, as `view` knows.
/// It is resolved anew even if that event is in no fork: it may authorize what is.
fn current_without(
    view: &impl View,
    head: &Head<'_>,
    extremities: &[Num],
) -> Result<State, Incomplete> {
    let mut gather = Gather::default();
    let events: Vec<_> = extremities.iter().filter_map(|it| gather.take(view.event(*it))).collect();
    gather.done()?;
    let states: Vec<State> =
        events.iter().filter_map(|it| it.states).map(|it| it.after.into()).collect();
    states::merge(view, head.rules, head.create, &states, head.current)
}
