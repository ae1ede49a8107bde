//! The format of an event, by room version ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/v1/#event-format

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId,
    OwnedRoomId, OwnedUserId, RoomId, UInt, UserId,
    room_version_rules::{EventIdFormatVersion, EventsReferenceFormatVersion, RoomVersionRules},
};
use serde_json::value::RawValue as RawJsonValue;

use super::{Dropped, MAX_BYTES, malformed};
use crate::{
    Pdu,
    event_json::EventJson,
    identifier::MAX_ID_BYTES,
    pdu::{MAX_DEPTH, floats},
};

/// Bytes of an event as it comes, white space and escapes included, before it is looked at.
pub(super) const MAX_TEXT_BYTES: usize = 4 * MAX_BYTES;

/// Events that `auth_events` may name.
const MAX_AUTH_EVENTS: usize = 10;

/// Events that `prev_events` may name.
const MAX_PREV_EVENTS: usize = 20;

/// The fields of an event, each in its format.
pub(super) struct Fields<'a> {
    pub(super) event_id: OwnedEventId,
    pub(super) room_id: OwnedRoomId,
    pub(super) sender: OwnedUserId,
    pub(super) event_type: &'a str,
    pub(super) content: &'a CanonicalJsonObject,
    state_key: Option<&'a str>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: u64,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    redacts: Option<OwnedEventId>,
}

impl<'a> Fields<'a> {
    /// Reads them. `hash` is the event's reference hash.
    pub(super) fn of(
        event: &'a EventJson,
        hash: &[u8],
        rules: &RoomVersionRules,
    ) -> Result<Self, Dropped> {
        let object = Object { event, fields: &event.object };
        let event_type = object.string("type")?;
        object.object("signatures")?;
        let event_id = match rules.event_id_format {
            EventIdFormatVersion::V1 => EventId::parse(object.string("event_id")?),
            EventIdFormatVersion::V2 => {
                EventId::parse(format!("${}", STANDARD_NO_PAD.encode(hash)))
            }
            _ => EventId::parse(format!("${}", URL_SAFE_NO_PAD.encode(hash))),
        };
        let event_id = event_id.map_err(malformed)?;
        if rules.signatures.check_event_id_server && event_id.server_name().is_none() {
            return Err(malformed(format!("{event_id} names no server")));
        }
        let names_its_room =
            event_type == "m.room.create" && !rules.event_format.require_room_create_room_id;
        let room_id = match names_its_room && !event.object.contains_key("room_id") {
            true => RoomId::parse(format!("!{}", URL_SAFE_NO_PAD.encode(hash))),
            false => RoomId::parse(object.string("room_id")?),
        };
        Ok(Self {
            event_id,
            room_id: room_id.map_err(malformed)?,
            sender: UserId::parse(object.string("sender")?).map_err(malformed)?,
            event_type,
            content: object.object("content")?,
            state_key: object.optional_string("state_key")?,
            origin_server_ts: MilliSecondsSinceUnixEpoch(object.timestamp()?),
            depth: depth(event)?,
            prev_events: object.references("prev_events", MAX_PREV_EVENTS, rules)?,
            auth_events: object.references("auth_events", MAX_AUTH_EVENTS, rules)?,
            redacts: event.object.get("redacts").and_then(|it| EventId::parse(it.as_str()?).ok()),
        })
    }

    /// The event.
    pub(super) fn into_pdu(self, content: Box<RawJsonValue>, json: Box<str>) -> Pdu {
        let event_type = self.event_type.into();
        Pdu {
            event_id: self.event_id,
            room_id: self.room_id,
            sender: self.sender,
            origin_server_ts: self.origin_server_ts,
            content: floats::truncated(content, &event_type),
            event_type,
            state_key: self.state_key.map(str::to_owned),
            prev_events: self.prev_events,
            auth_events: self.auth_events,
            redacts: self.redacts,
            depth: self.depth,
            json,
        }
    }
}

/// What an event says the hash of its content is.
pub(super) fn content_hash(event: &EventJson) -> Result<&str, Dropped> {
    let fields = Object { event, fields: &event.object }.object("hashes")?;
    Object { event, fields }.optional_string("sha256")?.ok_or_else(|| missing("hashes.sha256"))
}

/// The depth: not negative, and in room versions that allow larger integers below 2^63. What is
/// beyond [`MAX_DEPTH`] counts as that.
fn depth(event: &EventJson) -> Result<u64, Dropped> {
    let depth = match event.object.get("depth") {
        Some(CanonicalJsonValue::Integer(depth)) => u64::try_from(i64::from(*depth)).ok(),
        Some(CanonicalJsonValue::String(text)) => event
            .number(text)
            .and_then(|it| it.parse::<i64>().ok())
            .and_then(|it| u64::try_from(it).ok()),
        _ => None,
    };
    Ok(depth.ok_or_else(|| missing("depth"))?.min(MAX_DEPTH))
}

/// A JSON object of an event that is looked into.
struct Object<'a> {
    event: &'a EventJson,
    fields: &'a CanonicalJsonObject,
}

impl<'a> Object<'a> {
    fn object(&self, field: &str) -> Result<&'a CanonicalJsonObject, Dropped> {
        self.fields.get(field).and_then(CanonicalJsonValue::as_object).ok_or_else(|| missing(field))
    }

    fn string(&self, field: &str) -> Result<&'a str, Dropped> {
        self.optional_string(field)?.ok_or_else(|| missing(field))
    }

    /// A field that is short, if it is there.
    fn optional_string(&self, field: &str) -> Result<Option<&'a str>, Dropped> {
        match self.fields.get(field) {
            None => Ok(None),
            Some(CanonicalJsonValue::String(it))
                if it.len() <= MAX_ID_BYTES && self.event.number(it).is_none() =>
            {
                Ok(Some(it))
            }
            Some(_) => {
                Err(malformed(format!("`{field}` is not a string of up to {MAX_ID_BYTES} bytes")))
            }
        }
    }

    fn timestamp(&self) -> Result<UInt, Dropped> {
        match self.fields.get("origin_server_ts") {
            Some(CanonicalJsonValue::Integer(it)) => {
                UInt::try_from(i64::from(*it)).map_err(malformed)
            }
            _ => Err(missing("origin_server_ts")),
        }
    }

    fn references(
        &self,
        field: &str,
        limit: usize,
        rules: &RoomVersionRules,
    ) -> Result<Vec<OwnedEventId>, Dropped> {
        let Some(CanonicalJsonValue::Array(array)) = self.fields.get(field) else {
            return Err(missing(field));
        };
        if array.len() > limit {
            return Err(malformed(format!("`{field}` names more than {limit} events")));
        }
        array
            .iter()
            .map(|it| match (rules.events_reference_format, it) {
                (EventsReferenceFormatVersion::V1, CanonicalJsonValue::Array(pair)) => {
                    match pair.as_slice() {
                        [CanonicalJsonValue::String(id), CanonicalJsonValue::Object(_)] => Some(id),
                        _ => None,
                    }
                }
                (EventsReferenceFormatVersion::V2, CanonicalJsonValue::String(id)) => Some(id),
                _ => None,
            })
            .map(|it| it.filter(|it| it.len() <= MAX_ID_BYTES).ok_or_else(|| missing(field)))
            .map(|it| EventId::parse(it?).map_err(malformed))
            .collect()
    }
}

/// A field that is not there, or of another type than it has to be.
fn missing(field: &str) -> Dropped {
    malformed(format!("`{field}` is missing or has the wrong type"))
}
