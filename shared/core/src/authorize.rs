//! Which state an event needs, and whether that state allows it ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#authorization-rules

use std::sync::Arc;

use ruma::{
    UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::{
        auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules,
    },
};
use serde_json::value::RawValue as RawJsonValue;

use crate::pdu::Pdu;

/// The key of a piece of state.
pub type StateKey = (String, String);

/// Why an event is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its content breaks the rules of its type.
    #[error("{0}")]
    Malformed(String),
    /// The state does not allow it.
    #[error("{0}")]
    Forbidden(String),
}

/// The state that an event of this shape is authorized by. The create event is always among it,
/// whether or not it belongs into `auth_events`.
///
/// # Errors
///
/// [`Refusal::Malformed`] when the content breaks the rules of its type.
pub fn needed_state(
    event_type: &str,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawJsonValue,
    rules: &RoomVersionRules,
) -> Result<Vec<StateKey>, Refusal> {
    let event_type = TimelineEventType::from(event_type);
    let rules = &rules.authorization;
    let types = auth_types_for_event(&event_type, sender, state_key, content, rules)
        .map_err(Refusal::Malformed)?;
    let mut keys: Vec<_> =
        types.into_iter().map(|(event_type, key)| (event_type.to_string(), key)).collect();
    let create = ("m.room.create".to_owned(), String::new());
    if !keys.contains(&create) {
        keys.push(create);
    }
    Ok(keys)
}

/// Whether a state event with this key belongs into `auth_events` when it is among
/// [`needed_state`]: all but the create event of rooms that it names.
pub fn is_auth_event(key: &StateKey, rules: &RoomVersionRules) -> bool {
    !(rules.authorization.room_create_event_id_as_room_id && key.0 == "m.room.create")
}

/// Checks an event by all authorization rules against the state before it.
///
/// `state` holds at least what [`needed_state`] names and the room has.
///
/// # Errors
///
/// [`Refusal::Forbidden`], with the rule that failed.
pub fn check(
    event: &Pdu,
    state: &[(StateKey, Arc<Pdu>)],
    rules: &RoomVersionRules,
) -> Result<(), Refusal> {
    let by_id = |id: &ruma::EventId| {
        state.iter().find(|(_, it)| it.event_id == id).map(|(_, it)| Arc::clone(it))
    };
    check_state_independent_auth_rules(&rules.authorization, event, by_id)
        .map_err(Refusal::Forbidden)?;
    let by_key = |event_type: &StateEventType, key: &str| {
        let event_type = event_type.to_string();
        state.iter().find(|(it, _)| it.0 == event_type && it.1 == key).map(|(_, it)| Arc::clone(it))
    };
    check_state_dependent_auth_rules(&rules.authorization, event, by_key)
        .map_err(Refusal::Forbidden)
}
