//! What an invitation or a knock shows of a room that is not here ([spec]).
//!
//! From room version 12 on it has to be events of the room, which say by themselves of which room
//! they are. Before, it may be what clients get, and nobody's word for it but that of the server
//! that sends it.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid

use ruma::{OwnedUserId, RoomId, room_version_rules::RoomVersionRules};
use serde::Deserialize;
use serde_json::{Map as JsonMap, Value as JsonValue, value::RawValue as RawJsonValue};

use crate::{
    Pdu, client_event,
    identifier::MAX_ID_BYTES,
    receipt::{self, Dropped, Keyring, Received, Unverified},
};

/// Events that may be shown of a room: other servers show ten.
pub const MAX_EVENTS: usize = 50;

/// Bytes of all of them as they come: one event of the largest size, and as much again.
pub const MAX_BYTES: usize = 2 * receipt::MAX_BYTES;

/// Why what is shown of a room is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShownError {
    /// More than anybody needs to know the room.
    #[error("at most {MAX_EVENTS} events and {MAX_BYTES} bytes are shown of a room")]
    TooMuch,
    /// One is no event of the room.
    #[error("what is shown of the room has an event that is none of it: {0}")]
    Event(#[from] Dropped),
    /// One is no state.
    #[error("what is shown of the room has an event that is no state")]
    NoState,
    /// The create event is missing.
    #[error("what is shown of the room does not have its m.room.create event")]
    NoCreate,
}

/// What becomes of what is shown of a room where an event of it has to be one of the room, signed
/// by its server, and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// All of it is refused: who invites can mend it.
    Refused,
    /// The event is left out: who has knocked has done so ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid
    LeftOut,
}

/// What is shown of a room, and whose word is still to be had for it.
#[derive(Debug)]
pub struct Shown {
    faults: Faults,
    events: Vec<Event>,
    /// The membership itself.
    own: Box<RawJsonValue>,
}

#[derive(Debug)]
struct Event {
    key: (String, String),
    stripped: Box<RawJsonValue>,
    received: Option<Received>,
}

/// Reads what comes with a membership event.
///
/// # Errors
///
/// See [`ShownError`]. In rooms of versions before 12 only [`ShownError::TooMuch`]: what is of no
/// use there is left out.
pub fn read(
    events: &[Box<RawJsonValue>],
    membership: &Pdu,
    rules: &RoomVersionRules,
    faults: Faults,
) -> Result<Shown, ShownError> {
    let bytes: usize = events.iter().map(|it| it.get().len()).sum();
    if events.len() > MAX_EVENTS || bytes > MAX_BYTES {
        return Err(ShownError::TooMuch);
    }
    let is_strict = rules.authorization.room_create_event_id_as_room_id;
    let read = |event: &RawJsonValue| match is_strict {
        true => match strict(event, &membership.room_id, rules) {
            Err(_) if faults == Faults::LeftOut => Ok(None),
            event => event.map(Some),
        },
        false => Ok(lax(event, &membership.room_id)),
    };
    let mut shown: Vec<Event> = Vec::with_capacity(events.len());
    let own_key = (membership.event_type.to_string(), membership.state_key.clone());
    for event in events {
        let Some(event) = read(event)? else { continue };
        let is_own = event.key.0 == own_key.0 && Some(&event.key.1) == own_key.1.as_ref();
        if !is_own && shown.iter().all(|it| it.key != event.key) {
            shown.push(event);
        }
    }
    if is_strict && faults == Faults::Refused && !shown.iter().any(is_create) {
        return Err(ShownError::NoCreate);
    }
    let own = client_event::strip(&membership.json).map_err(malformed)?;
    Ok(Shown { faults, events: shown, own })
}

impl Shown {
    /// Whether it consists of events whose servers have to have signed them.
    pub fn is_to_be_verified(&self) -> bool {
        self.events.iter().any(|it| it.received.is_some())
    }

    /// What clients get. What nobody knows of whom it is, because keys are missing, is left out.
    /// The create event is known by its hash.
    ///
    /// # Errors
    ///
    /// [`ShownError::Event`].
    pub fn believed(
        self,
        keys: &Keyring,
        rules: &RoomVersionRules,
    ) -> Result<Vec<Box<RawJsonValue>>, ShownError> {
        let mut believed = Vec::with_capacity(self.events.len() + 1);
        for event in self.events {
            let is_create = is_create(&event);
            match event.received.map(|it| receipt::verify(it, keys, rules)) {
                None | Some(Ok(_)) => believed.push(event.stripped),
                Some(Err(Unverified::NeedsKeys(_))) if is_create => believed.push(event.stripped),
                Some(Err(Unverified::Dropped(dropped))) if self.faults == Faults::Refused => {
                    return Err(dropped.into());
                }
                Some(Err(_)) => {}
            }
        }
        believed.push(self.own);
        Ok(believed)
    }
}

fn is_create(event: &Event) -> bool {
    event.key.0 == "m.room.create" && event.key.1.is_empty()
}

/// An event of the room.
fn strict(
    event: &RawJsonValue,
    room_id: &RoomId,
    rules: &RoomVersionRules,
) -> Result<Event, ShownError> {
    let received = receipt::read(event, room_id, rules)?;
    let pdu = &received.pdu;
    let key = pdu.state_key.clone().ok_or(ShownError::NoState)?;
    let stripped = client_event::strip(&pdu.json).map_err(malformed)?;
    Ok(Event { key: (pdu.event_type.to_string(), key), stripped, received: Some(received) })
}

/// What is shown to clients of an event, unless it says that it is of another room, or nothing.
fn lax(event: &RawJsonValue, room_id: &RoomId) -> Option<Event> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "type")]
        event_type: String,
        state_key: String,
        #[serde(rename = "sender")]
        _sender: OwnedUserId,
        #[serde(rename = "content")]
        _content: JsonMap<String, JsonValue>,
        room_id: Option<String>,
    }
    let fields: Fields = serde_json::from_str(event.get()).ok()?;
    let is_short =
        fields.event_type.len() <= MAX_ID_BYTES && fields.state_key.len() <= MAX_ID_BYTES;
    let is_here = fields.room_id.is_none_or(|it| it == room_id.as_str());
    let stripped = client_event::strip(event.get()).ok().filter(|_| is_short && is_here)?;
    Some(Event { key: (fields.event_type, fields.state_key), stripped, received: None })
}

fn malformed(error: impl std::fmt::Display) -> ShownError {
    ShownError::Event(Dropped::Format(error.to_string()))
}
