//! Persistent data units: how they are made, signed, named and read ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#pdus

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
    pub prev_events: Vec<&'a EventId>,
    /// Events that authorize this one.
    pub auth_events: Vec<&'a EventId>,
    /// One more than the depth of the deepest event before.
    pub depth: u64,
    /// When, in milliseconds since the Unix epoch.
    pub origin_server_ts: u64,
}

/// An event: its ID, its fields, and the JSON that was signed, byte for byte.
#[derive(Clone, Debug)]
pub struct Pdu {
    /// The reference hash of the event.
    pub event_id: OwnedEventId,
    /// The room.
    pub room_id: OwnedRoomId,
    /// The sender.
    pub sender: OwnedUserId,
    /// When, by the sender's server.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// Event type.
    pub event_type: TimelineEventType,
    /// Content.
    pub content: Box<RawJsonValue>,
    /// State key of a state event.
    pub state_key: Option<String>,
    /// Events before this one.
    pub prev_events: Vec<OwnedEventId>,
    /// Events that authorize this one.
    pub auth_events: Vec<OwnedEventId>,
    /// `redacts` outside the content.
    pub redacts: Option<OwnedEventId>,
    /// Depth.
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
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    redacts: Option<OwnedEventId>,
    depth: UInt,
}

impl Pdu {
    /// Reads a signed event and names it by its reference hash. A create event without a room ID
    /// names its room too.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when it is not a PDU of a room with these rules.
    pub fn from_signed(json: &RawJsonValue, rules: &RoomVersionRules) -> Result<Self, BuildError> {
        let object = parse_content(json)?;
        check_pdu_format(&object, &rules.event_format).map_err(format_error)?;
        let hash = reference_hash(&object, rules).map_err(|_| BuildError::TooLarge)?;
        let id_error = |it: ruma::IdParseError| BuildError::Format(it.to_string());
        let event_id = EventId::parse(format!("${hash}")).map_err(id_error)?;
        let room_id = RoomId::parse(format!("!{hash}")).map_err(id_error)?;
        Self::from_stored(event_id, &room_id, json.get().into())
            .map_err(|it| BuildError::Format(it.to_string()))
    }

    /// Reads an event that was checked when it was stored. `room_id` is what a create event of
    /// room version 12 leaves out.
    ///
    /// # Errors
    ///
    /// When the JSON is not a PDU of room version 3 or later.
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
            event_type: fields.event_type,
            content: fields.content,
            state_key: fields.state_key,
            prev_events: fields.prev_events,
            auth_events: fields.auth_events,
            redacts: fields.redacts,
            depth: fields.depth.into(),
            json,
        })
    }
}

/// Makes an event: checks its format, hashes it, signs it and names it by its reference hash.
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
    let mut object = to_object(&mut event);
    hash_and_sign_event(server_name.as_str(), key.pair(), &mut object, &rules.redaction)
        .map_err(|_| BuildError::TooLarge)?;
    check_pdu_format(&object, &rules.event_format).map_err(format_error)?;
    let hash = reference_hash(&object, rules).map_err(|_| BuildError::TooLarge)?;
    let json = serde_json::to_string(&object).map_err(|it| BuildError::Format(it.to_string()))?;
    if json.len() > MAX_PDU_BYTES {
        return Err(BuildError::TooLarge);
    }
    let event_id =
        EventId::parse(format!("${hash}")).map_err(|it| BuildError::Format(it.to_string()))?;
    let room_id = match event.room_id {
        Some(room_id) => room_id.to_owned(),
        None => {
            RoomId::parse(format!("!{hash}")).map_err(|it| BuildError::Format(it.to_string()))?
        }
    };
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
        prev_events: event.prev_events.into_iter().map(EventId::to_owned).collect(),
        auth_events: event.auth_events.into_iter().map(EventId::to_owned).collect(),
        redacts: event.redacts.map(EventId::to_owned),
        depth: event.depth.min(MAX_DEPTH),
        json: json.into_boxed_str(),
    })
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
fn to_object(event: &mut NewEvent<'_>) -> CanonicalJsonObject {
    let ids = |ids: &[&EventId]| {
        CanonicalJsonValue::Array(
            ids.iter().map(|it| CanonicalJsonValue::String(it.as_str().to_owned())).collect(),
        )
    };
    let text = |it: &str| CanonicalJsonValue::String(it.to_owned());
    let mut object = CanonicalJsonObject::new();
    let mut set = |name: &str, value| object.insert(name.to_owned(), value);
    set("auth_events", ids(&event.auth_events));
    set("content", CanonicalJsonValue::Object(std::mem::take(&mut event.content)));
    set("depth", UInt::new_saturating(event.depth.min(MAX_DEPTH)).into());
    set("origin_server_ts", timestamp(event.origin_server_ts).0.into());
    set("prev_events", ids(&event.prev_events));
    set("sender", text(event.sender.as_str()));
    set("type", text(event.event_type));
    if let Some(redacts) = event.redacts {
        set("redacts", text(redacts.as_str()));
    }
    if let Some(room_id) = event.room_id {
        set("room_id", text(room_id.as_str()));
    }
    if let Some(state_key) = event.state_key {
        set("state_key", text(state_key));
    }
    object
}

