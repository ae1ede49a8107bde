//! Which state an event needs, and whether that state allows it ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#authorization-rules

use std::sync::Arc;

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, RoomVersionId, UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::{
        self, auth_types_for_event, check_state_dependent_auth_rules,
        check_state_independent_auth_rules,
    },
};
use serde::Deserialize;
use serde_json::value::RawValue as RawJsonValue;

use crate::{pdu::Pdu, room_version};

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

/// Whether state events of a type can authorize others.
pub fn authorizes(event_type: &str) -> bool {
    matches!(
        StateEventType::from(event_type),
        StateEventType::RoomCreate
            | StateEventType::RoomPowerLevels
            | StateEventType::RoomJoinRules
            | StateEventType::RoomMember
            | StateEventType::RoomThirdPartyInvite
    )
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
    check_auth_events(
        event,
        |id| state.iter().find(|(_, it)| it.event_id == id).map(|(_, it)| (&**it, false)),
        rules,
    )?;
    let by_key = |event_type: &StateEventType, key: &str| {
        let event_type = event_type.to_string();
        state.iter().find(|(it, _)| it.0 == event_type && it.1 == key).map(|(_, it)| &**it)
    };
    check_by_state(event, by_key, rules)
}

/// Checks what does not depend on a state: a create event, and for every other event which events
/// it names as those that authorize it.
///
/// `find` knows these events and, where it is named by the room ID, the create event, each with
/// whether it was rejected.
///
/// # Errors
///
/// [`Refusal::Forbidden`], with the rule that failed.
pub fn check_auth_events<'a>(
    event: &Pdu,
    find: impl Fn(&EventId) -> Option<(&'a Pdu, bool)>,
    rules: &RoomVersionRules,
) -> Result<(), Refusal> {
    if event.event_type == TimelineEventType::RoomCreate {
        check_room_version(event)?;
    }
    let find = |id: &EventId| find(id).map(|(pdu, rejected)| Judged { pdu, rejected });
    check_state_independent_auth_rules(&rules.authorization, event, find)
        .map_err(Refusal::Forbidden)
}

/// Checks an event against a state: the one its auth events make, the one before it, or the
/// current one.
///
/// # Errors
///
/// [`Refusal::Forbidden`], with the rule that failed.
pub fn check_by_state<'a>(
    event: &Pdu,
    fetch: impl Fn(&StateEventType, &str) -> Option<&'a Pdu>,
    rules: &RoomVersionRules,
) -> Result<(), Refusal> {
    check_state_dependent_auth_rules(&rules.authorization, event, fetch).map_err(Refusal::Forbidden)
}

/// The event of a key among these, which are a state or what of it an event needs: of those types
/// of which the rules ask.
pub(crate) fn find_in_state<'a>(
    mut state: impl Iterator<Item = &'a Pdu>,
    event_type: &StateEventType,
    state_key: &str,
) -> Option<&'a Pdu> {
    let event_type = match event_type {
        StateEventType::RoomCreate => TimelineEventType::RoomCreate,
        StateEventType::RoomMember => TimelineEventType::RoomMember,
        StateEventType::RoomPowerLevels => TimelineEventType::RoomPowerLevels,
        StateEventType::RoomJoinRules => TimelineEventType::RoomJoinRules,
        StateEventType::RoomThirdPartyInvite => TimelineEventType::RoomThirdPartyInvite,
        _ => return None,
    };
    state.find(|it| it.state_key.as_deref() == Some(state_key) && it.event_type == event_type)
}

/// "If `content.room_version` is present and is not a recognised version, reject." ruma leaves this
/// rule to its caller.
fn check_room_version(create: &Pdu) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Content {
        room_version: Option<RoomVersionId>,
    }
    let content: Content = serde_json::from_str(create.content.get())
        .map_err(|it| Refusal::Forbidden(format!("`room_version`: {it}")))?;
    match content.room_version {
        Some(version) if room_version::rules(&version).is_none() => {
            Err(Refusal::Forbidden(format!("room version {version} is not recognized")))
        }
        Some(_) | None => Ok(()),
    }
}

/// An event and what became of it.
struct Judged<'a> {
    pdu: &'a Pdu,
    rejected: bool,
}

impl state_res::Event for Judged<'_> {
    type Id = OwnedEventId;

    fn event_id(&self) -> &Self::Id {
        &self.pdu.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.pdu.room_id()
    }

    fn sender(&self) -> &UserId {
        &self.pdu.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.pdu.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.pdu.event_type
    }

    fn content(&self) -> &RawJsonValue {
        &self.pdu.content
    }

    fn state_key(&self) -> Option<&str> {
        self.pdu.state_key()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        self.pdu.prev_events()
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        self.pdu.auth_events()
    }

    fn redacts(&self) -> Option<&Self::Id> {
        self.pdu.redacts()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}
