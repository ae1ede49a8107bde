//! Sending messages: transaction IDs, what the server adds, and what it does not take from clients.

use skerry_tests::{Request, Server, User, json, message, path, unique};

both_hosts![
    a_message_reaches_the_other_member,
    a_repeated_transaction_sends_once,
    simultaneous_repetitions_send_once,
    a_transaction_belongs_to_its_device,
    a_transaction_belongs_to_its_path,
    the_parts_of_a_transaction_are_compared_one_by_one,
    a_transaction_survives_a_token_refresh,
    a_redaction_is_idempotent_by_transaction_too,
    a_refused_transaction_can_be_tried_again,
    the_transaction_id_is_told_only_to_the_sending_device,
    an_event_has_what_clients_need,
    the_sender_cannot_be_forged,
    the_time_cannot_be_chosen,
    unsigned_tells_the_readers_membership,
    simultaneous_sends_all_arrive,
    messages_keep_the_order_of_their_sender,
];

async fn pair(server: &Server) -> (User, User) {
    (User::register(server, "alice").await, User::register(server, "bob").await)
}

async fn event_id(request: Request) -> String {
    request.ok().await["event_id"].as_str().expect("an event ID").to_owned()
}

fn transaction(user: &User, room: &str, kind: &str, id: &str) -> Request {
    user.put(path(["rooms", room, "send", kind, id])).json(&message("once"))
}

/// S-B1
async fn a_message_reaches_the_other_member(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    let mut watch = bob.watch().await;
    let sent = alice.say(&room, "hello bob").await;
    let event = watch.event(&room, &sent).await;
    assert_eq!(event["content"], message("hello bob"));
    assert_eq!(event["sender"], alice.id.as_str());
    assert_eq!(event["type"], "m.room.message");
}

async fn a_repeated_transaction_sends_once(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let request = transaction(&alice, &room, "m.room.message", "one");
    let first = event_id(request.clone()).await;
    assert_eq!(event_id(request.clone()).await, first);
    // The identity is the path: a changed body is still the same request sent again.
    assert_eq!(event_id(request.json(&message("twice"))).await, first);
    let sent = alice.history(&room).await;
    let sent: Vec<_> = sent.iter().filter(|it| it["type"] == "m.room.message").collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0]["content"]["body"], "once");
}

async fn simultaneous_repetitions_send_once(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for round in 0..5 {
        let send = || event_id(transaction(&alice, &room, "m.room.message", &format!("r{round}")));
        let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
        assert!(a == b && b == c && c == d, "{a} {b} {c} {d}");
    }
    let history = alice.history(&room).await;
    assert_eq!(history.iter().filter(|it| it["type"] == "m.room.message").count(), 5);
}

async fn a_transaction_belongs_to_its_device(server: &Server) {
    let (alice, bob) = pair(server).await;
    let phone = User::log_in(server, &alice.id).await;
    let room = alice.public_room(&[&bob]).await;
    let first = event_id(transaction(&alice, &room, "m.room.message", "one")).await;
    let second = event_id(transaction(&phone, &room, "m.room.message", "one")).await;
    let third = event_id(transaction(&bob, &room, "m.room.message", "one")).await;
    assert!(first != second && second != third && first != third);
}

async fn a_transaction_belongs_to_its_path(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let other = alice.create_room(&json!({})).await;
    let first = event_id(transaction(&alice, &room, "m.room.message", "one")).await;
    let elsewhere = event_id(transaction(&alice, &other, "m.room.message", "one")).await;
    assert_ne!(first, elsewhere, "another room is another path");
    let of_other_type = event_id(transaction(&alice, &room, "org.example.message", "one")).await;
    assert_ne!(first, of_other_type, "another event type is another path");
    let redaction = alice.put(path(["rooms", &room, "redact", &first, "one"]));
    assert_ne!(event_id(redaction).await, first, "another endpoint is another path");
}

