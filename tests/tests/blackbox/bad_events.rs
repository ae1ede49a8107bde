//! Events that other servers had no right to send: they are remembered as rejected, or not at all,
//! and nothing shows or uses them.

use skerry_tests::{
    Server, User, Value, json, message, path,
    peer::{Draft, Event, Peer, PeerRoom, outcome_name},
    unique,
};

both_hosts![
    t3a_an_event_with_bad_auth_is_rejected,
    t3a_an_event_that_names_a_rejected_auth_event_is_rejected,
    t3a_an_event_behind_a_rejected_one_is_judged_by_itself,
    t3a_what_is_here_is_judged_before_a_state_is_believed_about_it,
    t3a_history_is_judged_before_a_state_is_believed_about_it,
    t6a_a_forged_ban_is_rejected,
    t6a_equal_power_protects_from_remote_moderators,
    t6a_a_creator_of_version_12_is_immune_to_remote_administrators,
    t7_what_clients_say_about_themselves_is_not_believed,
    t9a_the_senders_server_must_have_signed,
    t9a_the_origin_of_an_event_means_nothing,
    a_room_has_one_beginning,
];

/// A public room of Alice's with Bob, and Carol of the peer.
async fn trio(server: &Server, version: &str) -> (User, User, String, PeerRoom) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let options = json!({ "preset": "public_chat", "room_version": version });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&carol));
    room.accept(server, &[&join]).await;
    (alice, bob, carol, room)
}

/// T3a
async fn t3a_an_event_with_bad_auth_is_rejected(server: &Server) {
    for version in ["10", "12"] {
        let (alice, bob, carol, mut room) = trio(server, version).await;
        let good = room.end();
        let member = room.state("m.room.member", &carol).id;
        let levels = room.state("m.room.power_levels", "").id;
        let (rules, bobs) =
            (room.state("m.room.join_rules", ""), room.state("m.room.member", &bob.id));
        let create = room.state("m.room.create", "").id;
        // Since version 12 the room's ID names the create event, and no event does.
        let auth = |ids: &[&String]| {
            let named = (version != "12").then_some(&create);
            named.into_iter().chain(ids.iter().copied()).cloned().collect::<Vec<_>>()
        };
        let name = || Draft::state(&carol, "m.room.name", "", json!({ "name": "mine" }));
        let speech = || Draft::message(&carol, "?");
        let mut bad = vec![
            name(),
            Draft::message(&room.peer.user("mallory"), "never joined"),
            Draft::join(&room.peer.user("mallory")).with("state_key", json!(carol)),
            Draft::state(&carol, "org.example", &bob.id, json!({})),
            Draft::state(&carol, "m.room.power_levels", "", json!({ "users": { &carol: 100 } })),
            speech().auth(auth(&[&levels])),
            speech().auth(auth(&[&member, &levels, &rules.id])),
            speech().auth(auth(&[&member, &levels, &bobs.id])),
            speech().auth(auth(&[&member, &levels, &member])),
            speech().auth(auth(&[&member, &levels, &good.id, &rules.id])),
            speech().after_ids(Vec::new()),
        ];
        if version == "12" {
            bad.push(speech().auth(vec![create.clone(), member.clone(), levels.clone()]));
        } else {
            bad.push(speech().auth(vec![member.clone(), levels.clone()]));
        }
        for draft in bad {
            let event = room.stray(draft);
            room.refuse(server, &event, "rejected").await;
            alice.is_not_shown(&room.id, &event.id).await;
            assert_eq!(room.send(server, &[&event]).await, [json!("known")]);
        }
        let next = alice.say(&room.id, "undisturbed").await;
        assert_eq!(room.read(&alice, &next).await.prev(), [good.id.as_str()]);
    }
}

/// T3a
async fn t3a_an_event_that_names_a_rejected_auth_event_is_rejected(server: &Server) {
    let (alice, _, carol, mut room) = trio(server, "12").await;
    let good = room.end();
    let mallory = room.peer.user("mallory");
    let invite = json!({ "join_rule": "invite" });
    let closed = alice.set_state(&room.id, "m.room.join_rules", "", &invite).await;
    let closed = room.read(&alice, &closed).await;
    let join = room.stray(Draft::join(&mallory));
    room.refuse(server, &join, "rejected").await;
    // One that claims to be of the time before the room was closed, and one of after.
    for before in [&good, &closed, &join] {
        let levels = room.state("m.room.power_levels", "").id;
        let auth = vec![join.id.clone(), levels];
        let speech = Draft::message(&mallory, "I am in").after(&[before]).auth(auth);
        let speech = room.stray(speech);
        let reason = room.refuse(server, &speech, "rejected").await;
        assert!(reason.contains(&join.id), "{reason}");
        alice.is_not_shown(&room.id, &speech.id).await;
    }
    let next = room.add(Draft::message(&carol, "still here"));
    room.accept(server, &[&next]).await;
    let last = alice.say(&room.id, "undisturbed").await;
    assert_eq!(room.read(&alice, &last).await.prev(), [next.id]);
}

