//! The authorization rules over events as a room knows them ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#authorization-rules

use std::sync::Arc;

use ruma::{
    EventId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
};

use super::{Known, Verdict};
use crate::authorize::{self, Refusal};

/// Checks an event by its auth events alone: that they are the right ones, and that as a state
/// they allow it. `auth` are all of them; `create` is the room's create event.
pub(super) fn check_by_auth_events(
    rules: &RoomVersionRules,
    event: &Known,
    auth: &[Arc<Known>],
    create: Option<&Known>,
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
    event: &Known,
    state: &[Arc<Known>],
    create: Option<&Known>,
) -> Result<(), Refusal> {
    let by_key = |event_type: &StateEventType, state_key: &str| {
        if *event_type == StateEventType::RoomCreate {
            return create.map(|it| &*it.pdu);
        }
        let event_type = TimelineEventType::from(event_type.to_string());
        state
            .iter()
            .find(|it| {
                it.verdict != Verdict::Rejected
                    && it.pdu.event_type == event_type
                    && it.pdu.state_key.as_deref() == Some(state_key)
            })
            .map(|it| &*it.pdu)
    };
    authorize::check_by_state(&event.pdu, by_key, rules)
}
