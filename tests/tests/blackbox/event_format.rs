//! What is no event of its room version is dropped; what was changed on its way is redacted or
//! dropped. Nothing of it is stored.

use skerry_tests::{
    Server, User, Value, json, message,
    peer::{Draft, Event, Peer, PeerRoom, outcome_name},
};

both_hosts![
    f11_an_event_of_version_11_needs_no_event_id,
    f11_a_false_event_id_is_not_believed,
    f11_numbers_that_are_no_integers_are_dropped,
    f11_an_event_may_be_64_kilobytes_long,
    f11_an_event_names_a_limited_number_of_events,
    f11_malformed_fields_are_dropped,
    f11_an_event_of_another_room_is_dropped,
    t8a_changed_content_is_shown_redacted,
    t8a_a_changed_protected_key_drops_the_event,
    t8a_unsigned_of_other_servers_is_not_passed_on,
];

/// A public room of Alice's with Carol of the peer in it.
async fn pair(server: &Server, version: &str) -> (User, String, PeerRoom) {
    let alice = User::register(server, "alice").await;
    let options = json!({ "preset": "public_chat", "room_version": version });
    let room = alice.create_room(&options).await;
    let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&carol));
    room.accept(server, &[&join]).await;
    (alice, carol, room)
}

/// Asserts that an event is dropped, with a reason, and leaves no trace.
async fn is_dropped(server: &Server, alice: &User, room: &PeerRoom, event: &Event) {
    room.refuse(server, event, "dropped").await;
    // If anything were stored it would be known.
    room.refuse(server, event, "dropped").await;
    alice.is_not_shown(&room.id, &event.id).await;
}

/// F11
async fn f11_an_event_of_version_11_needs_no_event_id(server: &Server) {
    let (alice, carol, mut room) = pair(server, "11").await;
    let event = room.add(Draft::message(&carol, "nameless"));
    assert!(event.pdu.get("event_id").is_none(), "{}", event.pdu);
    room.accept(server, &[&event]).await;
    alice.is_shown(&room.id, &event.id, &message("nameless")).await;
}

/// F11
async fn f11_a_false_event_id_is_not_believed(server: &Server) {
    let (alice, carol, mut room) = pair(server, "11").await;
    let victim = alice.say(&room.id, "Alice's").await;
    for id in [victim.as_str(), "$made-up", "$made-up:peer.example"] {
        let event = room.add(Draft::message(&carol, "Carol's").with("event_id", json!(id)));
        assert_ne!(event.id, id);
        room.accept(server, &[&event]).await;
        alice.is_shown(&room.id, &event.id, &message("Carol's")).await;
    }
    alice.is_shown(&room.id, &victim, &message("Alice's")).await;
    alice.event(&room.id, "$made-up").refused(404, "M_NOT_FOUND").await;
}

/// F11
async fn f11_numbers_that_are_no_integers_are_dropped(server: &Server) {
    for version in ["6", "11", "12"] {
        let (alice, carol, mut room) = pair(server, version).await;
        let good = room.stray(Draft::message(&carol, "good"));
        for number in [json!(1.5), json!(1e300), json!(9_007_199_254_740_992_i64), json!(-1e-7)] {
            let event = good.altered(|it| it["content"]["number"] = number.clone());
            is_dropped(server, &alice, &room, &event).await;
            let event = good.altered(|it| it["content"]["deep"] = json!([{ "in": [number] }]));
            is_dropped(server, &alice, &room, &event).await;
        }
        room.accept(server, &[&good]).await;
    }
}

/// F11
async fn f11_an_event_may_be_64_kilobytes_long(server: &Server) {
    let (alice, carol, mut room) = pair(server, "11").await;
    let good = room.stray(Draft::message(&carol, "good"));
    for at in ["content", "unsigned", "anything"] {
        let event = good.altered(|it| it[at]["more"] = json!("x".repeat(66_000)));
        is_dropped(server, &alice, &room, &event).await;
    }
    let most = 65_000 - good.pdu.to_string().len();
    let body = "x".repeat(most);
    let long = room.add(Draft::message(&carol, &body));
    room.accept(server, &[&long]).await;
    alice.is_shown(&room.id, &long.id, &message(&body)).await;
    let key = "k".repeat(256);
    for draft in [
        Draft::new(&carol, &key, json!({})),
        Draft::state(&carol, "org.example", &key, json!({})),
        Draft::message(&format!("@{key}:peer.example"), "long name"),
    ] {
        let event = room.stray(draft);
        is_dropped(server, &alice, &room, &event).await;
    }
}

