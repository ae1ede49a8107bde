//! Read receipts: public, private, threaded.

use skerry_tests::{Request, Server, User, Value, json, path};

both_hosts![
    a_public_receipt_is_told_to_all,
    a_private_receipt_is_told_to_its_user_only,
    a_newer_receipt_replaces_the_older,
    threads_have_receipts_of_their_own,
    a_thread_must_be_named_properly,
    a_receipt_is_at_an_event_of_its_thread,
    the_initial_sync_has_the_receipts,
    an_unknown_receipt_type_or_event_is_refused,
];

fn receipt(user: &User, room: &str, kind: &str, event: &str) -> Request {
    user.post(path(["rooms", room, "receipt", kind, event]))
}

/// The receipt that a user has at an event.
fn found(content: &Value, event: &str, kind: &str, user: &User) -> Option<Value> {
    content[event][kind].get(&user.id).cloned()
}

async fn a_public_receipt_is_told_to_all(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "hello").await;
    let mut watches = [alice.watch().await, bob.watch().await];
    receipt(&bob, &room, "m.read", &event).ok().await;
    for watch in &mut watches {
        let told = watch.room("bob's receipt", &room, |it| {
            found(it.ephemeral("m.receipt")?, &event, "m.read", &bob)
        });
        let told = told.await;
        assert!(told["ts"].as_u64().is_some_and(|it| it > 1_600_000_000_000), "{told}");
        assert!(told.get("thread_id").is_none(), "{told}");
    }
}

/// T16
async fn a_private_receipt_is_told_to_its_user_only(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let phone = User::log_in(server, &bob.id).await;
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "hello").await;
    let (mut of_alice, mut of_phone) = (alice.watch().await, phone.watch().await);
    receipt(&bob, &room, "m.read.private", &event).ok().await;
    of_phone
        .room("the own private receipt", &room, |it| {
            found(it.ephemeral("m.receipt")?, &event, "m.read.private", &bob)
        })
        .await;
    let last = bob.say(&room, "after it").await;
    of_alice
        .until("the message after it", |sync| {
            assert!(!sync.json.to_string().contains("m.read.private"), "{}", sync.json);
            sync.joined(&room)?.event(&last).cloned()
        })
        .await;
    let fresh = alice.sync().get().await;
    assert!(!fresh.json.to_string().contains("m.read.private"), "{}", fresh.json);
}

async fn a_newer_receipt_replaces_the_older(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let sent = alice.say_many(&room, 2).await;
    let mut watch = alice.watch().await;
    for event in &sent {
        receipt(&bob, &room, "m.read", event).ok().await;
        let content = watch.room("bob's receipt", &room, |it| {
            let content = it.ephemeral("m.receipt")?;
            found(content, event, "m.read", &bob).map(|_| content.clone())
        });
        content.await;
    }
    let fresh = alice.sync().get().await;
    let content = fresh.joined(&room).and_then(|it| it.ephemeral("m.receipt")).expect("receipts");
    assert!(found(content, &sent[1], "m.read", &bob).is_some(), "{content}");
    assert!(found(content, &sent[0], "m.read", &bob).is_none(), "{content}");
}

async fn threads_have_receipts_of_their_own(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let thread_root = alice.say(&room, "root").await;
    let reply = json!({ "msgtype": "m.text", "body": "reply",
        "m.relates_to": { "rel_type": "m.thread", "event_id": thread_root } });
    let reply = alice.send(&room, "m.room.message", &reply).await;
    let mut watch = alice.watch().await;
    for (event, thread) in [(&thread_root, "main"), (&reply, thread_root.as_str())] {
        let request = receipt(&bob, &room, "m.read", event);
        request.json(&json!({ "thread_id": thread })).ok().await;
        let told = watch.room("a threaded receipt", &room, |it| {
            found(it.ephemeral("m.receipt")?, event, "m.read", &bob)
        });
        assert_eq!(told.await["thread_id"], thread);
    }
    let both = alice.sync().get().await;
    let text = both.joined(&room).expect("the room").0["ephemeral"].to_string();
    assert!(text.contains(&thread_root) && text.contains(&reply), "both are kept: {text}");
}

async fn a_thread_must_be_named_properly(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    for wrong in [json!(""), json!(1), json!({})] {
        let request = receipt(&alice, &room, "m.read", &event);
        let reply = request.json(&json!({ "thread_id": wrong })).send().await;
        assert_eq!(reply.status, 400, "{reply}");
        reply.client_error();
    }
    // The fully read marker knows no threads.
    let marker = receipt(&alice, &room, "m.fully_read", &event);
    let reply = marker.json(&json!({ "thread_id": "main" })).send().await;
    assert_eq!(reply.status, 400, "{reply}");
    reply.client_error();
}

/// Whoever invents threads would fill the room with receipts.
async fn a_receipt_is_at_an_event_of_its_thread(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let (root, other) = (alice.say(&room, "root").await, alice.say(&room, "other").await);
    let relate = async |rel_type: &str, event: &str| {
        let relation = json!({ "rel_type": rel_type, "event_id": event });
        let content = json!({ "msgtype": "m.text", "body": "text", "m.relates_to": relation });
        alice.send(&room, "m.room.message", &content).await
    };
    let reply = relate("m.thread", &root).await;
    let of_reply = relate("m.reference", &reply).await;
    let of_root = relate("m.reference", &root).await;
    let of_other = relate("m.reference", &other).await;
    let of_unknown = relate("m.reference", "$unknown").await;
    let cases = [
        ("a reply", &reply, root.as_str(), true),
        ("a reply as if it were in none", &reply, "main", false),
        ("a reply in another thread", &reply, other.as_str(), false),
        ("what relates to a reply", &of_reply, root.as_str(), true),
        ("what relates to a reply, in none", &of_reply, "main", false),
        ("what a thread began with", &root, root.as_str(), true),
        ("what a thread began with, in none", &root, "main", true),
        ("what relates to that", &of_root, root.as_str(), true),
        ("what relates to that, in none", &of_root, "main", true),
        ("no thread's event", &other, root.as_str(), false),
        ("no thread's event in an invented thread", &other, "$invented", false),
        ("what relates to no thread's event", &of_other, root.as_str(), false),
        ("what relates to no thread's event, in none", &of_other, "main", true),
        ("what relates to nothing known", &of_unknown, root.as_str(), false),
        ("what relates to nothing known, in none", &of_unknown, "main", true),
    ];
    for (what, event, thread, is_right) in cases {
        let request = receipt(&alice, &room, "m.read", event);
        let reply = request.json(&json!({ "thread_id": thread })).send().await;
        let expected = if is_right { 200 } else { 400 };
        assert_eq!(reply.status, expected, "{what}: {reply}");
        assert!(is_right || reply.errcode() == "M_INVALID_PARAM", "{what}: {reply}");
    }
}

async fn the_initial_sync_has_the_receipts(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "hello").await;
    receipt(&bob, &room, "m.read", &event).ok().await;
    alice
        .sync()
        .until("bob's receipt", |sync| {
            found(sync.joined(&room)?.ephemeral("m.receipt")?, &event, "m.read", &bob)
        })
        .await;
}

async fn an_unknown_receipt_type_or_event_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    for (kind, event) in [("m.nonsense", event.as_str()), ("m.read", "nonsense")] {
        let reply = receipt(&alice, &room, kind, event).send().await;
        reply.client_error();
    }
}