/// T3a
async fn t3a_an_event_behind_a_rejected_one_is_judged_by_itself(server: &Server) {
    let (alice, _, carol, mut room) = trio(server, "12").await;
    let content = json!({ "name": "mine" });
    let rejected = room.add(Draft::state(&carol, "m.room.name", "", content));
    room.refuse(server, &rejected, "rejected").await;
    let behind = room.add(Draft::message(&carol, "harmless"));
    assert_eq!(behind.prev(), [rejected.id.as_str()]);
    room.accept(server, &[&behind]).await;
    alice.state(&room.id, "m.room.name", "").refused(404, "M_NOT_FOUND").await;
    alice.is_not_shown(&room.id, &rejected.id).await;
    let next = alice.say(&room.id, "undisturbed").await;
    assert_eq!(room.read(&alice, &next).await.prev(), [behind.id]);
}

/// A room of Alice's into which Mallory has come by rules that count no more: by itself her join
/// looks right, and the room knows it as an outlier. Gives what she says as well, and the state
/// that a peer claims for after the join.
async fn intruded(server: &Server) -> (User, PeerRoom, [Event; 3], Vec<String>) {
    let (alice, _, _, mut room) = trio(server, "12").await;
    let mallory = room.peer.user("mallory");
    let [levels, rules] =
        ["m.room.power_levels", "m.room.join_rules"].map(|it| room.state(it, "").id);
    let invite = json!({ "join_rule": "invite" });
    let closed = alice.set_state(&room.id, "m.room.join_rules", "", &invite).await;
    let closed = room.read(&alice, &closed).await;
    let join = Draft::join(&mallory).after(&[&closed]).auth(vec![levels.clone(), rules]);
    let join = room.stray(join);
    let accepted = json!({ "accepted": { "redacted": false } });
    assert_eq!(room.hand(server, "outlier", &[&join]).await, [accepted]);
    let speech = Draft::message(&mallory, "I am in").after(&[&join]);
    let speech = room.stray(speech.auth(vec![join.id.clone(), levels]));
    let state = room.state_at(&join.id).into_iter().map(|it| it.id).collect();
    (alice, room, [closed, join, speech], state)
}

/// T3a
async fn t3a_what_is_here_is_judged_before_a_state_is_believed_about_it(server: &Server) {
    let (alice, mut room, [closed, join, speech], state) = intruded(server).await;
    let states = json!([{ "before": speech.id, "state": state }]);
    let outcome = room.hand_with(server, "live", &[&speech], states, &[&room.peer]).await.remove(0);
    assert_eq!(outcome_name(&outcome), "rejected", "{outcome}");
    for event in [&join, &speech] {
        alice.is_not_shown(&room.id, &event.id).await;
        assert_eq!(room.send(server, &[event]).await, [json!("known")]);
    }
    let mallory = room.peer.user("mallory");
    assert_eq!(alice.membership_in(&room.id, &mallory).await, "");
    let carol = room.peer.user("carol");
    let next = room.stray(Draft::message(&carol, "still here").after(&[&closed]));
    room.accept(server, &[&next]).await;
    let last = alice.say(&room.id, "undisturbed").await;
    assert_eq!(room.read(&alice, &last).await.prev(), [next.id]);
}

