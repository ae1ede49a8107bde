//! Events that another server has prepared for a user of this one: a membership in a room that is
//! not here ([spec]).
//!
//! **Invariant:** what is signed is a membership that the user asked for, of that user, in that
//! room. Of what the other server has prepared, the events before it and those that authorize it
//! are taken, the depth, and in whose name a restricted room is joined.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, RoomId, ServerName, UserId,
    room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue as RawJsonValue;

use super::{BuildError, Pdu, names::event_id, sign, string, timestamp};
use crate::SigningKey;

/// Events that a prepared event may name as those before it, and as those that authorize it
/// ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
const MAX_NAMED: usize = 20;

/// What names the member in whose name a restricted room is joined.
const IN_THE_NAME_OF: &str = "join_authorised_via_users_server";

/// The membership that a user asked for.
#[derive(Clone, Debug)]
pub struct WantedMembership<'a> {
    /// The room.
    pub room_id: &'a RoomId,
    /// The user.
    pub user_id: &'a UserId,
    /// `join`, `leave` or `knock`, and what else the content is to have.
    pub content: CanonicalJsonObject,
    /// The ID of the event in room versions 1 and 2.
    pub event_id: Option<&'a EventId>,
    /// When, in milliseconds since the Unix epoch.
    pub origin_server_ts: u64,
}

/// Completes a prepared event and signs it.
///
/// # Errors
///
/// [`BuildError::Format`], where another event was prepared than the one that was asked for.
pub fn complete(
    template: &RawJsonValue,
    wanted: WantedMembership<'_>,
    rules: &RoomVersionRules,
    server_name: &ServerName,
    key: &SigningKey,
) -> Result<Pdu, BuildError> {
    let prepared: CanonicalJsonObject =
        serde_json::from_str(template.get()).map_err(|it| BuildError::Format(it.to_string()))?;
    let WantedMembership { room_id, user_id, mut content, event_id: own_id, origin_server_ts } =
        wanted;
    let expected = [
        ("type", "m.room.member"),
        ("room_id", room_id.as_str()),
        ("sender", user_id.as_str()),
        ("state_key", user_id.as_str()),
    ];
    let mut object = CanonicalJsonObject::new();
    for (field, value) in expected {
        if string(&prepared, field) != Some(value) {
            return Err(BuildError::Format(format!("another `{field}` was prepared")));
        }
        object.insert(field.to_owned(), CanonicalJsonValue::String(value.to_owned()));
    }
    let of_prepared = prepared.get("content").and_then(CanonicalJsonValue::as_object);
    let of_prepared = |field: &str| of_prepared.and_then(|it| it.get(field));
    if of_prepared("membership") != content.get("membership") {
        return Err(BuildError::Format("another membership was prepared".to_owned()));
    }
    if let Some(member) = of_prepared(IN_THE_NAME_OF) {
        content.insert(IN_THE_NAME_OF.to_owned(), member.clone());
    }
    object.insert("content".to_owned(), CanonicalJsonValue::Object(content));
    for field in ["auth_events", "prev_events"] {
        let named = prepared.get(field).and_then(CanonicalJsonValue::as_array);
        let named = named.filter(|it| it.len() <= MAX_NAMED);
        let named = named.ok_or_else(|| BuildError::Format(format!("`{field}` is no list")))?;
        object.insert(field.to_owned(), CanonicalJsonValue::Array(named.to_vec()));
    }
    let depth = prepared.get("depth").cloned();
    let depth = depth.ok_or_else(|| BuildError::Format("missing `depth`".to_owned()))?;
    object.insert("depth".to_owned(), depth);
    object.insert("origin_server_ts".to_owned(), timestamp(origin_server_ts).0.into());
    if let (true, Some(own_id)) = (rules.event_format.require_event_id, own_id) {
        object.insert("event_id".to_owned(), CanonicalJsonValue::String(own_id.to_string()));
    }
    let (hash, json) = sign(&mut object, rules, server_name, key)?;
    let event_id = event_id(&hash, own_id.map(EventId::as_str), rules)?;
    Pdu::from_stored(event_id, room_id, json.into_boxed_str())
        .map_err(|it| BuildError::Format(it.to_string()))
}

#[cfg(test)]
mod tests {
    use ruma::{RoomVersionId, room_id, server_name, user_id};
    use serde_json::{Value, json, value::to_raw_value};

    use super::*;

    fn complete_by(change: impl FnOnce(&mut Value)) -> Result<Pdu, BuildError> {
        let (room_id, user_id) = (room_id!("!room:b.example"), user_id!("@ann:a.example"));
        let mut template = json!({
            "type": "m.room.member", "room_id": room_id, "sender": user_id, "state_key": user_id,
            "content": { "membership": "join", "displayname": "not hers",
                IN_THE_NAME_OF: "@bob:b.example" },
            "auth_events": ["$create"], "prev_events": ["$newest"], "depth": 7,
            "origin_server_ts": 1, "origin": "b.example", "unsigned": { "x": 1 },
            "hashes": { "sha256": "x" }, "signatures": { "a.example": {} },
        });
        change(&mut template);
        let content = json!({ "membership": "join", "displayname": "Ann" });
        let wanted = WantedMembership {
            room_id,
            user_id,
            content: serde_json::from_value(content).unwrap(),
            event_id: None,
            origin_server_ts: 99,
        };
        let rules = RoomVersionId::V11.rules().unwrap();
        let key = SigningKey::from_seed([1; 32], "1").unwrap();
        let template = to_raw_value(&template).unwrap();
        complete(&template, wanted, &rules, server_name!("a.example"), &key)
    }

    #[test]
    fn what_is_taken_of_a_prepared_event() {
        let event = complete_by(|_| {}).unwrap();
        let json: Value = serde_json::from_str(&event.json).unwrap();
        let content = json!({ "membership": "join", "displayname": "Ann",
            IN_THE_NAME_OF: "@bob:b.example" });
        assert_eq!(json["content"], content);
        assert_eq!(json["origin_server_ts"], 99);
        assert_eq!((&json["depth"], &json["prev_events"][0]), (&json!(7), &json!("$newest")));
        assert!(json.get("origin").is_none() && json.get("unsigned").is_none(), "{json}");
        assert_eq!(json["signatures"]["a.example"].as_object().unwrap().len(), 1);
        assert!(json["hashes"]["sha256"] != "x");
    }

    /// T9c
    #[test]
    fn another_event_than_the_one_that_was_asked_for_is_not_signed() {
        let changes: [(&str, Value); 10] = [
            ("type", json!("m.room.message")),
            ("room_id", json!("!other:b.example")),
            ("sender", json!("@bob:a.example")),
            ("state_key", json!("@bob:a.example")),
            ("content", json!({ "membership": "leave" })),
            ("content", json!(null)),
            ("auth_events", json!("$create")),
            ("prev_events", json!(vec!["$x"; MAX_NAMED + 1])),
            ("depth", json!("deep")),
            ("depth", json!(null)),
        ];
        for (field, value) in changes {
            let found = complete_by(|it| it[field] = value.clone());
            assert!(matches!(found, Err(BuildError::Format(_))), "{field}: {value}: {found:?}");
        }
    }
}