/// F11
async fn f11_an_event_names_a_limited_number_of_events(server: &Server) {
    let (alice, carol, mut room) = pair(server, "11").await;
    let base = room.end();
    let mut forks = Vec::new();
    for number in 0..21 {
        let draft = Draft::message(&carol, &number.to_string());
        forks.push(room.stray(draft.after(&[&base])));
    }
    room.accept(server, &forks.iter().collect::<Vec<_>>()).await;
    let all: Vec<_> = forks.iter().collect();
    let many = room.stray(Draft::message(&carol, "21").after(&all));
    is_dropped(server, &alice, &room, &many).await;
    let ids: Vec<_> = forks.iter().take(11).map(|it| it.id.clone()).collect();
    let many = room.stray(Draft::message(&carol, "11").auth(ids));
    is_dropped(server, &alice, &room, &many).await;
    let most = room.stray(Draft::message(&carol, "20").after(&all[..20]));
    room.accept(server, &[&most]).await;
}

/// F11
async fn f11_malformed_fields_are_dropped(server: &Server) {
    let (alice, carol, mut room) = pair(server, "11").await;
    let good = room.stray(Draft::message(&carol, "good"));
    let wrong = [
        ("type", vec![json!(7), json!(null)]),
        ("sender", vec![json!(7), json!("carol"), json!("@carol"), json!({})]),
        ("room_id", vec![json!(7), json!("room"), json!([])]),
        ("state_key", vec![json!(7), json!({})]),
        ("content", vec![json!("text"), json!([]), json!(null), json!(7)]),
        ("depth", vec![json!(-1), json!("1"), json!(1.5), json!(null)]),
        ("origin_server_ts", vec![json!(-1), json!("1"), json!(null), json!([])]),
        ("prev_events", vec![json!("$a"), json!({}), json!([7]), json!([["$a", {}]]), json!([{}])]),
        ("auth_events", vec![json!("$a"), json!({}), json!([7]), json!(["a"]), json!([null])]),
        ("hashes", vec![json!("x"), json!({}), json!({ "sha256": 7 }), json!(null)]),
        ("signatures", vec![json!("x"), json!({}), json!([]), json!({ "peer.example": 7 })]),
    ];
    for (field, values) in wrong {
        for value in values {
            let event = good.altered(|it| it[field] = value);
            is_dropped(server, &alice, &room, &event).await;
        }
        if field != "state_key" {
            let event = good.altered(|it| {
                it.as_object_mut().expect("an object").remove(field);
            });
            is_dropped(server, &alice, &room, &event).await;
        }
    }
    for pdu in [json!(7), json!("x"), json!([]), json!({}), Value::Null] {
        let event = good.altered(|it| *it = pdu);
        let outcome = room.send(server, &[&event]).await.remove(0);
        assert_eq!(outcome_name(&outcome), "dropped", "{outcome}");
    }
    // Beside what is broken, what is whole is taken.
    let broken = good.altered(|it| it["depth"] = json!("1"));
    let outcomes = room.send(server, &[&broken, &good]).await;
    assert_eq!(outcome_name(&outcomes[0]), "dropped", "{outcomes:?}");
    assert_eq!(outcomes[1], json!({ "accepted": { "redacted": false } }));
    alice.is_shown(&room.id, &good.id, &message("good")).await;
}

async fn f11_an_event_of_another_room_is_dropped(server: &Server) {
    let (alice, carol, mut room) = pair(server, "11").await;
    let (_, _, other) = pair(server, "11").await;
    let event = Draft::message(&carol, "where am I?").with("room_id", json!(other.id));
    let event = room.stray(event);
    is_dropped(server, &alice, &room, &event).await;
    // Of this room, but authorized and preceded by events of the other.
    let auth = ["m.room.create", "m.room.power_levels"].map(|it| other.state(it, "").id);
    let mut auth = auth.to_vec();
    auth.push(other.state("m.room.member", &carol).id);
    let event = room.stray(Draft::message(&carol, "who am I?").auth(auth));
    let outcome = room.send(server, &[&event]).await.remove(0);
    assert_eq!(outcome_name(&outcome), "waits", "it is not known here: {outcome}");
    alice.is_not_shown(&room.id, &event.id).await;
}

