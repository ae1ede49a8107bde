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
    decision::{After, Circumstances, Decision, Given, Head, Mode, Undecided},
    extremities,
    gather::Gather,
    outliers,
    states::{self, is_of_room, lookup, none_lacks},
    view_with::ViewWith,
};
use crate::policy;

/// Decides an event, which comes with its number, and whatever verdict and states. Nothing changes:
/// the decision is for the host to write.
///
/// # Errors
///
/// [`Undecided`], and what has to be done first.
pub fn decide(
    view: &impl View,
    head: &Head<'_>,
    event: &Event,
    circumstances: Circumstances<'_>,
) -> Result<Decision, Undecided> {
    let auth = named(view, &event.pdu.auth_events);
    let prev = named(view, &event.pdu.prev_events);
    let told = told(view, head, event, circumstances.given)?;
    let names = Names { auth: auth?, prev: prev?, told };
    let decision = judge(view, head, event, &names, circumstances)?;
    match decision.verdict {
        Verdict::Rejected if names.by_hearsay() => Err(Undecided::Hearsay(names.stateless())),
        _ => Ok(decision),
    }
}

/// What a peer has told of the state before an event. One that has not the room's create event is
/// of no room.
fn told<'a>(
    view: &impl View,
    head: &Head<'_>,
    event: &Event,
    given: &'a [Given],
) -> Result<Option<&'a Given>, Incomplete> {
    let Some(told) = given.iter().find(|it| it.before == event.pdu.event_id) else {
        return Ok(None);
    };
    Ok(is_of_room(view, head, &told.state)?.then_some(told))
}

/// The events that an event names, and the state before it that was told.
struct Names<'a> {
    auth: Named<'a>,
    prev: Named<'a>,
    told: Option<&'a Given>,
}

impl Names<'_> {
    /// The events before it that are not here, or of which no state is known.
    fn stateless(&self) -> Vec<OwnedEventId> {
        let is_stateless =
            |it: &Option<Arc<Event>>| it.as_ref().is_none_or(|it| it.states.is_none());
        let stateless = self.prev.iter().filter(|it| is_stateless(&it.1));
        stateless.map(|it| it.0.clone()).collect()
    }

    /// Whether nothing but hearsay says what the state before the event is.
    fn by_hearsay(&self) -> bool {
        self.told.is_some_and(|it| it.is_hearsay) && !self.stateless().is_empty()
    }

    fn auth_nums(&self) -> Box<[Num]> {
        nums(&self.auth).collect()
    }
}

fn nums(named: &Named<'_>) -> impl Iterator<Item = Num> {
    named.iter().filter_map(|it| it.1.as_ref()).map(|it| it.num)
}

/// Decides an event by what is known of it, hearsay included.
fn judge(
    view: &impl View,
    head: &Head<'_>,
    event: &Event,
    names: &Names<'_>,
    circumstances: Circumstances<'_>,
) -> Result<Decision, Undecided> {
    let creates = event.num == head.create;
    // What was before the join is judged by states that peers tell: those say what they have not.
    let unverified = if circumstances.mode == Mode::History { &[] } else { head.unverified };
    let head = &Head { unverified, ..*head };
    let (before, waits) = match creates {
        true => (Vec::new(), Vec::new()),
        false => before(names, circumstances.mode),
    };
    let refusal = match by_auth_events(view, head.rules, head.create, event, &names.auth)? {
        ByAuth::Unknown(unknown) => return Err(Undecided::Waits { auth: unknown, prev: waits }),
        ByAuth::Allowed => None,
        ByAuth::Refused(reason) => Some(reason),
    };
    let all_stateful = creates || names.stateless().is_empty();
    if refusal.is_none() && circumstances.mode != Mode::Own {
        outliers::none_first(view, &event.pdu, &names.auth, all_stateful)?;
    }
    // Every other event builds on the one that begins the room.
    let is_referenced = circumstances.is_referenced || creates && !head.extremities.is_empty();
    let circumstances = Circumstances { is_referenced, ..circumstances };
    let auth = names.auth_nums();
    if !waits.is_empty() || before.is_empty() && !creates {
        return match refusal {
            Some(reason) => {
                let verdict = (Verdict::Rejected, Some(reason));
                conclude(view, head, event, auth, None, verdict, circumstances)
            }
            None => Err(Undecided::Waits { auth: Vec::new(), prev: waits }),
        };
    }
    let (forks, before) = match (creates, is_after_all(head, &names.prev)) {
        (true, _) => (Vec::new(), State::from(StateAt::default())),
        (false, true) => (vec![head.current.into()], State::from(head.current)),
        (false, false) => {
            let merged = states::merge(view, head, &before)?;
            (before, merged)
        }
    };
    let refusal = match refusal {
        Some(reason) => Some(reason),
        None => {
            none_lacks(view, head.unverified, &forks, |it| event.needs.contains(&it))?;
            by_state(view, head, event, &auth, &before)?
        }
    };
    // An outlier is from before: what could not be verified may build on it, and waits for it.
    let is_here = view.find(&event.pdu.event_id).ok_or(Incomplete)?.is_some();
    let head = &Head { unverified: if is_here { &[] } else { head.unverified }, ..*head };
    let verdict = match refusal {
        Some(reason) => (Verdict::Rejected, Some(reason)),
        None => {
            let current = current_before(view, head, &before, circumstances.mode, all_stateful)?;
            let recommended = circumstances.is_recommended;
            match soft_failure(view, head, (event, &auth), (&before, &current), recommended)? {
                Some(reason) => (Verdict::SoftFailed, Some(reason)),
                None => (Verdict::Accepted, None),
            }
        }
    };
    conclude(view, head, event, auth, Some(before), verdict, circumstances)
}

