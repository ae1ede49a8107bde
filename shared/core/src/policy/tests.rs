//! Which rooms use a policy server, what its signature is worth, and when it is left alone.

use ruma::{RoomVersionId, room_id, server_name, user_id};
use serde_json::{Value as JsonValue, json, value::to_raw_value};

use super::*;
use crate::{
    Pdu, SigningKey,
    pdu::{self, NewEvent},
    room_version,
};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32], "policy_server").unwrap()
}

fn named(content: &JsonValue) -> Option<PolicyServer> {
    PolicyServer::named(&to_raw_value(content).unwrap())
}

fn policy() -> PolicyServer {
    let keys = json!({ "ed25519": key(1).public_base64() });
    named(&json!({ "via": "policy", "public_keys": keys })).unwrap()
}

fn rules(version: &str) -> RoomVersionRules {
    room_version::rules(&RoomVersionId::try_from(version).unwrap()).unwrap()
}

fn versions() -> impl Iterator<Item = RoomVersionRules> {
    ["1", "6", "11", "12"].into_iter().map(rules)
}

/// A message of a user of this server.
fn message(server: &str, body: &str, rules: &RoomVersionRules) -> Pdu {
    let server = ServerName::parse(server).unwrap();
    let id = ruma::event_id!("$made:up");
    let content = pdu::parse_content(&to_raw_value(&json!({ "body": body })).unwrap()).unwrap();
    let sender = user_id!("@bob:policy");
    let event = NewEvent {
        event_id: Some(id),
        room_id: Some(room_id!("!room:one")),
        sender,
        event_type: "m.room.message",
        state_key: None,
        content,
        redacts: None,
        prev_events: Vec::new(),
        auth_events: Vec::new(),
        depth: 1,
        origin_server_ts: 1,
    };
    let key = SigningKey::from_seed([9; 32], "1").unwrap();
    pdu::build(event, rules, &server, &key).unwrap()
}

fn signature(json: &str, key: &SigningKey, rules: &RoomVersionRules) -> String {
    let text = EventJson::stored(json).unwrap().signed_text(&rules.redaction).unwrap();
    key.sign(text.as_bytes()).base64()
}

/// F2
#[test]
fn a_room_uses_a_policy_server_that_is_named_and_joined() {
    let key = key(1).public_base64();
    let keys = json!({ "ed25519": key });
    let cases = [
        ("named and joined", json!({ "via": "policy", "public_keys": keys }), true, true),
        ("not joined", json!({ "via": "policy", "public_keys": keys }), false, false),
        ("nothing", json!({}), true, false),
        ("no server", json!({ "public_keys": keys }), true, false),
        ("no text for a server", json!({ "via": 1, "public_keys": keys }), true, false),
        ("no server's name", json!({ "via": "a b", "public_keys": keys }), true, false),
        ("no keys", json!({ "via": "policy" }), true, false),
        ("keys that are a list", json!({ "via": "policy", "public_keys": [key] }), true, false),
        ("no such key", json!({ "via": "policy", "public_keys": { "x": key } }), true, false),
        (
            "a key that is no text",
            json!({ "via": "policy", "public_keys": { "ed25519": 1 } }),
            true,
            false,
        ),
        // Valid all the same: nothing that it signs is.
        (
            "a key that is none",
            json!({ "via": "policy", "public_keys": { "ed25519": "?" } }),
            true,
            true,
        ),
        (
            "other keys beside it",
            json!({ "via": "policy", "x": 1, "public_keys": { "ed25519": key, "y": 1, "z": "?" } }),
            true,
            true,
        ),
    ];
    for (name, content, has_joined_user, expected) in cases {
        let used = named(&content).and_then(|it| it.used(has_joined_user));
        assert_eq!(used.is_some(), expected, "{name}");
        assert!(used.is_none_or(|it| it.via == "policy"), "{name}");
    }
}

