//! How PDUs refer to each other: by ID, in room versions 1 and 2 with hashes beside it ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/v1/#event-format

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedEventId,
    room_version_rules::{EventsReferenceFormatVersion, RoomVersionRules},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue as RawJsonValue;
use sha2::{Digest as _, Sha256};

use super::{BuildError, MAX_DEPTH, Pdu};
use crate::event_json::EventJson;

/// A reference in either form. Which of them a room version has is checked when an event is
/// received; its hashes say nothing that its ID does not.
pub(super) struct Reference(pub(super) OwnedEventId);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceVisitor)
    }
}

struct ReferenceVisitor;

impl<'de> Visitor<'de> for ReferenceVisitor {
    type Value = Reference;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event ID, or an event ID and its hashes")
    }

    fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<Reference, E> {
        EventId::parse(id).map(Reference).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Reference, A::Error> {
        let id = pair.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        while pair.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Reference(id))
    }
}

/// Reads `redacts`. What is not an event ID redacts nothing: in room versions that have the field
/// in the content, a sender may put anything here.
pub(super) fn redacts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<OwnedEventId>, D::Error> {
    let value = <&RawJsonValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(value.get()).ok())
}

/// Reads a depth. In room versions 1 to 5 it may be beyond [`MAX_DEPTH`], and counts as that.
pub(super) fn depth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    u64::deserialize(deserializer).map(|it| it.min(MAX_DEPTH))
}

/// Writes references as the room version has them.
pub(super) fn references(
    events: &[&Pdu],
    rules: &RoomVersionRules,
) -> Result<CanonicalJsonValue, BuildError> {
    let written: Result<_, _> = match rules.events_reference_format {
        EventsReferenceFormatVersion::V1 => {
            events.iter().map(|it| with_hashes(it, rules)).collect()
        }
        _ => Ok(events.iter().map(|it| it.event_id.as_str().into()).collect()),
    };
    written.map(CanonicalJsonValue::Array)
}

/// `[event ID, {"sha256": reference hash}]`.
fn with_hashes(event: &Pdu, rules: &RoomVersionRules) -> Result<CanonicalJsonValue, BuildError> {
    let unreadable = |it: &dyn fmt::Display| {
        BuildError::Format(format!("{} cannot be referred to: {it}", event.event_id))
    };
    let json = EventJson::stored(&event.json).map_err(|it| unreadable(&it))?;
    let signed = json.signed_text(&rules.redaction).map_err(|it| unreadable(&it))?;
    let hash = STANDARD_NO_PAD.encode(Sha256::digest(signed));
    let hashes = CanonicalJsonObject::from([("sha256".to_owned(), hash.into())]);
    Ok(CanonicalJsonValue::Array(vec![event.event_id.as_str().into(), hashes.into()]))
}