/// Whether these are the room's forward extremities, all of them and all known.
fn is_after_all(head: &Head<'_>, prev: &Named<'_>) -> bool {
    let known: Vec<Num> = nums(prev).collect();
    known.len() == prev.len() && extremities::is_head(head, &known)
}

/// The current state that an event is held against.
fn current_before(
    view: &impl View,
    head: &Head<'_>,
    before: &State,
    mode: Mode,
    all_stateful: bool,
) -> Result<State, Undecided> {
    match (mode, all_stateful) {
        (Mode::Live | Mode::Own, true) => Ok(State::from(head.current)),
        // What led to the event is missing here, so the current state does not have it yet.
        (Mode::Live | Mode::Own, false) => {
            states::merge(view, head, &[head.current.into(), before.clone()])
        }
        (Mode::History | Mode::Rejoin, _) => Ok(before.clone()),
    }
}

/// Why an event is soft-failed that the state before it allows, if it is.
fn soft_failure(
    view: &impl View,
    head: &Head<'_>,
    (event, auth): (&Event, &[Num]),
    (before, current): (&State, &State),
    is_recommended: bool,
) -> Result<Option<String>, Undecided> {
    match (is_recommended, before == current) {
        (false, _) => Ok(Some(policy::NOT_RECOMMENDED.to_owned())),
        (true, true) => Ok(None),
        (true, false) => {
            none_lacks(view, head.unverified, &[head.current.into()], |it| {
                event.needs.contains(&it)
            })?;
            Ok(by_state(view, head, event, auth, current)?)
        }
    }
}

/// The states after the events before an event, and the events of which there is none.
///
/// What a peer says of the state before the event stands in for those alone of which none is known:
/// else whoever names an event that nobody has could have all forgotten that is known. Who comes
/// back to a room has forgotten it already.
fn before(names: &Names<'_>, mode: Mode) -> (Vec<State>, Vec<OwnedEventId>) {
    let mut states = Vec::with_capacity(names.prev.len());
    let mut waits = Vec::new();
    for (id, event) in &names.prev {
        match event.as_ref().and_then(|it| it.states) {
            Some(known) => states.push(known.after.into()),
            None => waits.push((*id).clone()),
        }
    }
    match names.told {
        Some(told) if !waits.is_empty() => {
            if mode == Mode::Rejoin {
                states.clear();
            }
            states.push(told.state.clone());
            (states, Vec::new())
        }
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

/// The decision, once there is a verdict: the state after the event, and what becomes of the room.
fn conclude(
    view: &impl View,
    head: &Head<'_>,
    event: &Event,
    auth: Box<[Num]>,
    before: Option<State>,
    (verdict, reason): (Verdict, Option<String>),
    circumstances: Circumstances<'_>,
) -> Result<Decision, Undecided> {
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
) -> Result<State, Undecided> {
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
    states::merge(view, head, &states)
}

/// The current state without an event that was part of a state and is rejected, as `view` knows.
/// It is resolved anew even if that event is in no fork: it may authorize what is.
fn current_without(
    view: &impl View,
    head: &Head<'_>,
    extremities: &[Num],
) -> Result<State, Undecided> {
    let mut gather = Gather::default();
    let events: Vec<_> = extremities.iter().filter_map(|it| gather.take(view.event(*it))).collect();
    gather.done()?;
    let states: Vec<State> =
        events.iter().filter_map(|it| it.states).map(|it| it.after.into()).collect();
    states::merge(view, head, &states)
}
