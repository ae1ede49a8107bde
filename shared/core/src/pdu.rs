//! Persistent data units: how they are made, signed, named and read ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#pdus

pub(crate) mod floats;
mod names;
mod opaque;
mod reference;
pub mod template;
#[cfg(test)]
mod tests;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId,
    OwnedRoomId, OwnedUserId, RoomId, ServerName, UInt, UserId,
    events::TimelineEventType,
    room_version_rules::RoomVersionRules,
    signatures::{hash_and_sign_event, reference_hash},
    state_res::{self, check_pdu_format},
};
use serde::Deserialize;
use serde_json::value::RawValue as RawJsonValue;

pub use self::opaque::opaque_event_id;
use self::{
    names::{event_id, room_id},
    reference::{Reference, references},
};
use crate::SigningKey;

/// Bytes of a whole PDU with its signatures ([size limits]).
///
/// [size limits]: https://spec.matrix.org/v1.19/client-server-api/#size-limits
pub const MAX_PDU_BYTES: usize = 65_535;

/// Events a new event refers to as coming before it.
pub const MAX_PREV_EVENTS: usize = 10;

/// The greatest depth an event may have; deeper ones stay at it (canonical JSON's limit).
pub const MAX_DEPTH: u64 = (1 << 53) - 1;

/// Why an event could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The content is not a JSON object of canonical values.
    #[error("the content is not a JSON object that canonical JSON can hold: {0}")]
    Content(String),
    /// The event is larger than [`MAX_PDU_BYTES`].
    #[error("the event is larger than {MAX_PDU_BYTES} bytes")]
    TooLarge,
    /// A field breaks the event format.
    #[error("{0}")]
    Format(String),
}

/// An event yet to be made. `content` is parsed already, because callers look into it.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    /// The ID of the event in room versions 1 and 2, where its server makes one up. Ignored in
    /// every other, where the event's hash is its ID.
    pub event_id: Option<&'a EventId>,
    /// The room; none for a create event that names its room by its hash.
    pub room_id: Option<&'a RoomId>,
    /// The sender.
    pub sender: &'a UserId,
    /// Event type.
    pub event_type: &'a str,
    /// State key of a state event.
    pub state_key: Option<&'a str>,
    /// Content.
    pub content: CanonicalJsonObject,
    /// `redacts`, in room versions that keep it outside the content.
    pub redacts: Option<&'a EventId>,
    /// Events before this one.
    pub prev_events: Vec<&'a Pdu>,
    /// Events that authorize this one.
    pub auth_events: Vec<&'a Pdu>,
    /// One more than the depth of the deepest event before.
    pub depth: u64,
    /// When, in milliseconds since the Unix epoch.
    pub origin_server_ts: u64,
}

/// An event: its ID, its fields, and the JSON that was signed, byte for byte.
#[derive(Clone, Debug)]
pub struct Pdu {
    /// Its ID: the reference hash of the event, from room version 3 on.
    pub event_id: OwnedEventId,
    /// The room.
    pub room_id: OwnedRoomId,
    /// The sender.
    pub sender: OwnedUserId,
    /// When, by the sender's server.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// Event type.
    pub event_type: TimelineEventType,
    /// Content, as rules read it: floats that are power levels in room versions 1 to 5 are
    /// integers here.
    pub content: Box<RawJsonValue>,
    /// State key of a state event.
    pub state_key: Option<String>,
    /// Events before this one.
    pub prev_events: Vec<OwnedEventId>,
    /// Events that authorize this one.
    pub auth_events: Vec<OwnedEventId>,
    /// `redacts` outside the content.
    pub redacts: Option<OwnedEventId>,
    /// Depth, at most [`MAX_DEPTH`].
    pub depth: u64,
    /// The whole, as it was signed.
    pub json: Box<str>,
}

/// The fields of a PDU as they stand in its JSON.
#[derive(Deserialize)]
struct Fields {
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    content: Box<RawJsonValue>,
    state_key: Option<String>,
    prev_events: Vec<Reference>,
    auth_events: Vec<Reference>,
    #[serde(default, deserialize_with = "reference::redacts")]
    redacts: Option<OwnedEventId>,
    #[serde(deserialize_with = "reference::depth")]
    depth: u64,
}

