//! The format events have in the client-server API ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#room-event-format

use std::{borrow::Cow, collections::BTreeMap};

use ruma::{EventId, RoomId};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};

/// What a rendered event is made of.
#[derive(Clone, Debug)]
pub struct Rendered<'a> {
    /// The stored PDU.
    pub json: &'a str,
    /// Its ID.
    pub event_id: &'a EventId,
    /// Its room; none where the response says it already (`/sync`).
    pub room_id: Option<&'a RoomId>,
    /// Whether the room's version has `redacts` in the content: then nobody is to be misled by one
    /// beside it.
    pub redacts_in_content: bool,
    /// What this server adds.
    pub unsigned: Unsigned<'a>,
}

/// `unsigned` ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#definition-clientevent_unsigneddata
#[derive(Clone, Debug, Default, Serialize)]
pub struct Unsigned<'a> {
    /// Milliseconds since the event was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<i64>,
    /// The requester's membership when the event was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub membership: Option<Cow<'a, str>>,
    /// The content of the state this event replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_content: Option<Box<RawJsonValue>>,
    /// Who had sent that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_sender: Option<String>,
    /// The event that redacted this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted_because: Option<Box<RawJsonValue>>,
    /// The event this state event replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces_state: Option<String>,
    /// The transaction of the asking device that sent this event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Cow<'a, str>>,
}

/// The fields of a PDU that clients see, as they stand in its JSON.
#[derive(Deserialize)]
struct PduFields<'a> {
    #[serde(borrow)]
    content: &'a RawJsonValue,
    #[serde(borrow)]
    origin_server_ts: &'a RawJsonValue,
    #[serde(borrow)]
    redacts: Option<&'a RawJsonValue>,
    #[serde(borrow)]
    sender: &'a RawJsonValue,
    #[serde(borrow)]
    state_key: Option<&'a RawJsonValue>,
    #[serde(borrow, rename = "type")]
    event_type: &'a RawJsonValue,
}

#[derive(Serialize)]
struct ClientEvent<'a> {
    content: &'a RawJsonValue,
    event_id: &'a EventId,
    origin_server_ts: &'a RawJsonValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacts: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a RoomId>,
    sender: &'a RawJsonValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a RawJsonValue>,
    #[serde(rename = "type")]
    event_type: &'a RawJsonValue,
    unsigned: Unsigned<'a>,
}

#[derive(Default, Deserialize)]
struct RedactionContent<'a> {
    #[serde(borrow, default)]
    redacts: Option<Cow<'a, str>>,
}

/// Turns a stored PDU into what clients get.
///
/// `redacts` is given where both older and newer clients look for it, in every room version: at the
/// top level and in the content.
///
/// # Errors
///
/// When what is stored is not a PDU.
pub fn render(event: Rendered<'_>, now_ms: u64) -> Result<Box<RawJsonValue>, serde_json::Error> {
    let stored: PduFields<'_> = serde_json::from_str(event.json)?;
    let mut unsigned = event.unsigned;
    let sent: i64 = serde_json::from_str(stored.origin_server_ts.get())?;
    unsigned.age = Some(i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(sent));
    let (redacts, with_redacts) = match stored.event_type.get() {
        "\"m.room.redaction\"" => {
            redaction(stored.redacts, stored.content, event.redacts_in_content)?
        }
        _ => (None, None),
    };
    to_raw_value(&ClientEvent {
        content: with_redacts.as_deref().unwrap_or(stored.content),
        event_id: event.event_id,
        origin_server_ts: stored.origin_server_ts,
        redacts,
        room_id: event.room_id,
        sender: stored.sender,
        state_key: stored.state_key,
        event_type: stored.event_type,
        unsigned,
    })
}

/// What is redacted, and the content if it differs from the stored one.
type Redaction<'a> = (Option<Cow<'a, str>>, Option<Box<RawJsonValue>>);

/// What a redaction redacts, and its content with `redacts` where the room version has it outside.
fn redaction<'a>(
    outside: Option<&'a RawJsonValue>,
    content: &'a RawJsonValue,
    in_content: bool,
) -> Result<Redaction<'a>, serde_json::Error> {
    if in_content {
        let content: RedactionContent<'_> = serde_json::from_str(content.get()).unwrap_or_default();
        return Ok((content.redacts, None));
    }
    // What is not text redacts nothing; another server may have put anything here.
    let outside = outside.and_then(|it| serde_json::from_str::<Cow<'a, str>>(it.get()).ok());
    let Some(outside) = outside else { return Ok((None, None)) };
    let mut fields: BTreeMap<String, &RawJsonValue> = serde_json::from_str(content.get())?;
    let redacts = to_raw_value(&outside)?;
    fields.insert("redacts".to_owned(), &redacts);
    Ok((Some(outside), Some(to_raw_value(&fields)?)))
}