/// F2
#[test]
fn a_signature_counts_by_the_key_in_the_room() {
    let policy = policy();
    for rules in versions() {
        let pdu = message("policy", "hello", &rules);
        assert!(!policy.has_signed(&pdu.json, &rules));
        let valid = signature(&pdu.json, &key(1), &rules);
        let signed = policy.add(&pdu.json, &valid, &rules).unwrap();
        assert!(policy.has_signed(&signed, &rules));
        // What its sender's server has signed with is still there, and it is the same event.
        let object: JsonValue = serde_json::from_str(&signed).unwrap();
        assert_eq!(object["signatures"]["policy"].as_object().unwrap().len(), 2);
        let again = Pdu::from_signed(&to_raw_value(&object).unwrap(), &rules).unwrap();
        assert_eq!(again.event_id, pdu.event_id);
        assert_eq!(&*again.json, signed, "canonical JSON");
        // Of what stays of it when it is redacted, too.
        let redacted = crate::redact::redacted(&signed, &rules.redaction).unwrap();
        assert!(policy.has_signed(&redacted, &rules));

        let other = message("policy", "spam", &rules);
        let depth_changed = signed.replace(r#""depth":1"#, r#""depth":2"#);
        for (name, json, it) in [
            ("another key", &*pdu.json, signature(&pdu.json, &key(2), &rules)),
            ("another event", &*other.json, valid.clone()),
            ("nonsense", &*pdu.json, "?".to_owned()),
            ("nothing", &*pdu.json, String::new()),
        ] {
            assert_eq!(policy.add(json, &it, &rules), Err(Unsigned::Invalid), "{name}");
        }
        assert!(!policy.has_signed(&depth_changed, &rules));
        assert!(!policy.has_signed("[]", &rules));
        // Under the name of another server it is nobody's.
        let renamed = message("other", "hello", &rules);
        let renamed = policy.add(&renamed.json, &valid, &rules);
        let moved = renamed.unwrap().replace(r#""policy":{"#, r#""third":{"#);
        assert!(!policy.has_signed(&moved, &rules));
        let keyless = json!({ "via": "policy", "public_keys": { "ed25519": "?" } });
        assert!(!named(&keyless).unwrap().has_signed(&signed, &rules));
    }
}

#[test]
fn an_event_is_no_larger_for_a_signature_than_any_may_be() {
    let policy = policy();
    let rules = rules("11");
    let small = message("one", "", &rules).json.len();
    for (bytes, expected) in
        [(MAX_PDU_BYTES - 300, Ok(())), (MAX_PDU_BYTES, Err(Unsigned::TooLarge))]
    {
        let pdu = message("one", &"x".repeat(bytes - small), &rules);
        let valid = signature(&pdu.json, &key(1), &rules);
        assert_eq!(policy.add(&pdu.json, &valid, &rules).map(drop), expected);
    }
}

/// F2
#[test]
fn what_names_the_policy_server_alone_is_not_asked_about() {
    for (event_type, state_key, expected) in [
        ("m.room.policy", Some(""), true),
        ("m.room.policy", Some("x"), false),
        ("m.room.policy", None, false),
        ("m.room.member", Some(""), false),
        ("m.room.message", None, false),
    ] {
        assert_eq!(is_exempt(event_type, state_key), expected, "{event_type} {state_key:?}");
    }
}

/// F2
#[test]
fn a_policy_server_that_does_not_answer_is_asked_ever_less_often() {
    let (one, two) = (server_name!("one"), server_name!("two"));
    let mut it = BackOff::default();
    let mut now_ms = 0;
    for wait_ms in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
        assert!(it.may_ask(one, now_ms));
        it.failed(one, now_ms);
        // One that was asked at the same time.
        it.failed(one, now_ms);
        assert!(!it.may_ask(one, now_ms + wait_ms - 1));
        assert!(it.may_ask(two, now_ms), "another one");
        now_ms += wait_ms;
    }
    it.answered();
    it.failed(one, now_ms);
    assert!(it.may_ask(one, now_ms + BACK_OFF_MS));
    it.failed(two, now_ms);
    assert!(!it.may_ask(two, now_ms) && it.may_ask(one, now_ms));
}
