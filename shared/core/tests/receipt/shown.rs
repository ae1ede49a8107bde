//! What is shown of a room that is not here.

use ruma::{RoomId, room_version_rules::RoomVersionRules};
use serde_json::{Value as JsonValue, json};
use skerry_core::{
    invite::shown::{self, Faults, MAX_BYTES, MAX_EVENTS, ShownError},
    receipt::{self, Keyring},
};

use super::{
    V11,
    invites::invitation,
    raw, room,
    server::{SENT_MS, Server, keyring},
};

/// What clients get of what is shown with an invitation.
fn shown(
    events: &[JsonValue],
    room_id: &RoomId,
    keys: &Keyring,
    rules: &RoomVersionRules,
) -> Result<Vec<JsonValue>, ShownError> {
    shown_with(events, room_id, keys, rules, Faults::Refused)
}

fn shown_with(
    events: &[JsonValue],
    room_id: &RoomId,
    keys: &Keyring,
    rules: &RoomVersionRules,
    faults: Faults,
) -> Result<Vec<JsonValue>, ShownError> {
    let mut invite = invitation(rules);
    invite["room_id"] = json!(room_id);
    let invite = raw(Server::new("one").sign(invite, rules));
    let pdu = receipt::read(&invite, room_id, rules).unwrap().pdu;
    let events: Vec<_> = events.iter().map(raw).collect();
    let shown = shown::read(&events, &pdu, rules, faults)?.believed(keys, rules)?;
    Ok(shown.iter().map(|it| serde_json::from_str(it.get()).unwrap()).collect())
}

fn types(shown: &[JsonValue]) -> Vec<&str> {
    shown.iter().map(|it| it["type"].as_str().unwrap()).collect()
}

#[test]
fn before_version_12_what_is_of_no_use_is_left_out() {
    let name = json!({ "type": "m.room.name", "state_key": "", "sender": "@carol:three",
        "content": { "name": "Harbor" } });
    let with = |field: &str, value: JsonValue| {
        let mut event = name.clone();
        event["type"] = json!("m.room.topic");
        event[field] = value;
        event
    };
    let own = json!({ "type": "m.room.member", "state_key": "@bob:two", "sender": "@bob:two",
        "content": { "membership": "join" } });
    let events = [
        name.clone(),
        with("type", json!("m.room.name")),
        with("room_id", json!("!other:one")),
        with("state_key", json!(null)),
        with("sender", json!("carol")),
        with("content", json!("text")),
        with("type", json!("x".repeat(256))),
        own,
        json!({}),
    ];
    let shown = shown(&events, room(), &Keyring::default(), &V11).unwrap();
    assert_eq!(types(&shown), ["m.room.name", "m.room.member"]);
    assert_eq!(shown[0], name);
    assert_eq!(shown[1]["content"], json!({ "membership": "invite" }));
    assert!(shown[1].get("signatures").is_none());
}

#[test]
fn no_more_is_shown_than_anybody_needs() {
    let event = json!({ "type": "m.room.name", "state_key": "", "sender": "@carol:three",
        "content": { "name": "Harbor" } });
    let found = |events: &[JsonValue]| shown(events, room(), &Keyring::default(), &V11);
    assert!(found(&vec![event.clone(); MAX_EVENTS]).is_ok());
    assert_eq!(found(&vec![event.clone(); MAX_EVENTS + 1]), Err(ShownError::TooMuch));
    let mut large = event;
    large["content"]["name"] = json!("x".repeat(MAX_BYTES));
    assert_eq!(found(&[large]), Err(ShownError::TooMuch));
}

/// A room of version 12, by its create event, and a name of it.
fn room_of_version_12(by: &Server) -> (JsonValue, JsonValue) {
    let rules = RoomVersionRules::V12;
    let event = |event_type: &str, content: JsonValue| {
        json!({ "auth_events": [], "content": content, "depth": 1, "origin_server_ts": SENT_MS,
            "prev_events": [], "sender": "@alice:one", "state_key": "", "type": event_type })
    };
    let create = by.sign(event("m.room.create", json!({ "room_version": "12" })), &rules);
    let mut name = event("m.room.name", json!({ "name": "Harbor" }));
    let create_id = receipt::event_id(&raw(&create), &rules).unwrap();
    name["room_id"] = json!(create_id.as_str().replacen('$', "!", 1));
    (create, by.sign(name, &rules))
}

#[test]
fn from_version_12_on_it_is_events_of_the_room() {
    let rules = RoomVersionRules::V12;
    let one = Server::new("one");
    let (create, name) = room_of_version_12(&one);
    let room_id = RoomId::parse(name["room_id"].as_str().unwrap()).unwrap();
    let keys = keyring(&[&one]);
    let found = |events: &[JsonValue]| shown(events, &room_id, &keys, &rules);
    let all = found(&[create.clone(), name.clone()]).unwrap();
    assert_eq!(types(&all), ["m.room.create", "m.room.name", "m.room.member"]);
    assert_eq!(found(std::slice::from_ref(&name)), Err(ShownError::NoCreate));
    // Who has signed the name cannot be told; that the create event is the room's can.
    let without_keys =
        shown(&[create.clone(), name.clone()], &room_id, &Keyring::default(), &rules).unwrap();
    assert_eq!(types(&without_keys), ["m.room.create", "m.room.member"]);
    let mut forged = name.clone();
    forged["signatures"] =
        one.sign(json!({ "type": "m.other", "content": {} }), &rules)["signatures"].clone();
    let (other_create, other_name) = room_of_version_12(&Server::with_key("one", "2"));
    let mut other_room = name.clone();
    other_room["room_id"] = json!("!other");
    let stripped = json!({ "type": "m.room.topic", "state_key": "", "sender": "@alice:one",
        "content": {} });
    let mut message = name.clone();
    message.as_object_mut().unwrap().remove("state_key");
    let message = one.sign(message, &rules);
    let refused = [forged, other_room, stripped, message];
    for event in refused {
        let found = found(&[create.clone(), event.clone()]);
        assert!(found.is_err(), "{event}: {found:?}");
        let events = [create.clone(), event];
        let found = shown_with(&events, &room_id, &keys, &rules, Faults::LeftOut).unwrap();
        assert_eq!(types(&found), ["m.room.create", "m.room.member"], "the rest is shown");
    }
    // Of a key that is not known nobody knows whose it is.
    let found = found(&[other_create, other_name]).unwrap();
    assert_eq!(types(&found), ["m.room.create", "m.room.member"]);
}
