//! What becomes of an event: the checks performed on receipt of a PDU that need the room
//! ([spec], checks 4 to 6).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedEventId, events::TimelineEventType, room_version_rules::RoomVersionRules};

use super::{
    Incomplete, KeyId, Known, Num, State, StateAt, Verdict, View,
    authorization::{check_by_auth_events, check_by_state},
    extremities, outliers,
    pending::Pending,
    states::{self, Change, Gather, lookup},
};

/// A room at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The rules of its version.
    pub rules: &'a RoomVersionRules,
    /// Its create event. While a room is made: the number that its first event is given.
    pub create: Num,
    /// Its forward extremities: accepted events that no other accepted event names as before it.
    pub extremities: &'a [Num],
    /// Its current state: that of all forward extremities, resolved.
    pub current: StateAt,
}

/// Why there is no decision yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The view noted what to load; then ask again.
    Incomplete,
    /// Other events come first.
    Waits {
        /// Auth events that are not known: needed, as outliers.
        auth: Vec<OwnedEventId>,
        /// Events before this one that are not known, or of which no state is known.
        prev: Vec<OwnedEventId>,
    },
    /// These outliers come first, in this order: they come before the event and all that leads to
    /// them has a state, so that they can be decided as any event. No told state is believed about
    /// what is here.
    Outliers(Vec<OwnedEventId>),
}

impl From<Incomplete> for Undecided {
    fn from(_: Incomplete) -> Self {
        Self::Incomplete
    }
}

/// How an event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it happens.
    Live,
    /// Backfilled: it changes neither the extremities nor the current state, and the current
    /// state is not asked about it.
    History,
    /// The join with which this server comes back to a room that all its users had left: what it
    /// has of the room's present is out of date, and the current state is not asked about it. The
    /// event becomes the only forward extremity, and the state after it the current state.
    Rejoin,
}

/// The state after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The state before it.
    SameAsBefore,
    /// The new current state.
    Current,
    /// Neither.
    Other(State),
}

/// What becomes of an event.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is not accepted.
    pub reason: Option<String>,
    /// The auth events it names, as far as they are known. Not all may be when it is rejected.
    pub auth: Box<[Num]>,
    /// The state before it. None only for a rejected event whose state cannot be had: it is
    /// remembered as an outlier.
    pub before: Option<State>,
    /// The state after it.
    pub after: After,
    /// The room's forward extremities from here on.
    pub extremities: Vec<Num>,
    /// What changes in the current state, relative to [`Head::current`].
    pub current_changes: BTreeMap<KeyId, Change>,
}

/// Decides an event. Nothing changes: the decision is for the host to write.
///
/// `event` comes with its number, and whatever verdict and states. `given` are states as a peer
/// told them, whose events the host has stored as outliers: after events that are not here; or,
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
    event: &Known,
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
    let is_stateful = |it: &Arc<Known>| it.states.is_some();
    let all_stateful = creates || prev.iter().all(|it| it.1.as_ref().is_some_and(is_stateful));
    if refusal.is_none() && !all_stateful {
        let outliers = outliers::judgeable_before(view, &event.pdu)?;
        if !outliers.is_empty() {
            return Err(Undecided::Outliers(outliers));
        }
    }
    // Every other event builds on the one that begins the room.
    let is_referenced = is_referenced || creates && !head.extremities.is_empty();
    let standing = Standing { mode, is_referenced };
    let rejected = |reason, before| {
        let verdict = (Verdict::Rejected, Some(reason));
        settle(view, head, event, auth_nums.clone(), before, verdict, standing)
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
        None => by_state(view, head, event, &before)?,
    };
    if let Some(reason) = refusal {
        return Ok(rejected(reason, Some(before))?);
    }
    let current = match (mode, all_stateful) {
        (Mode::Live, true) => State::from(head.current),
        // What led to the event is missing here, so the current state does not have it yet.
        (Mode::Live, false) => {
            let both = [head.current.into(), before.clone()];
            states::merge(view, head.rules, head.create, &both, head.current)?
        }
        (Mode::History | Mode::Rejoin, _) => before.clone(),
    };
    let soft_failed = match before == current {
        true => None,
        false => by_state(view, head, event, &current)?,
    };
    let verdict = match soft_failed {
        Some(reason) => (Verdict::SoftFailed, Some(reason)),
        None => (Verdict::Accepted, None),
    };
    Ok(settle(view, head, event, auth_nums, Some(before), verdict, standing)?)
}

/// Events that an event names, and those of them that the room knows.
type Named<'a> = Vec<(&'a OwnedEventId, Option<Arc<Known>>)>;

/// Finds the events that an event names.
pub(super) fn named<'a>(
    view: &impl View,
    ids: &'a [OwnedEventId],
) -> Result<Named<'a>, Incomplete> {
    let mut gather = Gather::default();
    let mut events = Vec::with_capacity(ids.len());
    for id in ids {
        match gather.take(view.find(id)) {
            Some(Some(num)) => {
                events.extend(gather.take(view.event(num)).map(|it| (id, Some(it))));
            }
            Some(None) => events.push((id, None)),
            None => {}
        }
    }
    gather.done().map(|()| events)
}

