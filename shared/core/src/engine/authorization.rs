//! The authorization rules over events as a room knows them ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#authorization-rules

use std::sync::Arc;

use ruma::{
    EventId, OwnedEventId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
};

use super::{Event, Incomplete, Num, Verdict, View, gather::Gather};
use crate::authorize::{self, Refusal};

/// Events that an event names, and those of them that the room knows.
pub(super) type Named<'a> = Vec<(&'a OwnedEventId, Option<Arc<Event>>)>;

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
    event: &Event,
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

/// Checks an event by its auth events alone: that they are the right ones, and that as a state
/// they allow it. `auth` are all of them; `create` is the room's create event.
fn check_by_auth_events(
    rules: &RoomVersionRules,
    event: &Event,
    auth: &[Arc<Event>],
    create: Option<&Event>,
) -> Result<(), Refusal> {
    let by_id = |id: &EventId| {
        auth.iter()
            .map(|it| &**it)
            .chain(create)
            .find(|it| it.pdu.event_id == id)
            .map(|it| (&*it.pdu, it.verdict == Verdict::Rejected))
    };
    authorize::check_auth_events(&event.pdu, by_id, rules)?;
    check_by_state(rules, event, auth, create)
}

/// Checks an event by a state, of which `state` is what it needs. A rejected event is never part
/// of a state, whoever says so; the room's create event always is.
pub(super) fn check_by_state(
    rules: &RoomVersionRules,
    event: &Event,
    state: &[Arc<Event>],
    create: Option<&Event>,
) -> Result<(), Refusal> {
    let by_key = |event_type: &StateEventType, state_key: &str| {
        if *event_type == StateEventType::RoomCreate {
            return create.map(|it| &*it.pdu);
        }
        let not_rejected = state.iter().filter(|it| it.verdict != Verdict::Rejected);
        authorize::find_in_state(not_rejected.map(|it| &*it.pdu), event_type, state_key)
    };
    authorize::check_by_state(&event.pdu, by_key, rules)
}