impl Pdu {
    /// Reads a signed event and names it: by its reference hash, or, in room versions 1 and 2, by
    /// the ID it says. A create event without a room ID names its room too.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when it is not a PDU of a room with these rules.
    pub fn from_signed(json: &RawJsonValue, rules: &RoomVersionRules) -> Result<Self, BuildError> {
        let object = parse_content(json)?;
        check_pdu_format(&object, &rules.event_format).map_err(format_error)?;
        let hash = reference_hash(&object, rules).map_err(|_| BuildError::TooLarge)?;
        let event_id = event_id(&hash, string(&object, "event_id"), rules)?;
        let room_id = room_id(&hash, string(&object, "room_id"))?;
        Self::from_stored(event_id, &room_id, json.get().into())
            .map_err(|it| BuildError::Format(it.to_string()))
    }

    /// Reads an event that was checked when it was stored. `room_id` is what a create event of
    /// room version 12 leaves out.
    ///
    /// # Errors
    ///
    /// When the JSON is not a PDU.
    pub fn from_stored(
        event_id: OwnedEventId,
        room_id: &RoomId,
        json: Box<str>,
    ) -> Result<Self, serde_json::Error> {
        let fields: Fields = serde_json::from_str(&json)?;
        Ok(Self {
            event_id,
            room_id: fields.room_id.unwrap_or_else(|| room_id.to_owned()),
            sender: fields.sender,
            origin_server_ts: fields.origin_server_ts,
            content: floats::truncated(fields.content, &fields.event_type),
            event_type: fields.event_type,
            state_key: fields.state_key,
            prev_events: fields.prev_events.into_iter().map(|it| it.0).collect(),
            auth_events: fields.auth_events.into_iter().map(|it| it.0).collect(),
            redacts: fields.redacts,
            depth: fields.depth,
            json,
        })
    }

    /// Whether this is a create event whose hash is the room's ID, as in room version 12.
    pub fn names_its_room(&self) -> bool {
        self.event_type == TimelineEventType::RoomCreate
            && self.room_id.strip_sigil() == self.event_id.as_str().trim_start_matches('$')
    }
}

/// Makes an event: checks its format, hashes it, signs it and names it. Its name is its reference
/// hash, but in room versions 1 and 2, where [`NewEvent::event_id`] is.
///
/// # Errors
///
/// See [`BuildError`].
pub fn build(
    mut event: NewEvent<'_>,
    rules: &RoomVersionRules,
    server_name: &ServerName,
    key: &SigningKey,
) -> Result<Pdu, BuildError> {
    let mut object = to_object(&mut event, rules)?;
    let (hash, json) = sign(&mut object, rules, server_name, key)?;
    let event_id = event_id(&hash, event.event_id.map(EventId::as_str), rules)?;
    let room_id = room_id(&hash, event.room_id.map(RoomId::as_str))?;
    let content = object.remove("content").unwrap_or(CanonicalJsonValue::Null);
    let content = serde_json::value::to_raw_value(&content)
        .map_err(|it| BuildError::Content(it.to_string()))?;
    Ok(Pdu {
        event_id,
        room_id,
        sender: event.sender.to_owned(),
        origin_server_ts: timestamp(event.origin_server_ts),
        event_type: event.event_type.into(),
        content,
        state_key: event.state_key.map(str::to_owned),
        prev_events: event.prev_events.iter().map(|it| it.event_id.clone()).collect(),
        auth_events: event.auth_events.iter().map(|it| it.event_id.clone()).collect(),
        redacts: event.redacts.map(EventId::to_owned),
        depth: event.depth.min(MAX_DEPTH),
        json: json.into_boxed_str(),
    })
}

