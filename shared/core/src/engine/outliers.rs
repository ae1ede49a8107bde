//! Outliers: what becomes of them, and which of them can be judged by the state before them.

use std::collections::HashSet;

use ruma::{OwnedEventId, room_version_rules::RoomVersionRules};

use super::{
    Event, Incomplete, Num, Verdict, View,
    authorization::{ByAuth, by_auth_events, named},
    decision::Undecided,
    states::Gather,
};
use crate::Pdu;

/// What becomes of an outlier: the verdict, why it is not accepted, and the auth events it names.
pub type OutlierDecision = (Verdict, Option<String>, Box<[Num]>);

/// How many outliers are looked at for one event. Whoever sends more of them in a row could as
/// well have withheld one.
const MAX_OUTLIERS: usize = 100;

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
        ByAuth::Allowed => Ok((Verdict::Accepted, None, nums)),
        ByAuth::Refused(reason) => Ok((Verdict::Rejected, Some(reason), nums)),
    }
}

/// The outliers through which an event builds on events with states, so that each has one as well
/// once those it builds on have been judged: in that order. What is rejected stays so, and has a
/// state that others build on.
pub(super) fn judgeable_before(
    view: &impl View,
    event: &Pdu,
) -> Result<Vec<OwnedEventId>, Incomplete> {
    let mut gather = Gather::default();
    let (mut judgeable, mut seen, mut have_state) = (Vec::new(), HashSet::new(), HashSet::new());
    // An outlier is met before those that it builds on, and once more after them.
    let mut todo: Vec<_> = event.prev_events.iter().map(|id| (id.clone(), false)).collect();
    while let Some((id, is_second)) = todo.pop() {
        let Some(found) = gather.take(view.find(&id)) else { continue };
        let Some(before) = found.and_then(|num| gather.take(view.event(num))) else { continue };
        let prev = &before.pdu.prev_events;
        if before.states.is_some() {
            have_state.insert(id);
        } else if prev.is_empty() {
            // A create event has its state with the history that it begins.
        } else if is_second {
            if prev.iter().all(|it| have_state.contains(it)) {
                have_state.insert(id.clone());
                judgeable.push(id);
            }
        } else if seen.len() < MAX_OUTLIERS && seen.insert(before.num) {
            todo.push((id, true));
            todo.extend(prev.iter().map(|it| (it.clone(), false)));
        }
    }
    gather.done().map(|()| judgeable)
}