/// Makes the create event of a room. `room_id` is given in room versions where it is random; in
/// version 12 the event's hash becomes the room ID.
///
/// # Errors
///
/// See [`BuildError`].
pub fn create_event(
    content: CanonicalJsonObject,
    creator: &UserId,
    room_id: Option<&RoomId>,
    rules: &RoomVersionRules,
    now_ms: u64,
    key: &SigningKey,
) -> Result<Pdu, BuildError> {
    let event = NewEvent {
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

    fn room_id(&self) -> Option<&RoomId> {
        Some(&self.room_id)
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
        // Rejected events are not stored: only this server's own events are, and those it
        // refuses leave no trace.
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ruma::{
        RoomVersionId, room_id,
        room_version_rules::EventIdFormatVersion,
        server_name,
        signatures::{PublicKeyMap, Verified, verify_event},
        user_id,
    };
    use serde_json::json;

    use super::*;
    use crate::room_version;

    fn key() -> SigningKey {
        SigningKey::from_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1", "1").unwrap()
    }

    fn content(value: serde_json::Value) -> CanonicalJsonObject {
        serde_json::from_value(value).unwrap()
    }

    fn message(content: CanonicalJsonObject) -> NewEvent<'static> {
        NewEvent {
            room_id: Some(room_id!("!room:domain")),
            sender: user_id!("@alice:domain"),
            event_type: "m.room.message",
            state_key: None,
            content,
            redacts: None,
            prev_events: Vec::new(),
            auth_events: Vec::new(),
            depth: 3,
            origin_server_ts: 1_000,
        }
    }

    fn verify(pdu: &Pdu, version: &RoomVersionId) -> Verified {
        let key = key();
        let public = ruma::serde::Base64::parse(key.public_base64()).unwrap();
        let keys: PublicKeyMap = BTreeMap::from([(
            "domain".to_owned(),
            BTreeMap::from([(key.id().to_string(), public)]),
        )]);
        let object = serde_json::from_str(&pdu.json).unwrap();
        verify_event(&keys, &object, &room_version::rules(version).unwrap()).unwrap()
    }

    #[test]
    fn an_event_is_signed_hashed_and_named_in_every_version() {
        for version in room_version::SUPPORTED {
            let rules = room_version::rules(&version).unwrap();
            assert_ne!(rules.event_id_format, EventIdFormatVersion::V1);
            let event = message(content(json!({"body": "hi", "msgtype": "m.text"})));
            let pdu = build(event, &rules, server_name!("domain"), &key()).unwrap();
            assert_eq!(verify(&pdu, &version), Verified::All, "{version}");
            let json = RawJsonValue::from_string(pdu.json.to_string()).unwrap();
            let again = Pdu::from_signed(&json, &rules).unwrap();
            assert_eq!(again.event_id, pdu.event_id, "{version}");
            assert_eq!(again.json, pdu.json, "{version}");
        }
    }

    #[test]
    fn the_create_event_names_the_room_from_version_12_on() {
        for version in room_version::SUPPORTED {
            let rules = room_version::rules(&version).unwrap();
            let hashed = rules.authorization.room_create_event_id_as_room_id;
            let room_id = (!hashed).then_some(room_id!("!random:domain"));
            let content = content(json!({"room_version": version.as_str()}));
            let alice = user_id!("@alice:domain");
            let pdu = create_event(content, alice, room_id, &rules, 5, &key()).unwrap();
            if hashed {
                assert_eq!(pdu.room_id.strip_sigil(), &pdu.event_id.as_str()[1..]);
                assert!(!pdu.json.contains("room_id"));
            } else {
                assert_eq!(pdu.room_id, "!random:domain");
            }
        }
    }

    #[test]
    fn what_breaks_the_format_is_refused() {
        let rules = room_version::rules(&room_version::DEFAULT).unwrap();
        let domain = server_name!("domain");
        let large = message(content(json!({"body": "x".repeat(MAX_PDU_BYTES)})));
        assert_eq!(build(large, &rules, domain, &key()).unwrap_err(), BuildError::TooLarge);
        let long = "t".repeat(256);
        let mut event = message(CanonicalJsonObject::new());
        event.event_type = &long;
        assert!(matches!(build(event, &rules, domain, &key()), Err(BuildError::Format(_))));
    }

    #[test]
    fn content_that_canonical_json_cannot_hold_is_refused() {
        for bad in ["[]", "1", r#"{"a": 1.5}"#, r#"{"a": 9007199254740992}"#, r#"{"a": 1e3}"#] {
            let raw: Box<RawJsonValue> = serde_json::from_str(bad).unwrap();
            assert!(parse_content(&raw).is_err(), "{bad}");
        }
    }
}