/// T3a
async fn t3a_history_is_judged_before_a_state_is_believed_about_it(server: &Server) {
    let (alice, mut room, [closed, join, speech], claimed) = intruded(server).await;
    let carol = room.peer.user("carol");
    let behind = room.stray(Draft::message(&carol, "harmless").after(&[&join]));
    let parts = [&speech, &behind].map(|it| (it.clone(), Draft::message(&carol, "hello")));
    let lasts = parts.map(|(before, draft)| room.stray(draft.after(&[&before])));
    let held: Vec<_> = room.state_at(&closed.id).into_iter().map(|it| it.id).collect();
    let told = |before: &Event, state: &[String]| json!([{ "before": before.id, "state": state }]);
    let (peers, accepted) = ([&room.peer], json!({ "accepted": { "redacted": false } }));
    for last in &lasts {
        let outcome = room.hand_with(server, "live", &[last], told(last, &held), &peers).await;
        assert_eq!(outcome, std::slice::from_ref(&accepted), "what came before it is not here");
    }
    let states = told(&behind, &claimed);
    let outcome = room.hand_with(server, "history", &[&behind], states, &peers).await;
    assert_eq!(outcome, [json!({ "waits": { "auth": [], "prev": [join.id] } })]);
    // What authorizes an event is judged first, wherever the event goes.
    let states = told(&speech, &claimed);
    let outcome = room.hand_with(server, "history", &[&speech], states, &peers).await.remove(0);
    assert_eq!(outcome_name(&outcome), "rejected", "{outcome}");
    assert_eq!(room.hand(server, "history", &[&join, &speech]).await, ["known", "known"]);
    assert_eq!(outcome_name(&room.hand(server, "history", &[&behind]).await.remove(0)), "accepted");
    for event in [&join, &speech] {
        alice.is_not_shown(&room.id, &event.id).await;
    }
}

/// T6a
async fn t6a_a_forged_ban_is_rejected(server: &Server) {
    let (alice, bob, carol, mut room) = trio(server, "11").await;
    for target in [&alice.id, &bob.id] {
        for membership in ["ban", "leave"] {
            let event = room.stray(Draft::member(&carol, target, membership));
            room.refuse(server, &event, "rejected").await;
            alice.is_not_shown(&room.id, &event.id).await;
            // Alice has the power, but her server has not signed.
            let forged = room.stray(Draft::member(&alice.id, target, membership));
            room.refuse(server, &forged, "dropped").await;
            alice.is_not_shown(&room.id, &forged.id).await;
        }
        assert_eq!(alice.membership_in(&room.id, target).await, "join");
    }
    bob.say(&room.id, "still here").await;
}

/// T6a
async fn t6a_equal_power_protects_from_remote_moderators(server: &Server) {
    let (alice, bob, carol, mut room) = trio(server, "11").await;
    let (dave, id) = (room.peer.user("dave"), room.id.clone());
    let join = room.add(Draft::join(&dave));
    room.accept(server, &[&join]).await;
    let levels = alice.give_powers(&id, &[(&carol, 50), (&bob.id, 50)]).await;
    room.read(&alice, &levels).await;
    for target in [&bob.id, &alice.id] {
        for membership in ["ban", "leave"] {
            let event = room.stray(Draft::member(&carol, target, membership));
            room.refuse(server, &event, "rejected").await;
        }
        assert_eq!(alice.membership_in(&id, target).await, "join");
    }
    let ban = room.add(Draft::member(&carol, &dave, "ban"));
    room.accept(server, &[&ban]).await;
    assert_eq!(alice.membership_in(&id, &dave).await, "ban");
}

/// T6a
async fn t6a_a_creator_of_version_12_is_immune_to_remote_administrators(server: &Server) {
    let (alice, _, carol, mut room) = trio(server, "12").await;
    let most = 9_007_199_254_740_991_i64;
    let levels = alice.give_powers(&room.id, &[(&carol, most)]).await;
    let levels = room.read(&alice, &levels).await;
    let mut demotion = levels.pdu["content"].clone();
    demotion["users"][&alice.id] = json!(0);
    for draft in [
        Draft::member(&carol, &alice.id, "ban"),
        Draft::member(&carol, &alice.id, "leave"),
        Draft::state(&carol, "m.room.power_levels", "", demotion),
    ] {
        let event = room.stray(draft);
        room.refuse(server, &event, "rejected").await;
    }
    assert_eq!(alice.membership_in(&room.id, &alice.id).await, "join");
    alice.set_state(&room.id, "m.room.name", "", &json!({ "name": "Alice's" })).await;
}

