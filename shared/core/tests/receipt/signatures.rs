//! Who has to sign, with which keys.

use super::*;

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
        for (key, expected) in &cases {
            let mut keys = Keyring::default();
            keys.insert(one.name.clone(), one.key.id().to_owned(), key.clone());
            let found = match receive(one.sign(bare(&rules), &rules), &keys, &rules) {
                Ok(_) => "valid",
                Err(Unverified::NeedsKeys(_)) => "needs",
                Err(Unverified::Dropped(_)) => "dropped",
            };
            let expected = if is_enforced { *expected } else { "valid" };
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
    let by =
        |user: JsonValue| json!({ "membership": "join", "join_authorised_via_users_server": user });
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