/// Of a path put together from them nobody could tell where one ends.
async fn the_parts_of_a_transaction_are_compared_one_by_one(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let said = alice.say(&room, "hello").await;
    let redaction = json!({ "redacts": said });
    let requests = [
        transaction(&alice, &room, "a", "b/c"),
        transaction(&alice, &room, "a/b", "c"),
        transaction(&alice, &room, "a/b/c", " "),
        transaction(&alice, &room, "a\nb", "c"),
        transaction(&alice, &room, "a", "b\nc"),
        // An event type that looks like the event of a redaction.
        transaction(&alice, &room, &said, "one"),
        alice.put(path(["rooms", &room, "redact", &said, "one"])),
        transaction(&alice, &room, "m.room.redaction", "one").json(&redaction),
    ];
    let mut sent = Vec::new();
    for request in &requests {
        let event = event_id(request.clone()).await;
        assert!(!sent.contains(&event), "another event was given for {request:?}");
        sent.push(event);
    }
    for (request, event) in requests.into_iter().zip(sent) {
        assert_eq!(event_id(request).await, event);
    }
    // The type is what a redaction's transaction belongs to, not what it redacts.
    let first = alice.say(&room, "first").await;
    let second = alice.say(&room, "second").await;
    let redact = |target: &str| {
        let content = json!({ "redacts": target });
        event_id(transaction(&alice, &room, "m.room.redaction", "two").json(&content))
    };
    assert_eq!(redact(&first).await, redact(&second).await);
    let kept = alice.get(path(["rooms", &room, "event", &second])).ok().await;
    assert_eq!(kept["content"]["body"], "second");
}

async fn a_transaction_survives_a_token_refresh(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut login = alice.password_auth();
    login["refresh_token"] = json!(true);
    let session = alice.post("/login").json(&login).ok().await;
    let phone = User::from_session(&alice, &session);
    let room = phone.create_room(&json!({})).await;
    let first = event_id(transaction(&phone, &room, "m.room.message", "one")).await;
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    let renewed = phone.post("/refresh").json(&refresh).ok().await;
    let token = renewed["access_token"].as_str().expect("a token");
    let again =
        phone.with_token(token).put(path(["rooms", &room, "send", "m.room.message", "one"]));
    assert_eq!(event_id(again.json(&message("once"))).await, first);
}

async fn a_redaction_is_idempotent_by_transaction_too(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "oops").await;
    let request = alice.put(path(["rooms", &room, "redact", &event, "one"]));
    let first = event_id(request.clone()).await;
    assert_eq!(event_id(request).await, first);
    let history = alice.history(&room).await;
    assert_eq!(history.iter().filter(|it| it["type"] == "m.room.redaction").count(), 1);
}

async fn a_refused_transaction_can_be_tried_again(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.create_room(&json!({})).await;
    let request = transaction(&bob, &room, "m.room.message", "one");
    request.clone().refused(403, "M_FORBIDDEN").await;
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    let sent = event_id(request).await;
    alice.event(&room, &sent).ok().await;
}

async fn the_transaction_id_is_told_only_to_the_sending_device(server: &Server) {
    let (alice, bob) = pair(server).await;
    let phone = User::log_in(server, &alice.id).await;
    let room = alice.public_room(&[&bob]).await;
    let mut watches = [alice.watch().await, phone.watch().await, bob.watch().await];
    let txn = unique("txn");
    let sent = event_id(transaction(&alice, &room, "m.room.message", &txn)).await;
    let own = watches[0].event(&room, &sent).await;
    assert_eq!(own["unsigned"]["transaction_id"], txn, "{own}");
    for watch in &mut watches[1..] {
        let event = watch.event(&room, &sent).await;
        assert!(event["unsigned"].get("transaction_id").is_none(), "{event}");
    }
    let own = alice.event(&room, &sent).ok().await;
    assert_eq!(own["unsigned"]["transaction_id"], txn, "{own}");
    let page = alice.messages(&room, "b").query("limit", 1).ok().await;
    assert_eq!(page["chunk"][0]["unsigned"]["transaction_id"], txn, "{page}");
    let foreign = bob.event(&room, &sent).ok().await;
    assert!(foreign["unsigned"].get("transaction_id").is_none(), "{foreign}");
}

