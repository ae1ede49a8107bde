//! Transactions of other servers (F6, F8 to F11).

use skerry_tests::{
    Request, Server, User, Value, json, message, path,
    peer::{Draft, Event, PeerRoom},
    remote::Remote,
    unique,
};

both_hosts![
    f6_events_of_another_server_are_received,
    f8_a_transaction_that_comes_again_is_answered_alike,
    f8_one_event_that_fails_fails_no_other,
    t1c_a_transaction_is_bounded,
    f9_an_empty_transaction_is_fine,
    t9a_an_event_is_by_the_server_of_its_sender,
    t8a_what_was_changed_on_the_way_is_redacted,
    events_of_many_rooms_come_in_one_transaction,
    events_of_a_room_that_is_not_here_are_passed_over,
    numbers_that_no_event_has_are_no_reason_to_refuse_the_rest,
];

/// A room of Alice's that a user of the remote server has joined.
async fn shared(remote: &Remote, server: &Server) -> (User, PeerRoom) {
    let alice = User::register(server, "alice").await;
    let room = remote.in_room_of(&alice, server).await;
    (alice, room)
}

fn sending(remote: &Remote, server: &Server, id: &str, body: &Value) -> Request {
    remote.put(server, &format!("/_matrix/federation/v1/send{}", path([id])), body)
}

fn transaction(remote: &Remote, events: &[&Event]) -> Value {
    let pdus: Vec<_> = events.iter().map(|it| &it.pdu).collect();
    json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": pdus })
}

async fn f6_events_of_another_server_are_received(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let carol = remote.peer.user("carol");
    let mut watch = alice.watch().await;
    let events: Vec<_> =
        (0..50).map(|it| room.add(Draft::message(&carol, &format!("number {it}")))).collect();
    let events: Vec<_> = events.iter().collect();
    let answer = remote.send(server, &events).await;
    assert_eq!(answer["pdus"].as_object().map(serde_json::Map::len), Some(50), "{answer}");
    let last = events[49];
    assert_eq!(watch.event(&room.id, &last.id).await["content"], message("number 49"));
    let history = alice.history_from(&room.id, &events[0].id).await;
    assert_eq!(history, events.iter().map(|it| it.id.clone()).collect::<Vec<_>>());
}

async fn f8_a_transaction_that_comes_again_is_answered_alike(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let hello = room.add(Draft::message(&remote.peer.user("carol"), "once"));
    let forged = room.stray(Draft::message(&alice.id, "forged"));
    let body = transaction(&remote, &[&hello, &forged]);
    let id = unique("txn");
    let first = sending(&remote, server, &id, &body).ok().await;
    assert!(first["pdus"][&forged.id]["error"].is_string(), "{first}");
    for _ in 0..2 {
        assert_eq!(sending(&remote, server, &id, &body).ok().await, first);
    }
    assert_eq!(alice.history_from(&room.id, &hello.id).await, [hello.id]);
}

async fn f8_one_event_that_fails_fails_no_other(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let carol = remote.peer.user("carol");
    let good = room.add(Draft::message(&carol, "good"));
    let (unsigned, power) = (
        room.stray(Draft::message(&carol, "unsigned")).altered(|it| it["signatures"] = json!({})),
        room.stray(Draft::state(&carol, "m.room.power_levels", "", json!({ "users": {} }))),
    );
    let mut body = transaction(&remote, &[&unsigned, &power, &good]);
    let pdus = body["pdus"].as_array_mut().expect("events");
    for nonsense in [json!(null), json!(17), json!({}), json!({ "room_id": 3 })] {
        pdus.push(nonsense);
    }
    pdus.push(json!({ "room_id": room.id, "type": "m.room.message" }));
    let answer = sending(&remote, server, &unique("txn"), &body).ok().await;
    assert_eq!(answer["pdus"][&good.id], json!({}), "{answer}");
    // Rejected: that is for us to know.
    assert_eq!(answer["pdus"][&power.id], json!({}), "{answer}");
    alice.is_shown(&room.id, &good.id, &message("good")).await;
    alice.is_not_shown(&room.id, &power.id).await;
    alice.is_not_shown(&room.id, &unsigned.id).await;
}

async fn t1c_a_transaction_is_bounded(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let hello = room.add(Draft::message(&remote.peer.user("carol"), "hello"));
    let many = vec![&hello; 51];
    let body = transaction(&remote, &many);
    sending(&remote, server, "1", &body).refused(400, "M_INVALID_PARAM").await;
    alice.is_not_shown(&room.id, &hello.id).await;
    let mut body = transaction(&remote, &[&hello]);
    body["edus"] = (0..101).map(|_| json!({ "edu_type": "org.x", "content": {} })).collect();
    sending(&remote, server, "1", &body).refused(400, "M_INVALID_PARAM").await;
    let large = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [],
        "padding": "x".repeat(8 * 1024 * 1024) });
    sending(&remote, server, "1", &large).refused(413, "M_TOO_LARGE").await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let signed = remote.peer.authorization(server, "PUT", "/_matrix/federation/v1/send/1", None);
    let request = skerry_tests::Client::new(server.url()).put("/_matrix/federation/v1/send/1");
    let request = request.text(&deep).header("Authorization", &signed);
    request.refused(400, "M_BAD_JSON").await;
    // As large as it may be.
    let padding = json!({ "edu_type": "org.x", "content": { "x": "x".repeat(7 * 1024 * 1024) } });
    let mut body = transaction(&remote, &[&hello]);
    body["edus"] = json!([padding]);
    let answer = sending(&remote, server, "1", &body).ok().await;
    assert_eq!(answer["pdus"][&hello.id], json!({}), "{answer}");
}

