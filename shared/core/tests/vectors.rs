//! Test vectors of the specification ([spec]), and event IDs computed with Python's `json` and
//! `hashlib` (F15).
//!
//! [spec]: https://spec.matrix.org/v1.19/appendices/#cryptographic-test-vectors

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]
#![expect(dead_code, reason = "what the vectors do not need of what tests share")]

#[path = "support/server.rs"]
mod server;

use ruma::{
    CanonicalJsonObject, RoomId, RoomVersionId, UserId, server_name,
    signatures::{hash_and_sign_event, sign_json},
};
use serde_json::{Value as JsonValue, json};
use skerry_core::{
    SigningKey,
    pdu::{self, NewEvent},
    receipt::{self, Dropped, Keyring, Unverified, VerifyKey},
    room_version,
};

use self::server::{made_up, object, raw, versions};

/// The key of the vectors.
fn key() -> SigningKey {
    SigningKey::from_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1", "1").unwrap()
}

fn keys() -> Keyring {
    let mut keys = Keyring::default();
    let bytes = VerifyKey::decode(&key().public_base64()).unwrap();
    let server = server_name!("domain").to_owned();
    keys.insert(server, key().id().to_owned(), VerifyKey::current(&bytes, u64::MAX).unwrap());
    keys
}

#[test]
fn s_y3_json_is_signed_as_the_specification_has_it() {
    let cases = [
        (
            json!({}),
            "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
        ),
        (
            json!({ "one": 1, "two": "Two" }),
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
        ),
    ];
    for (json, signature) in cases {
        let mut signed = object(json.clone());
        sign_json("domain", key().pair(), &mut signed).unwrap();
        let mut expected = json;
        expected["signatures"] = json!({ "domain": { "ed25519:1": signature } });
        assert_eq!(json!(signed), expected);
    }
}

fn minimal() -> JsonValue {
    json!({
        "room_id": "!x:domain", "sender": "@a:domain", "origin": "domain",
        "origin_server_ts": 1_000_000, "signatures": {}, "hashes": {}, "type": "X", "content": {},
        "prev_events": [], "auth_events": [], "depth": 3, "unsigned": { "age_ts": 1_000_000 },
    })
}

const MINIMAL_SIGNATURE: &str =
    "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg";

#[test]
fn s_y3_events_are_signed_as_the_specification_has_it() {
    let with_content = json!({
        "content": { "body": "Here is the message content" }, "event_id": "$0:domain",
        "origin": "domain", "origin_server_ts": 1_000_000, "type": "m.room.message",
        "room_id": "!r:domain", "sender": "@u:domain", "signatures": {},
        "unsigned": { "age_ts": 1_000_000 },
    });
    let cases = [
        (minimal(), "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos", MINIMAL_SIGNATURE),
        (
            with_content,
            "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
            "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
        ),
    ];
    let rules = room_version::rules(&RoomVersionId::V1).unwrap();
    for (event, hash, signature) in cases {
        let mut signed = object(event.clone());
        hash_and_sign_event("domain", key().pair(), &mut signed, &rules.redaction).unwrap();
        let mut expected = event;
        expected["hashes"] = json!({ "sha256": hash });
        expected["signatures"] = json!({ "domain": { "ed25519:1": signature } });
        assert_eq!(json!(signed), expected);
    }
}

#[test]
fn s_y3_the_signed_event_of_the_specification_is_received() {
    let mut event = minimal();
    event["hashes"] = json!({ "sha256": "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos" });
    event["signatures"] = json!({ "domain": { "ed25519:1": MINIMAL_SIGNATURE } });
    let room_id = RoomId::parse("!x:domain").unwrap();
    for (version, rules) in versions() {
        let received = receipt::read(&raw(&event), &room_id, &rules);
        if rules.event_format.require_event_id {
            assert!(matches!(received, Err(Dropped::Format(_))), "{version}");
            continue;
        }
        let outcome = receipt::verify(received.unwrap(), &keys(), &rules);
        // From version 11 on `origin`, which is signed here, is not protected.
        match rules.redaction.keep_origin_membership_prev_state {
            true => assert!(!outcome.unwrap().redacted, "{version}"),
            false => assert!(matches!(outcome, Err(Unverified::Dropped(_))), "{version}"),
        }
    }
}