async fn an_event_has_what_clients_need(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say(&room, "hello").await;
    let event = alice.event(&room, &sent).ok().await;
    assert_eq!(event["event_id"], sent.as_str());
    assert_eq!(event["room_id"], room.as_str());
    assert_eq!(event["sender"], alice.id.as_str());
    assert!(event["origin_server_ts"].as_u64().is_some_and(|it| it > 1_600_000_000_000));
    assert!(event["unsigned"]["age"].as_i64().is_some_and(|it| (0..600_000).contains(&it)));
    for federation_only in ["auth_events", "prev_events", "hashes", "signatures", "depth"] {
        assert!(event.get(federation_only).is_none(), "{federation_only} in {event}");
    }
    assert!(event.get("state_key").is_none(), "{event}");
}

/// T7
async fn the_sender_cannot_be_forged(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    let forged = json!({ "msgtype": "m.text", "body": "x", "sender": bob.id,
        "event_id": "$forged", "origin_server_ts": 1, "room_id": "!forged:localhost",
        "type": "m.room.member", "state_key": bob.id, "unsigned": { "age": -1 } });
    let sent = alice.send(&room, "m.room.message", &forged).await;
    let event = bob.event(&room, &sent).ok().await;
    assert_eq!(event["sender"], alice.id.as_str());
    assert_eq!(event["event_id"], sent.as_str());
    assert_eq!(event["type"], "m.room.message");
    assert_ne!(event["origin_server_ts"], 1);
    assert!(event.get("state_key").is_none(), "{event}");
    assert_eq!(event["content"], forged, "what a client sends is content and nothing else");
    // Only an application service may act for another user.
    let masked = alice.sending(&room, "m.room.message", &message("x")).query("user_id", &bob.id);
    let sent = masked.send().await;
    if sent.status == 200 {
        let id = sent.json["event_id"].as_str().expect("an event ID").to_owned();
        assert_eq!(bob.event(&room, &id).ok().await["sender"], alice.id.as_str());
    } else {
        sent.client_error();
    }
}

/// T7
async fn the_time_cannot_be_chosen(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let request = alice.sending(&room, "m.room.message", &message("x")).query("ts", 1_000);
    let sent = event_id(request).await;
    let event = alice.event(&room, &sent).ok().await;
    assert_ne!(event["origin_server_ts"], 1_000, "{event}");
}

async fn unsigned_tells_the_readers_membership(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.create_room(&json!({ "preset": "public_chat" })).await;
    let before = alice.say(&room, "before bob").await;
    bob.join(&room).await;
    let after = alice.say(&room, "with bob").await;
    let old = bob.event(&room, &before).ok().await;
    assert_eq!(old["unsigned"]["membership"], "leave", "{old}");
    let new = bob.event(&room, &after).ok().await;
    assert_eq!(new["unsigned"]["membership"], "join", "{new}");
    let of_alice = alice.event(&room, &before).ok().await;
    assert_eq!(of_alice["unsigned"]["membership"], "join", "{of_alice}");
}

/// S-P3
async fn simultaneous_sends_all_arrive(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    let mut sent = Vec::new();
    for round in 0..5 {
        let body = format!("round {round}");
        let (a, b, c, d) = tokio::join!(
            alice.say(&room, &body),
            bob.say(&room, &body),
            alice.say(&room, &body),
            bob.say(&room, &body),
        );
        sent.extend([a, b, c, d]);
    }
    let history = alice.history(&room).await;
    for id in &sent {
        let found = history.iter().filter(|it| it["event_id"] == id.as_str()).count();
        assert_eq!(found, 1, "{id} occurs {found} times");
    }
}

async fn messages_keep_the_order_of_their_sender(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    let mut watch = bob.watch().await;
    let sent = alice.say_many(&room, 8).await;
    watch.event(&room, &sent[7]).await;
    assert_eq!(watch.seen_in(&room), sent);
}