/// F9, F10: there may be no EDUs, nor even a word of them.
async fn f9_an_empty_transaction_is_fine(server: &Server) {
    let remote = Remote::start();
    for body in [
        json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [] }),
        json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [], "edus": [] }),
        json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [],
            "edus": [{ "edu_type": "org.example.unknown", "content": { "a": 1 } }] }),
    ] {
        let answer = sending(&remote, server, &unique("txn"), &body).ok().await;
        assert_eq!(answer, json!({ "pdus": {} }));
    }
}

async fn t9a_an_event_is_by_the_server_of_its_sender(server: &Server) {
    let (remote, other) = (Remote::start(), Remote::start());
    let (alice, mut room) = shared(&remote, server).await;
    let victim = other.peer.user("victim");
    let forged = [
        room.stray(Draft::message(&victim, "by whom?")),
        room.stray(Draft::join(&victim)),
        room.stray(Draft::message(&victim, "by whom?").with("origin", json!(remote.peer.name))),
        room.stray(Draft::message(&alice.id, "by whom?")),
    ];
    let events: Vec<_> = forged.iter().collect();
    let answer = remote.send(server, &events).await;
    for event in &forged {
        assert!(answer["pdus"][&event.id]["error"].is_string(), "{answer}");
        alice.is_not_shown(&room.id, &event.id).await;
    }
    // What a third server has signed may come by way of any.
    let join = room.signed_by(&other.peer, Draft::join(&victim));
    let answer = remote.send(server, &[&join]).await;
    assert_eq!(answer["pdus"][&join.id], json!({}));
    alice.is_shown(&room.id, &join.id, &json!({ "membership": "join" })).await;
}

async fn t8a_what_was_changed_on_the_way_is_redacted(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let carol = remote.peer.user("carol");
    let changed = room.add(Draft::message(&carol, "said"));
    let changed = changed.altered(|pdu| pdu["content"] = message("never said"));
    remote.send(server, &[&changed]).await;
    alice.is_shown(&room.id, &changed.id, &json!({})).await;
}

async fn events_of_many_rooms_come_in_one_transaction(server: &Server) {
    let remote = Remote::start();
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(shared(&remote, server).await);
    }
    let carol = remote.peer.user("carol");
    let mut events = Vec::new();
    for (_, room) in &mut rooms {
        events.push(room.add(Draft::message(&carol, "hello")));
        events.push(room.add(Draft::message(&carol, "again")));
    }
    let answer = remote.send(server, &events.iter().rev().collect::<Vec<_>>()).await;
    for event in &events {
        assert_eq!(answer["pdus"][&event.id], json!({}), "{answer}");
    }
    for ((alice, room), event) in rooms.iter().zip(events.chunks(2)) {
        alice.is_shown(&room.id, &event[1].id, &message("again")).await;
    }
}

async fn events_of_a_room_that_is_not_here_are_passed_over(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let mut elsewhere = PeerRoom::create(&remote.peer, "10", &[]);
    let carol = remote.peer.user("carol");
    let there = elsewhere.add(Draft::message(&carol, "elsewhere"));
    let here = room.add(Draft::message(&carol, "here"));
    let answer = remote.send(server, &[&there, &here]).await;
    assert_eq!(answer, json!({ "pdus": { &here.id: {} } }));
    alice.is_shown(&room.id, &here.id, &message("here")).await;
}

/// A client of another server may have put any number into what is no event.
async fn numbers_that_no_event_has_are_no_reason_to_refuse_the_rest(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let hello = room.add(Draft::message(&remote.peer.user("carol"), "hello"));
    // The numbers stand in the text as they are: JSON that ruma could not sign.
    let body = format!(
        r#"{{"edus":[{{"content":{{"a":1.50,"b":123456789012345678901234567890}},"edu_type":"org.x"}}],"origin":"{}","origin_server_ts":1,"pdus":[{}]}}"#,
        remote.peer.name, hello.pdu
    );
    let uri = format!("/_matrix/federation/v1/send{}", path([&unique("txn")]));
    let signed = format!(
        r#"{{"content":{body},"destination":"localhost","method":"PUT","origin":"{}","uri":"{uri}"}}"#,
        remote.peer.name
    );
    let authorization = remote.peer.authorization_of(&signed);
    let request = skerry_tests::Client::new(server.url()).put(&uri).text(&body);
    let answer = request.header("Authorization", &authorization).ok().await;
    assert_eq!(answer["pdus"][&hello.id], json!({}), "{answer}");
    alice.is_shown(&room.id, &hello.id, &message("hello")).await;
}