/// T7: what stands in the body is content, and no more than that.
async fn t7_what_clients_say_about_themselves_is_not_believed(server: &Server) {
    let (alice, bob, carol, mut room) = trio(server, "12").await;
    let body = json!({ "body": "hello", "msgtype": "m.text", "sender": carol, "event_id": "$mine",
        "origin_server_ts": 1, "origin": "peer.example", "room_id": "!other:peer.example",
        "state_key": alice.id, "type": "m.room.power_levels", "depth": 1_000_000,
        "prev_events": [], "auth_events": [], "signatures": {}, "hashes": {}, "unsigned": {} });
    let send = bob.put(path(["rooms", &room.id, "send", "m.room.message", &unique("txn")]));
    let send = send.query("user_id", &carol).query("ts", 1).json(&body);
    let id = send.ok().await["event_id"].as_str().expect("an event ID").to_owned();
    let shown = alice.event(&room.id, &id).ok().await;
    assert_eq!(shown["sender"], bob.id.as_str());
    assert_eq!(shown["type"], "m.room.message");
    assert_eq!(shown["event_id"], id.as_str());
    assert_eq!(shown["room_id"], room.id.as_str());
    assert_eq!(shown["content"], body);
    assert!(shown["origin_server_ts"].as_u64() > Some(1_600_000_000_000), "{shown}");
    assert!(shown.get("state_key").is_none(), "{shown}");
    let pdu = room.read(&alice, &id).await.pdu;
    assert_eq!(pdu["sender"], bob.id.as_str());
    let signers: Vec<_> = pdu["signatures"].as_object().expect("signatures").keys().collect();
    assert_eq!(signers, ["localhost"]);
    assert!(pdu["depth"].as_u64() < Some(100), "{pdu}");
}

/// T9a
async fn t9a_the_senders_server_must_have_signed(server: &Server) {
    let (alice, _, carol, mut room) = trio(server, "12").await;
    let victim = Peer::new("victim.example");
    let valerie = victim.user("valerie");
    let unsigned = room.stray(Draft::join(&valerie));
    let reason = room.refuse(server, &unsigned, "dropped").await;
    assert!(reason.contains("victim.example"), "{reason}");
    // The peer's signature under the victim's name.
    let forged = unsigned.altered(|it| {
        let signature = it["signatures"]["peer.example"].clone();
        it["signatures"] = json!({ "victim.example": signature });
    });
    let needed = json!({ "needs_keys": { "keys": [["victim.example", "ed25519:1"]] } });
    assert_eq!(room.send(server, &[&forged]).await, std::slice::from_ref(&needed));
    let with = |events, peers| room.hand_with(server, "live", events, json!([]), peers);
    let outcome = with(&[&forged], &[&room.peer, &victim]).await.remove(0);
    assert_eq!(outcome_name(&outcome), "dropped", "{outcome}");
    alice.is_not_shown(&room.id, &forged.id).await;
    assert_eq!(alice.membership_in(&room.id, &valerie).await, "");
    // Who is in the room may not speak for others either.
    let said = room.stray(Draft::message(&valerie, &format!("{carol} is my friend")));
    room.refuse(server, &said, "dropped").await;
    // What the victim does sign is taken from whoever brings it.
    let join = room.signed_by(&victim, Draft::join(&valerie));
    assert_eq!(room.send(server, &[&join]).await, [needed]);
    let outcomes = room.hand_with(server, "live", &[&join], json!([]), &[&victim]).await;
    assert_eq!(outcomes, [json!({ "accepted": { "redacted": false } })]);
    assert_eq!(alice.membership_in(&room.id, &valerie).await, "join");
}

/// T9a
async fn t9a_the_origin_of_an_event_means_nothing(server: &Server) {
    let (alice, _, carol, mut room) = trio(server, "12").await;
    let origins = [json!("victim.example"), json!("localhost"), json!(""), json!(7), Value::Null];
    for origin in origins {
        let own = room.add(Draft::message(&carol, "mine").with("origin", origin));
        room.accept(server, &[&own]).await;
        alice.is_shown(&room.id, &own.id, &message("mine")).await;
        let shown = alice.event(&room.id, &own.id).ok().await;
        assert!(shown.get("origin").is_none(), "{shown}");
    }
    let forged = Draft::join("@valerie:victim.example").with("origin", json!("peer.example"));
    let forged = room.stray(forged);
    room.refuse(server, &forged, "dropped").await;
}

/// T3a
async fn a_room_has_one_beginning(server: &Server) {
    let (alice, _, carol, mut room) = trio(server, "11").await;
    let good = room.end();
    let content = json!({ "room_version": "11" });
    let again = Draft::state(&carol, "m.room.create", "", content);
    for draft in [again.clone(), again.after_ids(Vec::new()).auth(Vec::new())] {
        let event = room.stray(draft);
        room.refuse(server, &event, "rejected").await;
        alice.is_not_shown(&room.id, &event.id).await;
    }
    let create = alice.state(&room.id, "m.room.create", "").query("format", "event").ok().await;
    assert_eq!(create["sender"], alice.id.as_str());
    let next = alice.say(&room.id, "undisturbed").await;
    assert_eq!(room.read(&alice, &next).await.prev(), [good.id]);
}