/// The stripped form of a state event, for invites and knocks ([spec]). A create event keeps its
/// time, by which clients know an old room from a new one.
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#stripped-state
///
/// # Errors
///
/// When it is neither a PDU nor stripped already.
pub fn strip(json: &str) -> Result<Box<RawJsonValue>, serde_json::Error> {
    #[derive(Deserialize, Serialize)]
    struct Stripped<'a> {
        #[serde(borrow)]
        content: &'a RawJsonValue,
        #[serde(borrow, skip_serializing_if = "Option::is_none")]
        origin_server_ts: Option<&'a RawJsonValue>,
        #[serde(borrow)]
        sender: &'a RawJsonValue,
        #[serde(borrow, skip_serializing_if = "Option::is_none")]
        state_key: Option<&'a RawJsonValue>,
        #[serde(borrow, rename = "type")]
        event_type: &'a RawJsonValue,
    }
    let mut stripped: Stripped<'_> = serde_json::from_str(json)?;
    if stripped.event_type.get() != "\"m.room.create\"" {
        stripped.origin_server_ts = None;
    }
    to_raw_value(&stripped)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as JsonValue, json};

    use super::*;

    fn rendered(pdu: &JsonValue) -> JsonValue {
        rendered_in(pdu, pdu.get("redacts").is_none())
    }

    fn rendered_in(pdu: &JsonValue, redacts_in_content: bool) -> JsonValue {
        let json = pdu.to_string();
        let event_id = ruma::event_id!("$abc");
        let unsigned = Unsigned::default();
        let event = Rendered { json: &json, event_id, room_id: None, redacts_in_content, unsigned };
        serde_json::from_str(render(event, 1_500).unwrap().get()).unwrap()
    }

    #[test]
    fn only_what_clients_may_see_is_rendered() {
        let got = rendered(&json!({
            "auth_events": [], "prev_events": [], "depth": 3, "hashes": {}, "signatures": {},
            "content": {"body": "hi"}, "origin_server_ts": 1_000, "sender": "@a:b",
            "type": "m.room.message", "room_id": "!r:b", "unsigned": {"evil": 1},
        }));
        assert_eq!(
            got,
            json!({
                "content": {"body": "hi"}, "event_id": "$abc", "origin_server_ts": 1_000,
                "sender": "@a:b", "type": "m.room.message", "unsigned": {"age": 500},
            })
        );
    }

    #[test]
    fn a_stripped_create_event_keeps_its_time() {
        let stripped = |event_type: &str| -> JsonValue {
            let event = json!({ "auth_events": [], "content": {}, "depth": 1, "sender": "@a:b",
                "origin_server_ts": 7, "state_key": "", "type": event_type });
            serde_json::from_str(strip(&event.to_string()).unwrap().get()).unwrap()
        };
        let name = json!({ "content": {}, "sender": "@a:b", "state_key": "",
            "type": "m.room.name" });
        assert_eq!(stripped("m.room.name"), name);
        let create = json!({ "content": {}, "sender": "@a:b", "state_key": "",
            "type": "m.room.create", "origin_server_ts": 7 });
        assert_eq!(stripped("m.room.create"), create);
    }

    #[test]
    fn redacts_is_found_in_both_places_whatever_the_room_version() {
        let old = json!({"content": {}, "origin_server_ts": 1, "sender": "@a:b", "type": "m.room.redaction", "redacts": "$x"});
        let new = json!({"content": {"redacts": "$x"}, "origin_server_ts": 1, "sender": "@a:b", "type": "m.room.redaction"});
        for redaction in [old, new] {
            assert_eq!(rendered(&redaction)["redacts"], "$x");
            assert_eq!(rendered(&redaction)["content"]["redacts"], "$x");
        }
    }

    #[test]
    fn t8b_a_redaction_shows_what_it_redacts_and_nothing_beside() {
        let both = json!({"content": {"redacts": "$in"}, "origin_server_ts": 1, "sender": "@a:b",
            "type": "m.room.redaction", "redacts": "$beside"});
        for (in_content, shown) in [(true, "$in"), (false, "$beside")] {
            let event = rendered_in(&both, in_content);
            assert_eq!(event["redacts"], shown);
            assert_eq!(event["content"]["redacts"], shown);
        }
    }

    #[test]
    fn a_redaction_of_nothing_is_rendered() {
        for redacts in [json!(5), json!(null), json!({})] {
            let redaction = json!({"content": {}, "origin_server_ts": 1, "sender": "@a:b", "type": "m.room.redaction", "redacts": redacts});
            assert_eq!(rendered(&redaction)["redacts"], JsonValue::Null);
        }
    }
}
