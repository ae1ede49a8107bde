//! The event ID and the content go by hashes that whoever receives an event computes anew.

use ruma::serde::Base64;

use super::*;

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
