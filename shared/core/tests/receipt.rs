//! The checks performed on receipt of a PDU: format, signatures, hashes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

#[path = "support/server.rs"]
mod server;

use ruma::{RoomId, room_version_rules::RoomVersionRules, serde::Base64};
use serde_json::{Value as JsonValue, json};
use skerry_core::{
    Pdu,
    receipt::{self, Dropped, Keyring, MAX_BYTES, Unverified, VerifyKey},
};

use self::server::{
    SENT_MS, Server, VALID_UNTIL_MS, dropped, keyring, made_up, raw, receive, room, versions,
};

const V11: RoomVersionRules = RoomVersionRules::V11;

fn value(pdu: &Pdu) -> JsonValue {
    serde_json::from_str(&pdu.json).unwrap()
}

/// The least an event is made of, unsigned.
fn bare(rules: &RoomVersionRules) -> JsonValue {
    let mut event = json!({
        "auth_events": [], "content": { "body": "hi" }, "depth": 1, "origin_server_ts": SENT_MS,
        "prev_events": [], "room_id": room(), "sender": "@alice:one", "type": "m.room.message",
    });
    if rules.event_format.require_event_id {
        event["event_id"] = json!("$made-up:one");
    }
    event
}

/// What comes of a bare event with these fields (null: without them), signed by server one.
fn outcome(fields: &JsonValue, rules: &RoomVersionRules) -> Result<Pdu, Unverified> {
    let one = Server::new("one");
    let mut event = bare(rules);
    for (name, value) in fields.as_object().unwrap() {
        match value {
            JsonValue::Null => event.as_object_mut().unwrap().remove(name),
            value => event.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    receive(one.sign(event, rules), &keyring(&[&one]), rules).map(|it| it.pdu)
}

#[test]
fn what_a_server_makes_another_receives_unchanged_in_every_version() {
    let one = Server::new("one");
    for (version, rules) in versions() {
        let pdu = one.message("hi 本", &rules);
        let verified = receive(&pdu.json, &keyring(&[&one]), &rules).unwrap();
        assert_eq!(format!("{:?}", verified.pdu), format!("{pdu:?}"), "{version}");
        assert!(!verified.redacted, "{version}");
        let again = receive(&verified.pdu.json, &keyring(&[&one]), &rules).unwrap();
        assert_eq!(again.pdu.json, pdu.json, "{version}");
    }
}

#[test]
fn t8a_changed_content_is_redacted_and_changed_protected_key_is_dropped() {
    let one = Server::new("one");
    let keys = keyring(&[&one]);
    for (version, rules) in versions() {
        let pdu = one.message("what alice said", &rules);
        let mut changed = value(&pdu);
        changed["content"]["body"] = json!("what alice never said");
        let verified = receive(&changed, &keys, &rules).unwrap();
        assert!(verified.redacted, "{version}");
        assert_eq!(verified.pdu.event_id, pdu.event_id, "{version}");
        assert_eq!(verified.pdu.content.get(), "{}", "{version}");
        assert!(!verified.pdu.json.contains("said"), "{version}");
        let expected = skerry_core::redact::redacted(&pdu.json, &rules.redaction).unwrap();
        assert_eq!(&*verified.pdu.json, expected, "{version}");
        // It stays what it is when it is passed on.
        let again = receive(&verified.pdu.json, &keys, &rules).unwrap();
        assert_eq!(again.pdu.json, verified.pdu.json, "{version}");

        let protected = [
            ("type", json!("m.room.name")),
            ("sender", json!("@mallory:one")),
            ("state_key", json!("")),
            ("depth", json!(8)),
            ("origin_server_ts", json!(SENT_MS + 1)),
            ("hashes", json!({ "sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU" })),
        ];
        for (key, to) in protected {
            let mut changed = value(&pdu);
            changed[key] = to;
            let dropped = dropped(&changed, &keys, &rules);
            assert!(matches!(dropped, Dropped::Signature(_)), "{version}, {key}: {dropped}");
        }
    }
}

#[test]
fn t9a_origin_is_ignored_and_the_senders_domain_must_sign() {
    let [one, two] = [Server::new("one"), Server::new("two")];
    let keys = keyring(&[&one, &two]);
    for (version, rules) in versions() {
        let mut event = bare(&rules);
        event["origin"] = json!("two");
        let honest = one.sign(event.clone(), &rules);
        assert!(receive(&honest, &keys, &rules).is_ok(), "{version}");
        let forged = dropped(two.sign(event, &rules), &keys, &rules);
        let expected = Dropped::Signature("one has not signed it".to_owned());
        assert_eq!(forged, expected, "{version}");

        // Another server's signature, under the name of the sender's.
        let mut renamed = two.sign(bare(&rules), &rules);
        let signature = renamed["signatures"]["two"].take();
        renamed["signatures"] = json!({ "one": signature });
        let forged = dropped(renamed, &keys, &rules);
        assert_eq!(forged, Dropped::Signature("the signature of one is not valid".to_owned()));
    }
}

#[test]
fn t3c_event_ids_are_recomputed_never_taken_from_a_peer() {
    let one = Server::new("one");
    let keys = keyring(&[&one]);
    for (version, rules) in versions() {
        let pdu = one.message("hi", &rules);
        let mut renamed = value(&pdu);
        renamed["event_id"] = json!("$made-up-too:one");
        if rules.event_format.require_event_id {
            // The ID is signed there.
            let dropped = dropped(renamed, &keys, &rules);
            assert!(matches!(dropped, Dropped::Signature(_)), "{version}: {dropped}");
            continue;
        }
        // There it is a field like any other that the signature covers and nothing reads.
        let dropped = dropped(renamed, &keys, &rules);
        assert!(matches!(dropped, Dropped::Signature(_)), "{version}: {dropped}");
        let mut event = bare(&rules);
        event["event_id"] = json!("$made-up:one");
        let verified = receive(one.sign(event, &rules), &keys, &rules).unwrap();
        assert_ne!(verified.pdu.event_id, "$made-up:one", "{version}");
        assert_eq!(verified.pdu.event_id.as_str().len(), 44, "{version}");
    }
}

#[test]
fn f11_an_event_needs_no_event_id_from_version_3_on() {
    for (version, rules) in versions() {
        let outcome = outcome(&json!({ "event_id": null }), &rules);
        let has_id_in_it = ["1", "2"].contains(&version.as_str());
        assert_eq!(outcome.is_err(), has_id_in_it, "{version}");
    }
}

#[test]
fn f11_only_versions_1_to_5_have_numbers_that_are_not_canonical() {
    let one = Server::new("one");
    for (version, rules) in versions() {
        for number in ["1.5", "1e3", "9007199254740992", "-9007199254740992", "-0", "1.0"] {
            let mut signed = one.sign(bare(&rules), &rules).to_string();
            signed = signed.replace(r#""hi""#, number);
            let read = receipt::read(&raw(&signed), room(), &rules);
            let is_lax = version.as_str().parse::<u8>().unwrap() < 6;
            assert_eq!(read.is_ok(), is_lax, "{version}: {number}: {:?}", read.err());
        }
    }
}

#[test]
fn f11_giant_events_are_refused() {
    let one = Server::new("one");
    let keys = keyring(&[&one]);
    let padded = |bytes: usize| {
        let mut event = bare(&V11);
        event["content"] = json!({ "a": "" });
        // Any signature will do: the size of an event does not depend on it.
        let overhead = one.sign(event.clone(), &V11).to_string().len();
        event["content"] = json!({ "a": "x".repeat(bytes - overhead) });
        event["hashes"] = json!({ "sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU" });
        event["signatures"] = json!({ "one": { "ed25519:1": "x".repeat(86) } });
        event.to_string()
    };
    let signature = |it| matches!(it, Dropped::Signature(_));
    assert!(signature(dropped(padded(MAX_BYTES), &keys, &V11)));
    assert_eq!(dropped(padded(MAX_BYTES + 1), &keys, &V11), Dropped::TooLarge);
    // `unsigned` is part of the whole.
    let with_unsigned = padded(MAX_BYTES - 19).replacen('{', r#"{"unsigned":{"a":1},"#, 1);
    assert!(signature(dropped(&with_unsigned, &keys, &V11)));
    let with_unsigned = with_unsigned.replacen(r#""a":1"#, r#""a":12"#, 1);
    assert_eq!(dropped(with_unsigned, &keys, &V11), Dropped::TooLarge);
    // White space is not, up to a limit.
    let spaced =
        |spaces: usize| padded(MAX_BYTES).replacen('{', &format!("{{{}", " ".repeat(spaces)), 1);
    assert!(signature(dropped(spaced(2 * MAX_BYTES), &keys, &V11)));
    assert_eq!(dropped(spaced(3 * MAX_BYTES + 1), &keys, &V11), Dropped::TooLarge);
}

#[test]
fn f11_deep_and_malformed_events_are_refused() {
    let deep = |depth| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let cases = [
        deep(127),
        deep(100_000),
        "[".repeat(100_000),
        "{}".into(),
        "[]".into(),
        "null".into(),
        "1".into(),
        r#""text""#.into(),
        r#"{"type":1}"#.into(),
        r#"{"content":[]}"#.into(),
    ];
    for (version, rules) in versions() {
        for json in &cases {
            // Text that is not JSON at all never becomes a `RawValue`.
            let Ok(json) = serde_json::value::RawValue::from_string(json.clone()) else { continue };
            let dropped = receipt::read(&json, room(), &rules).unwrap_err();
            assert!(matches!(dropped, Dropped::Format(_)), "{version}: {dropped}");
        }
    }
}

#[test]
fn f11_every_field_has_its_format() {
    let long = "x".repeat(256);
    let cases: [(&str, JsonValue); 26] = [
        ("auth_events", JsonValue::Null),
        ("auth_events", json!({})),
        ("auth_events", json!([1])),
        ("auth_events", json!(["no sigil"])),
        ("auth_events", json!([["$a:one", {}, {}]])),
        ("prev_events", json!([[{}, "$a:one"]])),
        ("prev_events", json!([format!("${long}")])),
        ("prev_events", json!("$a:one")),
        ("depth", json!(-1)),
        ("depth", json!("1")),
        ("depth", JsonValue::Null),
        ("origin_server_ts", json!(-1)),
        ("origin_server_ts", json!("1")),
        ("sender", json!("alice")),
        ("sender", json!(format!("@{long}:one"))),
        ("type", json!(long)),
        ("state_key", json!(long)),
        ("state_key", json!(5)),
        ("room_id", json!(5)),
        ("room_id", JsonValue::Null),
        ("content", json!([])),
        ("type", json!(1.5)),
        ("state_key", json!(1.5)),
        ("depth", json!(1.5)),
        ("depth", json!(1_u64 << 63)),
        ("origin_server_ts", json!(1.5)),
    ];
    for (version, rules) in versions() {
        for (field, to) in &cases {
            let mut event = bare(&rules);
            event["hashes"] = json!({ "sha256": "" });
            event["signatures"] = json!({ "one": { "ed25519:1": "" } });
            match to {
                JsonValue::Null => drop(event.as_object_mut().unwrap().remove(*field)),
                to => event[field] = to.clone(),
            }
            let dropped = receipt::read(&raw(event), room(), &rules).unwrap_err();
            assert!(matches!(dropped, Dropped::Format(_)), "{version}, {field}, {to}: {dropped}");
        }
        for field in ["hashes", "signatures"] {
            let mut event = Server::new("one").sign(bare(&rules), &rules);
            event[field] = json!([]);
            let dropped = receipt::read(&raw(event), room(), &rules).unwrap_err();
            assert!(matches!(dropped, Dropped::Format(_)), "{version}, {field}: {dropped}");
        }
    }
}

#[test]
fn references_have_the_form_of_their_version_and_are_not_too_many() {
    for (version, rules) in versions() {
        let is_old = ["1", "2"].contains(&version.as_str());
        let plain = |number| JsonValue::from(vec!["$a:one"; number]);
        let hashed = |number| JsonValue::from(vec![json!(["$a:one", { "sha256": "" }]); number]);
        let (right, wrong): (&dyn Fn(usize) -> JsonValue, &dyn Fn(usize) -> JsonValue) =
            if is_old { (&hashed, &plain) } else { (&plain, &hashed) };
        assert!(outcome(&json!({ "prev_events": right(20) }), &rules).is_ok(), "{version}");
        assert!(outcome(&json!({ "prev_events": right(21) }), &rules).is_err(), "{version}");
        assert!(outcome(&json!({ "prev_events": wrong(1) }), &rules).is_err(), "{version}");
        assert!(outcome(&json!({ "auth_events": right(10) }), &rules).is_ok(), "{version}");
        assert!(outcome(&json!({ "auth_events": right(11) }), &rules).is_err(), "{version}");
        assert!(outcome(&json!({ "auth_events": wrong(1) }), &rules).is_err(), "{version}");
    }
}

#[test]
fn an_event_of_another_room_is_dropped() {
    let one = Server::new("one");
    for (version, rules) in versions() {
        let pdu = one.message("hi", &rules);
        let other = RoomId::parse("!other:one").unwrap();
        let dropped = receipt::read(&raw(&pdu.json), &other, &rules).unwrap_err();
        assert_eq!(dropped, Dropped::Room(room().to_owned()), "{version}");
    }
}

#[test]
fn the_create_event_of_version_12_names_its_room_and_says_none() {
    let one = Server::new("one");
    let rules = RoomVersionRules::V12;
    let create = json!({
        "auth_events": [], "content": { "room_version": "12" }, "depth": 1, "prev_events": [],
        "origin_server_ts": SENT_MS, "sender": "@alice:one", "state_key": "",
        "type": "m.room.create",
    });
    let signed = one.sign(create.clone(), &rules);
    let dropped = receipt::read(&raw(&signed), room(), &rules).unwrap_err();
    let Dropped::Room(named) = dropped else { panic!("{dropped}") };
    let received = receipt::read(&raw(&signed), &named, &rules).unwrap();
    assert_eq!(received.pdu.room_id, named);
    assert_eq!(received.pdu.event_id.as_str()[1..], named.as_str()[1..]);
    let verified = receipt::verify(received, &keyring(&[&one]), &rules).unwrap();
    assert!(verified.pdu.names_its_room());

    let mut with_room = create;
    with_room["room_id"] = json!(named);
    let dropped = receipt::read(&raw(one.sign(with_room, &rules)), room(), &rules).unwrap_err();
    assert_eq!(dropped, Dropped::Room(named));
}

#[test]
fn unsigned_is_not_kept_and_the_rest_is() {
    let one = Server::new("one");
    let keys = keyring(&[&one]);
    for (version, rules) in versions() {
        let pdu = one.message("hi", &rules);
        let mut with_unsigned = value(&pdu);
        with_unsigned["unsigned"] = json!({ "age": 5, "prev_content": { "body": "planted" } });
        let pretty = serde_json::to_string_pretty(&with_unsigned).unwrap();
        let verified = receive(pretty, &keys, &rules).unwrap();
        assert_eq!(verified.pdu.json, pdu.json, "{version}");
        assert!(!verified.redacted, "{version}");
    }
}

#[test]
fn of_a_key_that_is_there_twice_the_last_one_counts_everywhere() {
    let one = Server::new("one");
    let pdu = one.message("hi", &V11);
    let twice = pdu.json.replacen('{', r#"{"content":{"body":"planted"},"#, 1);
    let verified = receive(twice, &keyring(&[&one]), &V11).unwrap();
    assert_eq!(verified.pdu.json, pdu.json);
}

#[test]
fn events_with_floats_are_hashed_signed_and_redacted_in_versions_1_to_5() {
    // What Python's canonicaljson makes of this content, in the order it hashes it.
    let content = r#"{"big":123456789012345678901,"float":1e+16,"half":0.5,"z":[1.0,-0.0]}"#;
    let written = r#"{"z":[1e0,-0.0],"half":5e-1,"float":1e16,"big":123456789012345678901}"#;
    let one = Server::new("one");
    for (version, rules) in versions().into_iter().take(5) {
        use sha2::Digest as _;
        let mut event = bare(&rules);
        event["depth"] = json!(i64::MAX - 1);
        event["content"] = json!("CONTENT");
        let hashed = event.to_string().replace(r#""CONTENT""#, content);
        let hash = Base64::<ruma::serde::base64::Standard, _>::new(
            sha2::Sha256::digest(hashed.as_bytes()).to_vec(),
        );
        event["hashes"] = json!({ "sha256": hash.encode() });
        event["content"] = json!({});
        // Signed without its content, and without what canonical JSON cannot hold.
        let signature = one.key.sign(event.to_string().as_bytes()).base64();
        event["signatures"] = json!({ "one": { "ed25519:1": signature } });
        let redacted = event.to_string();
        event["content"] = json!("CONTENT");
        let stored = event.to_string().replace(r#""CONTENT""#, content);
        let sent = event.to_string().replace(r#""CONTENT""#, written);

        let verified = receive(sent, &keyring(&[&one]), &rules).unwrap();
        assert!(!verified.redacted, "{version}");
        assert_eq!(&*verified.pdu.json, stored, "{version}");
        assert_eq!(verified.pdu.content.get(), content, "{version}");
        assert_eq!(verified.pdu.depth, (1 << 53) - 1, "{version}");
        let stored = Pdu::from_stored(verified.pdu.event_id.clone(), room(), stored.into());
        assert_eq!(format!("{:?}", stored.unwrap()), format!("{:?}", verified.pdu), "{version}");
        let again = skerry_core::redact::redacted(&verified.pdu.json, &rules.redaction).unwrap();
        assert_eq!(again, redacted, "{version}");
        let again = receive(again, &keyring(&[&one]), &rules).unwrap();
        assert_eq!(again.pdu.event_id, verified.pdu.event_id, "{version}");
    }
}

mod signatures {
    //! Who has to sign, with which keys.

    use super::*;

    fn needed(outcome: Result<receipt::Verified, Unverified>) -> Vec<String> {
        match outcome.unwrap_err() {
            Unverified::NeedsKeys(keys) => {
                keys.iter().map(|(server, key_id)| format!("{server} {key_id}")).collect()
            }
            Unverified::Dropped(dropped) => panic!("dropped: {dropped}"),
        }
    }

    #[test]
    fn a_signature_by_an_unknown_key_needs_it() {
        let [one, other] = [Server::new("one"), Server::with_key("one", "2")];
        for (version, rules) in versions() {
            let signed = one.sign(bare(&rules), &rules);
            let none = Keyring::default();
            assert_eq!(needed(receive(&signed, &none, &rules)), ["one ed25519:1"], "{version}");
            let received = receipt::read(&raw(&signed), room(), &rules).unwrap();
            assert_eq!(received.missing_keys(&none, &rules).len(), 1, "{version}");
            assert!(received.missing_keys(&keyring(&[&one]), &rules).is_empty(), "{version}");
            assert_eq!(received.signers().collect::<Vec<_>>(), ["one"], "{version}");
            assert_eq!(received.key_ids().count(), 1, "{version}");

            // One that is known is enough, and both are asked for if none is.
            let both = other.sign(signed, &rules);
            assert!(receive(&both, &keyring(&[&one]), &rules).is_ok(), "{version}");
            assert!(receive(&both, &keyring(&[&other]), &rules).is_ok(), "{version}");
            let expected = ["one ed25519:1", "one ed25519:2"];
            assert_eq!(needed(receive(&both, &none, &rules)), expected, "{version}");
        }
    }

    #[test]
    fn a_wrong_signature_by_a_known_key_is_not_made_good_by_another() {
        let [one, other] = [Server::new("one"), Server::with_key("one", "2")];
        let mut both = other.sign(one.sign(bare(&V11), &V11), &V11);
        both["signatures"]["one"]["ed25519:2"] = json!("A".repeat(86));
        assert!(receive(&both, &keyring(&[&one]), &V11).is_ok());
        dropped(&both, &keyring(&[&one, &other]), &V11);
        both["signatures"]["one"]["ed25519:2"] = json!("not base64");
        dropped(&both, &keyring(&[&one, &other]), &V11);
    }

    #[test]
    fn signatures_of_other_kinds_and_other_servers_are_ignored() {
        let one = Server::new("one");
        let mut signed = one.sign(bare(&V11), &V11);
        signed["signatures"]["one"]["rsa:1"] = json!("x");
        signed["signatures"]["one"]["no key ID"] = json!([]);
        signed["signatures"]["policy.example"] = json!({ "ed25519:policy_server": "x" });
        assert!(receive(&signed, &keyring(&[&one]), &V11).is_ok());
        signed["signatures"]["one"].as_object_mut().unwrap().remove("ed25519:1");
        let dropped = dropped(signed, &keyring(&[&one]), &V11);
        assert_eq!(dropped, Dropped::Signature("one has not signed it".to_owned()));
    }

    #[test]
    fn a_server_that_signs_a_hundred_times_is_not_listened_to() {
        let one = Server::new("one");
        let mut signed = one.sign(bare(&V11), &V11);
        for number in 0..100 {
            signed["signatures"]["one"][format!("ed25519:{number}")] = json!("x");
        }
        assert!(matches!(dropped(signed, &keyring(&[&one]), &V11), Dropped::Signature(_)));
    }

    #[test]
    fn keys_have_to_be_valid_when_the_event_was_sent_from_version_5_on() {
        let one = Server::new("one");
        let bytes = *one.verify_key().as_bytes();
        let current = |it| VerifyKey::current(&bytes, it).unwrap();
        let old = |it| VerifyKey::old(&bytes, it).unwrap();
        let cases = [
            (current(VALID_UNTIL_MS), "valid"),
            (current(SENT_MS), "valid"),
            (current(SENT_MS - 1), "needs"),
            (old(SENT_MS + 1), "valid"),
            (old(SENT_MS), "valid"),
            (old(SENT_MS - 1), "dropped"),
        ];
        for (version, rules) in versions() {
            let is_enforced = version.as_str().parse::<u8>().unwrap() >= 5;
            for (key, expected) in cases {
                let mut keys = Keyring::default();
                keys.insert(one.name.clone(), one.key.id().to_owned(), key);
                let found = match receive(one.sign(bare(&rules), &rules), &keys, &rules) {
                    Ok(_) => "valid",
                    Err(Unverified::NeedsKeys(_)) => "needs",
                    Err(Unverified::Dropped(_)) => "dropped",
                };
                let expected = if is_enforced { expected } else { "valid" };
                assert_eq!(found, expected, "{version}: {key:?}");
            }
        }
    }

    #[test]
    fn the_server_of_the_event_id_signs_too_in_versions_1_and_2() {
        let [one, two] = [Server::new("one"), Server::new("two")];
        for (version, rules) in versions() {
            let mut event = bare(&rules);
            event["event_id"] = json!(made_up(&two.name));
            let alone = one.sign(event, &rules);
            let outcome = receive(&alone, &keyring(&[&one, &two]), &rules);
            let is_needed = ["1", "2"].contains(&version.as_str());
            assert_eq!(outcome.is_err(), is_needed, "{version}");
            let both = two.sign(alone, &rules);
            assert!(receive(both, &keyring(&[&one, &two]), &rules).is_ok(), "{version}");
        }
    }

    fn member(rules: &RoomVersionRules, content: JsonValue) -> JsonValue {
        let mut event = bare(rules);
        event["type"] = json!("m.room.member");
        event["state_key"] = json!("@alice:one");
        event["content"] = content;
        event
    }

    #[test]
    fn the_server_that_lets_somebody_join_signs_too_from_version_8_on() {
        let [one, two] = [Server::new("one"), Server::new("two")];
        let keys = keyring(&[&one, &two]);
        let by = |user: JsonValue| json!({ "membership": "join", "join_authorised_via_users_server": user });
        for (version, rules) in versions() {
            let is_known = version.as_str().parse::<u8>().unwrap() >= 8;
            let alone = one.sign(member(&rules, by(json!("@bob:two"))), &rules);
            assert_eq!(receive(&alone, &keys, &rules).is_err(), is_known, "{version}");
            let both = two.sign(alone, &rules);
            assert!(receive(both, &keys, &rules).is_ok(), "{version}");
            for nobody in [json!("bob"), json!(5)] {
                let event = one.sign(member(&rules, by(nobody)), &rules);
                assert_eq!(receive(event, &keys, &rules).is_err(), is_known, "{version}");
            }
            // Only what is a membership event says who lets somebody join.
            let mut message = bare(&rules);
            message["content"] = by(json!("@bob:two"));
            assert!(receive(one.sign(message, &rules), &keys, &rules).is_ok(), "{version}");
        }
    }

    #[test]
    fn another_server_may_send_a_third_party_invite_but_not_forge_an_invite_with_one() {
        let [one, two] = [Server::new("one"), Server::new("two")];
        let keys = keyring(&[&one, &two]);
        for (version, rules) in versions() {
            let invite = json!({ "membership": "invite", "third_party_invite": { "signed": {} } });
            let mut event = member(&rules, invite);
            event["event_id"] = json!(made_up(&two.name));
            let honest = two.sign(event.clone(), &rules);
            assert!(receive(&honest, &keys, &rules).is_ok(), "{version}");

            // With a wrong hash it is redacted, and an invite of Alice where redaction takes
            // `third_party_invite` away.
            let mut forged = honest;
            forged["content"]["x"] = json!(1);
            let keeps = rules.redaction.keep_room_member_third_party_invite_signed;
            assert_eq!(receive(&forged, &keys, &rules).is_ok(), keeps, "{version}");

            for third_party in [json!("x"), json!(null), json!([])] {
                event["content"]["third_party_invite"] = third_party;
                dropped(two.sign(event.clone(), &rules), &keys, &rules);
            }
        }
    }
}

mod batches {
    //! Many signatures at a time say what each says.

    use ruma::serde::base64::Standard;

    use super::*;

    /// Points of small order, signs included.
    fn small_order() -> Vec<[u8; 32]> {
        let hex = [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        ];
        let byte = |digits: &str, at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        hex.iter().map(|it| std::array::from_fn(|index| byte(it, 2 * index))).collect()
    }

    fn read_all(events: &[JsonValue]) -> Vec<receipt::Received> {
        events.iter().map(|it| receipt::read(&raw(it), room(), &V11).unwrap()).collect()
    }

    fn messages(one: &Server, number: usize) -> Vec<JsonValue> {
        (0..number).map(|it| value(&one.message(&it.to_string(), &V11))).collect()
    }

    #[test]
    fn all_at_once_says_what_each_says() {
        let [one, two] = [Server::new("one"), Server::new("two")];
        let keys = keyring(&[&one]);
        for number in [0_usize, 1, 15, 16, 17, 64] {
            for bad in [None, Some(0), Some(number / 2), number.checked_sub(1)] {
                let mut events = messages(&one, number);
                if let Some(bad) = bad.filter(|it| *it < number) {
                    events[bad]["signatures"]["one"]["ed25519:1"] = json!("A".repeat(86));
                }
                if number > 16 {
                    // One that no key is known for, and one whose content was changed.
                    events[1] = two.sign(bare(&V11), &V11);
                    events[1]["sender"] = json!("@alice:two");
                    events[1] = two.sign(events[1].clone(), &V11);
                    events[2]["content"]["body"] = json!("changed");
                }
                let each: Vec<_> = read_all(&events)
                    .into_iter()
                    .map(|it| format!("{:?}", receipt::verify(it, &keys, &V11)))
                    .collect();
                let all: Vec<_> = receipt::verify_all(read_all(&events), &keys, &V11)
                    .iter()
                    .map(|it| format!("{it:?}"))
                    .collect();
                assert_eq!(all, each, "{number}, {bad:?}");
                let invalid = each.iter().filter(|it| it.contains("is not valid")).count();
                assert_eq!(invalid, usize::from(bad.is_some_and(|it| it < number)));
            }
        }
    }

    #[test]
    fn keys_of_small_order_are_none() {
        for point in small_order() {
            assert!(VerifyKey::current(&point, 0).is_err(), "{point:?}");
        }
        assert!(VerifyKey::current(&[0xff; 32], 0).is_err());
        assert!(VerifyKey::current(&[1; 31], 0).is_err());
        assert!(VerifyKey::decode("é").is_err());
    }

    #[test]
    fn signatures_with_a_point_of_small_order_are_invalid_alone_and_together() {
        let one = Server::new("one");
        let keys = keyring(&[&one]);
        for point in small_order() {
            let mut events = messages(&one, 32);
            let mut signature = vec![0; 64];
            signature[..32].copy_from_slice(&point);
            let signature = Base64::<Standard>::new(signature).encode();
            events[7]["signatures"]["one"]["ed25519:1"] = json!(signature);
            let all = receipt::verify_all(read_all(&events), &keys, &V11);
            for (index, outcome) in all.iter().enumerate() {
                assert_eq!(outcome.is_ok(), index != 7, "{point:?}");
            }
            dropped(&events[7], &keys, &V11);
        }
    }

    #[test]
    fn a_scalar_beyond_its_range_is_invalid_alone_and_together() {
        let one = Server::new("one");
        let keys = keyring(&[&one]);
        let mut events = messages(&one, 32);
        let signature = events[7]["signatures"]["one"]["ed25519:1"].as_str().unwrap().to_owned();
        let mut bytes = Base64::<Standard>::parse(signature).unwrap().into_inner();
        // The scalar and the order of the group: the same in the equation, and not canonical.
        let order = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut carry = 0;
        for (byte, more) in bytes[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + more + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        events[7]["signatures"]["one"]["ed25519:1"] =
            json!(Base64::<Standard>::new(bytes).encode());
        let all = receipt::verify_all(read_all(&events), &keys, &V11);
        assert!(all.iter().enumerate().all(|(index, it)| it.is_ok() == (index != 7)));
        dropped(&events[7], &keys, &V11);
    }
}