/// T8a
async fn t8a_changed_content_is_shown_redacted(server: &Server) {
    for version in ["1", "6", "11", "12"] {
        let (alice, carol, mut room) = pair(server, version).await;
        let id = room.id.clone();
        let said = room.add(Draft::message(&carol, "what Carol said"));
        let changed = said.altered(|it| it["content"]["body"] = json!("what a relay says"));
        let outcome = room.send(server, &[&changed]).await;
        assert_eq!(outcome, [json!({ "accepted": { "redacted": true } })], "version {version}");
        alice.is_shown(&id, &said.id, &json!({})).await;
        // The true one comes too late: what is stored does not change.
        assert_eq!(room.send(server, &[&said]).await, [json!("known")]);
        alice.is_shown(&id, &said.id, &json!({})).await;
        let (field, value) = ("an_added_field", json!("of the relay"));
        let more = room.add(Draft::message(&carol, "more"));
        let changed = more.altered(|it| it[field] = value);
        let outcome = room.send(server, &[&changed]).await;
        assert_eq!(outcome, [json!({ "accepted": { "redacted": true } })], "version {version}");
        alice.is_shown(&id, &more.id, &json!({})).await;
        let content = json!({ "membership": "join", "displayname": "Carol" });
        let named = room.add(Draft::state(&carol, "m.room.member", &carol, content));
        let changed = named.altered(|it| it["content"]["displayname"] = json!("Mallory"));
        let outcome = room.send(server, &[&changed]).await;
        assert_eq!(outcome, [json!({ "accepted": { "redacted": true } })], "version {version}");
        alice.is_shown(&id, &named.id, &json!({ "membership": "join" })).await;
        let own = alice.say(&id, "and I?").await;
        assert_eq!(room.read(&alice, &own).await.prev(), [named.id]);
    }
}

/// T8a
async fn t8a_a_changed_protected_key_drops_the_event(server: &Server) {
    for version in ["1", "11", "12"] {
        let (alice, carol, mut room) = pair(server, version).await;
        let said = room.stray(Draft::message(&carol, "what Carol said"));
        let join = room.stray(Draft::join(&carol));
        let mut altered = vec![
            said.altered(|it| it["type"] = json!("org.example")),
            said.altered(|it| it["depth"] = json!(1_000)),
            said.altered(|it| it["origin_server_ts"] = json!(1)),
            said.altered(|it| it["state_key"] = json!("")),
            said.altered(|it| it["hashes"]["sha256"] = join.pdu["hashes"]["sha256"].clone()),
            said.altered(|it| it["sender"] = json!(room.peer.user("dave"))),
            said.altered(|it| it["prev_events"] = it["auth_events"].clone()),
            join.altered(|it| it["content"]["membership"] = json!("leave")),
            join.altered(|it| it["state_key"] = json!(alice.id)),
        ];
        for event in &mut altered {
            // What is changed is signed, so from version 3 on it is another event.
            let outcome = &room.ask(server, &live(&room, &event.pdu)).await[0]["outcome"];
            assert_eq!(outcome_name(outcome), "dropped", "{outcome} for {}", event.pdu);
        }
        alice.is_not_shown(&room.id, &said.id).await;
        room.accept(server, &[&said, &join]).await;
        alice.is_shown(&room.id, &said.id, &message("what Carol said")).await;
    }
}

fn live(room: &PeerRoom, pdu: &Value) -> Value {
    let keys = [room.peer.key()];
    json!({ "receive": { "events": [pdu], "keys": keys, "kind": "live", "states": [] } })
}

/// T8a
async fn t8a_unsigned_of_other_servers_is_not_passed_on(server: &Server) {
    let (alice, carol, mut room) = pair(server, "12").await;
    let said = room.add(Draft::message(&carol, "hello"));
    let unsigned = json!({ "age": 1, "transaction_id": "x", "redacted_because": { "type": "x" },
        "prev_content": { "forged": true }, "membership": "ban", "org.example": "x" });
    let said = said.altered(|it| it["unsigned"] = unsigned);
    room.accept(server, &[&said]).await;
    let shown = alice.event(&room.id, &said.id).ok().await;
    let unsigned = shown["unsigned"].as_object().expect("`unsigned`");
    for forged in ["transaction_id", "redacted_because", "prev_content", "org.example"] {
        assert!(!unsigned.contains_key(forged), "{shown}");
    }
    assert_eq!(shown["unsigned"]["membership"], "join", "{shown}");
}