#[test]
fn s_y3_event_ids_are_reference_hashes_in_the_alphabet_of_the_version() {
    let mut event = json!({
        "auth_events": [], "content": { "body": "日本 22", "msgtype": "m.text" }, "depth": 3,
        "origin": "domain", "origin_server_ts": 1_000_000, "prev_events": [],
        "room_id": "!x:domain", "sender": "@a:domain", "type": "m.room.message",
        "unsigned": { "age": 1 },
    });
    event["hashes"] = json!({ "sha256": "qbLLATQWYL00r5//3Sh4YVD0T9cWUZ/kOr2jGZW/E14" });
    event["signatures"] = json!({ "domain": { "ed25519:1": "x" } });
    let room_id = RoomId::parse("!x:domain").unwrap();
    for (number, (version, rules)) in (1..).zip(versions()) {
        let expected = match number {
            1 | 2 => "$0:domain",
            3 => "$CWsD3Wwto9b+mvQyH1ijC/IR36KCSJJr1JzZsBtUzVM",
            4..=10 => "$CWsD3Wwto9b-mvQyH1ijC_IR36KCSJJr1JzZsBtUzVM",
            _ => "$jwf3eO2_Kt9MsY-82XVzxr-15t4ryZfvZZcgdHQxgnA",
        };
        let mut event = event.clone();
        if rules.event_format.require_event_id {
            event["event_id"] = json!("$0:domain");
        }
        let received = receipt::read(&raw(event), &room_id, &rules).unwrap();
        assert_eq!(received.pdu.event_id, expected, "{version}");
        let is_unchanged = received.pdu.content.get() != "{}";
        assert_eq!(is_unchanged, number > 2, "{version}: the ID is part of what is hashed");
    }
}

#[test]
fn s_y3_the_room_of_version_12_is_named_by_its_create_event() {
    let create = json!({
        "auth_events": [], "content": { "room_version": "12" }, "depth": 1,
        "hashes": { "sha256": "ccqBumrNf46eCfIkdZSYW9RNafS0xFYYDm5rnZBSVJU" },
        "origin_server_ts": 1_000_000, "prev_events": [], "sender": "@a:domain",
        "signatures": { "domain": { "ed25519:1": "x" } }, "state_key": "", "type": "m.room.create",
    });
    let rules = room_version::rules(&RoomVersionId::V12).unwrap();
    let room_id = RoomId::parse("!P5-6WTYQ_woy6f4nmleE0XqxjtZcyKGza5_gDN-KAdM").unwrap();
    let received = receipt::read(&raw(create), &room_id, &rules).unwrap();
    assert_eq!(received.pdu.event_id, "$P5-6WTYQ_woy6f4nmleE0XqxjtZcyKGza5_gDN-KAdM");
}

#[test]
fn s_y3_what_is_built_is_received_in_every_version() {
    let alice = UserId::parse("@alice:domain").unwrap();
    for (version, rules) in versions() {
        let hashed = rules.authorization.room_create_event_id_as_room_id;
        let random = RoomId::parse("!random:domain").unwrap();
        let room_id = (!hashed).then_some(&*random);
        let content = object(json!({ "creator": alice, "room_version": version }));
        let id = made_up(server_name!("domain"));
        let create =
            pdu::create_event(content, &alice, Some(&id), room_id, &rules, 5, &key()).unwrap();
        let event = |before| NewEvent {
            event_id: Some(&id),
            room_id: Some(&create.room_id),
            sender: &alice,
            event_type: "m.room.member",
            state_key: Some(alice.as_str()),
            content: object(json!({ "membership": "join", "displayname": "é\u{1}\"" })),
            redacts: None,
            prev_events: vec![before],
            auth_events: if hashed { vec![] } else { vec![before] },
            depth: 2,
            origin_server_ts: 6,
        };
        let join = pdu::build(event(&create), &rules, server_name!("domain"), &key()).unwrap();
        for pdu in [&create, &join] {
            let received = receipt::read(&raw(&pdu.json), &create.room_id, &rules).unwrap();
            let verified = receipt::verify(received, &keys(), &rules).unwrap();
            assert_eq!(format!("{:?}", verified.pdu), format!("{pdu:?}"), "{version}");
            assert!(!verified.redacted, "{version}");
        }
    }
}

#[test]
fn s_y3_canonical_json_is_as_the_specification_has_it() {
    let cases = [
        ("{}", "{}"),
        (r#"{ "one": 1, "two": "Two" }"#, r#"{"one":1,"two":"Two"}"#),
        (r#"{ "b": "2", "a": "1" }"#, r#"{"a":"1","b":"2"}"#),
        (
            r#"{ "auth": { "success": true, "mxid": "@john.doe:example.com", "profile": {
                "display_name": "John Doe", "three_pids": [
                    { "medium": "email", "address": "john.doe@example.org" },
                    { "medium": "msisdn", "address": "123456789" } ] } } }"#,
            concat!(
                r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","#,
                r#""three_pids":[{"address":"john.doe@example.org","medium":"email"},"#,
                r#"{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
            ),
        ),
        (r#"{ "a": "日本語" }"#, r#"{"a":"日本語"}"#),
        (r#"{ "本": 2, "日": 1 }"#, r#"{"日":1,"本":2}"#),
        (r#"{ "a": "\u65E5" }"#, r#"{"a":"日"}"#),
        (r#"{ "a": null }"#, r#"{"a":null}"#),
    ];
    for (json, canonical) in cases {
        let object: CanonicalJsonObject = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&object).unwrap(), canonical);
    }
    // The last example of the specification is not canonical to begin with, so events that hold it
    // are refused.
    assert!(serde_json::from_str::<CanonicalJsonObject>(r#"{ "a": -0, "b": 1e10 }"#).is_err());
}
