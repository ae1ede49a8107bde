//! The fully read marker, alone and together with receipts.

use skerry_tests::{Server, User, json, path};

both_hosts![
    a_read_marker_comes_down_sync,
    a_read_marker_can_set_receipts_too,
    the_receipt_endpoint_sets_the_marker,
    the_marker_is_private,
];

async fn a_read_marker_comes_down_sync(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    let mut watch = alice.watch().await;
    let markers = alice.post(path(["rooms", &room, "read_markers"]));
    markers.json(&json!({ "m.fully_read": event })).ok().await;
    let found =
        watch.room("the marker", &room, |it| it.account_data("m.fully_read").cloned()).await;
    assert_eq!(found, json!({ "event_id": event }));
    let data = path(["user", &alice.id, "rooms", &room, "account_data", "m.fully_read"]);
    assert_eq!(alice.get(data).ok().await, json!({ "event_id": event }));
}

async fn a_read_marker_can_set_receipts_too(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let sent = alice.say_many(&room, 2).await;
    let (mut of_alice, mut of_bob) = (alice.watch().await, bob.watch().await);
    let markers = bob.post(path(["rooms", &room, "read_markers"]));
    let body = json!({ "m.fully_read": sent[0], "m.read": sent[0], "m.read.private": sent[1] });
    markers.json(&body).ok().await;
    let public = of_alice.room("bob's receipt", &room, |it| {
        it.ephemeral("m.receipt")?[&sent[0]]["m.read"].get(&bob.id).cloned()
    });
    assert!(public.await["ts"].is_u64());
    let private = of_bob.room("the private receipt", &room, |it| {
        it.ephemeral("m.receipt")?[&sent[1]]["m.read.private"].get(&bob.id).cloned()
    });
    assert!(private.await["ts"].is_u64());
    let data = path(["user", &bob.id, "rooms", &room, "account_data", "m.fully_read"]);
    assert_eq!(bob.get(data).ok().await, json!({ "event_id": sent[0] }));
}

async fn the_receipt_endpoint_sets_the_marker(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    alice.post(path(["rooms", &room, "receipt", "m.fully_read", &event])).ok().await;
    let data = path(["user", &alice.id, "rooms", &room, "account_data", "m.fully_read"]);
    assert_eq!(alice.get(data).ok().await, json!({ "event_id": event }));
}

/// T16
async fn the_marker_is_private(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "hello").await;
    let mut watch = alice.watch().await;
    let markers = bob.post(path(["rooms", &room, "read_markers"]));
    markers.json(&json!({ "m.fully_read": event })).ok().await;
    let last = bob.say(&room, "after it").await;
    watch
        .until("the message after it", |sync| {
            assert!(!sync.json.to_string().contains("m.fully_read"), "{}", sync.json);
            sync.joined(&room)?.event(&last).cloned()
        })
        .await;
}
