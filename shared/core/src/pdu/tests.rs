//! Tests of making and reading PDUs.

use std::collections::BTreeMap;

use ruma::{
    RoomVersionId, event_id, room_id, server_name,
    signatures::{PublicKeyMap, Verified, verify_event},
    user_id,
};
use serde_json::json;

use super::*;
use crate::{authorize, room_version};

fn key() -> SigningKey {
    SigningKey::from_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1", "1").unwrap()
}

/// What room versions 1 and 2 call a create event, and no other version.
fn create_id() -> &'static EventId {
    event_id!("$create:domain")
}

fn content(value: serde_json::Value) -> CanonicalJsonObject {
    serde_json::from_value(value).unwrap()
}

fn message(content: CanonicalJsonObject) -> NewEvent<'static> {
    NewEvent {
        event_id: Some(event_id!("$made-up:domain")),
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
    let keys: PublicKeyMap =
        BTreeMap::from([("domain".to_owned(), BTreeMap::from([(key.id().to_string(), public)]))]);
    let object = serde_json::from_str(&pdu.json).unwrap();
    verify_event(&keys, &object, &room_version::rules(version).unwrap()).unwrap()
}

#[test]
fn an_event_is_signed_hashed_and_named_in_every_version() {
    for version in room_version::SUPPORTED {
        let rules = room_version::rules(&version).unwrap();
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
        let pdu =
            create_event(content, alice, Some(create_id()), room_id, &rules, 5, &key()).unwrap();
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

#[test]
fn only_versions_1_and_2_take_the_id_they_are_given() {
    let sha256_base64_chars = 43;
    for version in room_version::SUPPORTED {
        let rules = room_version::rules(&version).unwrap();
        let content = content(json!({"body": "?".repeat(9)}));
        let pdu = build(message(content.clone()), &rules, server_name!("domain"), &key()).unwrap();
        let nameless = NewEvent { event_id: None, ..message(content) };
        let nameless = build(nameless, &rules, server_name!("domain"), &key());
        if ["1", "2"].contains(&version.as_str()) {
            assert_eq!(pdu.event_id, "$made-up:domain");
            assert!(pdu.json.contains(r#""event_id":"$made-up:domain""#), "{version}");
            assert!(matches!(nameless, Err(BuildError::Format(_))), "{version}");
        } else {
            assert_eq!(nameless.unwrap().event_id, pdu.event_id, "{version}");
            assert!(!pdu.json.contains("made-up"), "{version}");
            assert_eq!(pdu.event_id.as_str().len(), 1 + sha256_base64_chars, "{version}");
        }
    }
}

#[test]
fn event_ids_are_url_safe_from_version_4_on() {
    let ids = |version: RoomVersionId| {
        let rules = room_version::rules(&version).unwrap();
        let mut ids = String::new();
        for number in 0..20 {
            let event = message(content(json!({ "number": number })));
            let pdu = build(event, &rules, server_name!("domain"), &key()).unwrap();
            ids.push_str(pdu.event_id.as_str());
        }
        ids
    };
    assert!(ids(RoomVersionId::V3).contains(['+', '/']));
    assert!(!ids(RoomVersionId::V3).contains(['-', '_']));
    for version in room_version::SUPPORTED.iter().skip(3) {
        assert!(!ids(version.clone()).contains(['+', '/', '=']), "{version}");
    }
}

#[test]
fn references_carry_hashes_in_versions_1_and_2_and_read_the_same_everywhere() {
    for version in room_version::SUPPORTED {
        let rules = room_version::rules(&version).unwrap();
        let domain = server_name!("domain");
        let before = build(message(content(json!({}))), &rules, domain, &key()).unwrap();
        let mut event = message(content(json!({"body": "after"})));
        event.event_id = Some(event_id!("$after:domain"));
        event.prev_events = vec![&before];
        event.auth_events = vec![&before, &before];
        let pdu = build(event, &rules, domain, &key()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&pdu.json).unwrap();
        let expected = if ["1", "2"].contains(&version.as_str()) {
            let object = serde_json::from_str(&before.json).unwrap();
            let hash = reference_hash(&object, &rules).unwrap();
            json!([before.event_id, { "sha256": hash }])
        } else {
            json!(before.event_id)
        };
        assert_eq!(json["prev_events"], json!([expected]), "{version}");
        assert_eq!(json["auth_events"], json!([expected, expected]), "{version}");
        let room_id = room_id!("!room:domain");
        let again = Pdu::from_stored(pdu.event_id.clone(), room_id, pdu.json.clone()).unwrap();
        assert_eq!(again.prev_events, std::slice::from_ref(&before.event_id), "{version}");
        assert_eq!((again.prev_events, again.auth_events), (pdu.prev_events, pdu.auth_events));
    }
}

#[test]
fn a_redacted_event_that_is_none_is_nothing() {
    let id = event_id!("$x:y");
    for redacts in ["5", "null", r#""not an ID""#, "{}"] {
        let json = format!(
            r#"{{"auth_events":[],"content":{{}},"depth":1,"origin_server_ts":1,"prev_events":[],
            "redacts":{redacts},"room_id":"!a:b","sender":"@a:b","type":"t"}}"#
        );
        let pdu = Pdu::from_stored(id.to_owned(), room_id!("!a:b"), json.into()).unwrap();
        assert_eq!(pdu.redacts, None, "{redacts}");
    }
}

#[test]
fn the_rules_of_every_version_allow_its_create_event() {
    for version in room_version::SUPPORTED {
        let rules = room_version::rules(&version).unwrap();
        let hashed = rules.authorization.room_create_event_id_as_room_id;
        let room_id = (!hashed).then_some(room_id!("!random:domain"));
        let alice = user_id!("@alice:domain");
        let content = content(json!({"room_version": version.as_str(), "creator": alice}));
        let create =
            create_event(content.clone(), alice, Some(create_id()), room_id, &rules, 5, &key());
        let create = create.unwrap();
        assert_eq!(create.names_its_room(), hashed, "{version}");
        assert_eq!(authorize::check(&create, &[], &rules), Ok(()), "{version}");
        if hashed {
            // One that says a room ID is not the event that its hash would name.
            let id = Some(room_id!("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"));
            let liar = create_event(content, alice, None, id, &rules, 5, &key()).unwrap();
            assert!(authorize::check(&liar, &[], &rules).is_err());
        }
    }
}