/// Hashes and signs an event. Gives its reference hash, and the whole of it.
fn sign(
    object: &mut CanonicalJsonObject,
    rules: &RoomVersionRules,
    server_name: &ServerName,
    key: &SigningKey,
) -> Result<(String, String), BuildError> {
    hash_and_sign_event(server_name.as_str(), key.pair(), object, &rules.redaction)
        .map_err(|_| BuildError::TooLarge)?;
    check_pdu_format(object, &rules.event_format).map_err(format_error)?;
    let hash = reference_hash(object, rules).map_err(|_| BuildError::TooLarge)?;
    let json = serde_json::to_string(object).map_err(|it| BuildError::Format(it.to_string()))?;
    match json.len() > MAX_PDU_BYTES {
        true => Err(BuildError::TooLarge),
        false => Ok((hash, json)),
    }
}

/// A field that is a string.
fn string<'a>(object: &'a CanonicalJsonObject, field: &str) -> Option<&'a str> {
    object.get(field).and_then(CanonicalJsonValue::as_str)
}

/// Tells "too large" from every other breach of the format.
fn format_error(message: String) -> BuildError {
    if message.contains("PDU is larger") {
        BuildError::TooLarge
    } else {
        BuildError::Format(message)
    }
}

/// A time that fits canonical JSON.
fn timestamp(ms: u64) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::new_saturating(ms))
}

/// The event's JSON object, unsigned.
fn to_object(
    event: &mut NewEvent<'_>,
    rules: &RoomVersionRules,
) -> Result<CanonicalJsonObject, BuildError> {
    let text = |it: &str| CanonicalJsonValue::String(it.to_owned());
    let mut object = CanonicalJsonObject::new();
    let mut set = |name: &str, value| object.insert(name.to_owned(), value);
    set("auth_events", references(&event.auth_events, rules)?);
    set("content", CanonicalJsonValue::Object(std::mem::take(&mut event.content)));
    set("depth", UInt::new_saturating(event.depth.min(MAX_DEPTH)).into());
    set("origin_server_ts", timestamp(event.origin_server_ts).0.into());
    set("prev_events", references(&event.prev_events, rules)?);
    set("sender", text(event.sender.as_str()));
    set("type", text(event.event_type));
    if let (true, Some(event_id)) = (rules.event_format.require_event_id, event.event_id) {
        set("event_id", text(event_id.as_str()));
    }
    if let Some(redacts) = event.redacts {
        set("redacts", text(redacts.as_str()));
    }
    if let Some(room_id) = event.room_id {
        set("room_id", text(room_id.as_str()));
    }
    if let Some(state_key) = event.state_key {
        set("state_key", text(state_key));
    }
    Ok(object)
}

/// Makes the create event of a room. `room_id` is given in room versions where it is random; in
/// version 12 the event's hash becomes the room ID. `event_id` is as in [`NewEvent`].
///
/// # Errors
///
/// See [`BuildError`].
pub fn create_event(
    content: CanonicalJsonObject,
    creator: &UserId,
    event_id: Option<&EventId>,
    room_id: Option<&RoomId>,
    rules: &RoomVersionRules,
    now_ms: u64,
    key: &SigningKey,
) -> Result<Pdu, BuildError> {
    let event = NewEvent {
        event_id,
        room_id,
        sender: creator,
        event_type: "m.room.create",
        state_key: Some(""),
        content,
        redacts: None,
        prev_events: Vec::new(),
        auth_events: Vec::new(),
        depth: 1,
        origin_server_ts: now_ms,
    };
    build(event, rules, creator.server_name(), key)
}

/// Reads content that a client sent into canonical JSON.
///
/// # Errors
///
/// [`BuildError::Content`] when it is not an object, or holds floats or integers beyond 2^53-1.
pub fn parse_content(content: &RawJsonValue) -> Result<CanonicalJsonObject, BuildError> {
    serde_json::from_str(content.get()).map_err(|it| BuildError::Content(it.to_string()))
}

impl state_res::Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &Self::Id {
        &self.event_id
    }

    /// The room ID that is part of the event: a create event whose hash is the room's ID has none.
    fn room_id(&self) -> Option<&RoomId> {
        (!self.names_its_room()).then_some(&self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    fn content(&self) -> &RawJsonValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&Self::Id> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        // What became of an event is not part of it: `engine::Event` holds its verdict.
        false
    }
}
