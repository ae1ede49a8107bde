//! What has the form of an event, and what of it is read and kept.

use ruma::RoomId;

use super::*;

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
fn of_a_key_that_is_there_twice_the_last_one_counts_everywhere() {
    let one = Server::new("one");
    let pdu = one.message("hi", &V11);
    let twice = pdu.json.replacen('{', r#"{"content":{"body":"planted"},"#, 1);
    let verified = receive(twice, &keyring(&[&one]), &V11).unwrap();
    assert_eq!(verified.pdu.json, pdu.json);
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