/// The states after the events before an event, and the events of which there is none.
fn before(
    event: &Known,
    prev: &Named<'_>,
    given: &[(OwnedEventId, State)],
) -> (Vec<State>, Vec<OwnedEventId>) {
    let given = |id: &OwnedEventId| given.iter().find(|it| it.0 == *id).map(|it| it.1.clone());
    let mut states = Vec::with_capacity(prev.len());
    let mut waits = Vec::new();
    for (id, known) in prev {
        let known = known.as_ref().and_then(|it| it.states);
        match known.map(|it| it.after.into()).or_else(|| given(id)) {
            Some(state) => states.push(state),
            None => waits.push((*id).clone()),
        }
    }
    match given(&event.pdu.event_id) {
        Some(told) if !waits.is_empty() => (vec![told], Vec::new()),
        _ => (states, waits),
    }
}

/// What an event's auth events say.
pub(super) enum ByAuth {
    Allowed,
    Refused(String),
    /// These have to be known first.
    Unknown(Vec<OwnedEventId>),
}

/// Check 4: by the auth events. What no further event can change is refused at once.
pub(super) fn by_auth_events(
    view: &impl View,
    rules: &RoomVersionRules,
    create: Num,
    event: &Known,
    auth: &Named<'_>,
) -> Result<ByAuth, Incomplete> {
    let refused = |it: &str| Ok(ByAuth::Refused(it.to_owned()));
    if event.malformed {
        return refused("the content breaks the rules of its type");
    }
    let is_create = event.pdu.event_type == TimelineEventType::RoomCreate;
    if is_create != (event.num == create) || is_create && event.pdu.state_key.as_deref() != Some("")
    {
        return refused("a room has one create event, which is its first event");
    }
    if is_create {
        return Ok(match check_by_auth_events(rules, event, &[], None) {
            _ if !event.pdu.auth_events.is_empty() => {
                ByAuth::Refused("a create event has no auth events".to_owned())
            }
            Ok(()) => ByAuth::Allowed,
            Err(refusal) => ByAuth::Refused(refusal.to_string()),
        });
    }
    if event.pdu.prev_events.is_empty() {
        return refused("only the create event has no events before it");
    }
    let create = view.event(create).ok_or(Incomplete)?;
    if create.pdu.room_id != event.pdu.room_id {
        return refused("the event is of another room");
    }
    let known = || auth.iter().filter_map(|it| it.1.as_ref());
    if let Some(it) = known().find(|it| it.verdict == Verdict::Rejected) {
        return Ok(ByAuth::Refused(format!("rejected auth event {}", it.pdu.event_id)));
    }
    let unknown: Vec<_> = auth.iter().filter(|it| it.1.is_none()).map(|it| it.0.clone()).collect();
    if !unknown.is_empty() {
        return Ok(ByAuth::Unknown(unknown));
    }
    let auth: Vec<_> = known().cloned().collect();
    Ok(match check_by_auth_events(rules, event, &auth, Some(&create)) {
        Ok(()) => ByAuth::Allowed,
        Err(refusal) => ByAuth::Refused(refusal.to_string()),
    })
}

/// Checks 5 and 6: by a state. The reason, when the state does not allow the event.
fn by_state(
    view: &impl View,
    head: &Head<'_>,
    event: &Known,
    state: &State,
) -> Result<Option<String>, Incomplete> {
    let mut gather = Gather::default();
    let mut needed = Vec::with_capacity(event.needs.len());
    for key in &event.needs {
        if let Some(Some(num)) = gather.take(lookup(view, state, *key)) {
            needed.extend(gather.take(view.event(num)));
        }
    }
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
struct Standing {
    mode: Mode,
    is_referenced: bool,
}

/// The decision, once there is a verdict: the state after the event, and what becomes of the room.
fn settle(
    view: &impl View,
    head: &Head<'_>,
    event: &Known,
    auth: Box<[Num]>,
    before: Option<State>,
    (verdict, reason): (Verdict, Option<String>),
    standing: Standing,
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
    let mut decision = Decision {
        verdict,
        reason,
        auth,
        before,
        after: after.map_or(After::SameAsBefore, After::Other),
        extremities: head.extremities.to_vec(),
        current_changes: BTreeMap::new(),
    };
    let advances = verdict == Verdict::Accepted && standing.mode != Mode::History;
    if !advances && !standing.is_referenced {
        return Ok(decision);
    }
    let add = advances && !standing.is_referenced;
    let extremities = match advances && standing.mode == Mode::Rejoin {
        true => vec![event.num],
        false => extremities::after(view, head, event, add)?,
    };
    if extremities == head.extremities {
        return Ok(decision);
    }
    let num = event.num;
    let event = Known { auth: decision.auth.clone(), verdict, ..event.clone() };
    let view = Pending::new(view, Arc::new(event));
    let current = current(&view, head, &extremities, num, own.as_ref())?;
    decision.extremities = extremities;
    decision.current_changes = states::changes(&view, head.current, &current)?;
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
