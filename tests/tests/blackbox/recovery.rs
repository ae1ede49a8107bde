//! What only a Durable Object goes through.
//!
//! A panic inside one: Wasm cannot unwind, so the whole instance is lost; every call that hangs on
//! it must be answered, and the next one must find a new instance with the old data. The route that
//! provokes it exists only in the Worker's test build.
//!
//! Eviction: an idle object leaves memory at any time, and nobody may notice.

use skerry_tests::{Host, Options, Server, User, ids, json, message, path, site::Site, zone::Zone};

private_server![worker: Worker => [
    a_panic_answers_every_pending_call,
    a_room_works_after_a_panic,
    tokens_and_transactions_survive_eviction,
    a_poll_survives_the_eviction_of_its_user,
    the_stores_keep_the_promises_of_the_port,
    requests_to_other_servers_keep_the_promises_of_the_port,
    questions_to_name_servers_keep_the_promises_of_the_port,
]];

async fn panic_in(user: &User, room: &str) -> skerry_tests::Reply {
    user.post(format!("/_skerry/test/panic/{}", skerry_tests::encode(room))).send().await
}

/// Panics again and again until the calls that wait are answered: nobody can tell from outside
/// when they have reached the object.
async fn panic_until<T>(user: &User, room: &str, waiting: impl Future<Output = T>) -> T {
    let is_answered = std::cell::Cell::new(false);
    let waiting = async {
        let answers = waiting.await;
        is_answered.set(true);
        answers
    };
    let panicking = async {
        while !is_answered.get() {
            let panicked = panic_in(user, room).await;
            assert_eq!(panicked.status, 500, "{panicked}");
        }
    };
    tokio::join!(waiting, panicking).0
}

/// S-P3
async fn a_panic_answers_every_pending_call(host: Host) {
    let server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let hang = || alice.post(format!("/_skerry/test/hang/{}", skerry_tests::encode(&room))).send();
    let waiting = Box::pin(async { tokio::join!(hang(), hang(), hang()) });
    let (a, b, c) = panic_until(&alice, &room, waiting).await;
    for reply in [a, b, c] {
        assert_eq!(reply.status, 500, "{reply}");
    }
    alice.say(&room, "it works again").await;
}

/// S-P3
async fn a_room_works_after_a_panic(host: Host) {
    let server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for round in 0..3 {
        let before = alice.say(&room, &format!("before {round}")).await;
        assert_eq!(panic_in(&alice, &room).await.status, 500);
        let after = alice.say(&room, &format!("after {round}")).await;
        for event in [before, after] {
            alice.event(&room, &event).ok().await;
        }
    }
    let history = alice.history(&room).await;
    assert_eq!(history.iter().filter(|it| it["type"] == "m.room.message").count(), 6);
}

const OBJECTS: [&str; 2] = ["RoomObject", "UserObject"];

/// S-P3
async fn tokens_and_transactions_survive_eviction(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let old = alice.say(&room, "old").await;
    let before = bob.sync().until_event(&room, &old).await;
    let once = alice.put(path(["rooms", &room, "send", "m.room.message", "one"]));
    let once = once.json(&message("once"));
    let first = once.clone().ok().await;
    server.evict(OBJECTS[0], &room);
    server.evict(OBJECTS[1], &bob.id);
    assert_eq!(once.ok().await, first);
    let new = alice.say(&room, "new").await;
    let sync = bob.sync().since(before.next_batch()).until_event(&room, &new).await;
    let sent = first["event_id"].as_str().expect("an event ID");
    assert_eq!(ids(sync.joined(&room).expect("the room").timeline()), [sent, &new]);
}

/// S-B1: an idle long-poll keeps no object awake, and still answers.
async fn a_poll_survives_the_eviction_of_its_user(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let old = alice.say(&room, "old").await;
    let since = bob.sync().until_event(&room, &old).await.next_batch().to_owned();
    let before = constructed(&bob).await;
    let poll = bob.sync().since(&since).query("timeout", 25_000).get();
    let act = async {
        bob.get("/account/whoami").ok().await;
        // The object hibernates although the poll is pending: nothing holds it awake.
        server.evict(OBJECTS[1], &bob.id);
        alice.say(&room, "wake up").await
    };
    let (sync, sent) = tokio::join!(poll, act);
    assert!(sync.joined(&room).is_some_and(|it| it.event(&sent).is_some()), "{}", sync.json);
    let after = constructed(&bob).await;
    assert!(after > before, "constructed {before} times before and {after} times after");
}

/// How often this user's object was constructed.
async fn constructed(user: &User) -> u64 {
    let route = format!("/_skerry/test/constructed/{}", skerry_tests::encode(&user.id));
    let reply = user.get(route).ok().await;
    reply.as_u64().expect("a count")
}

/// The suite that the native adapter passes too, run inside workerd over both of its stores.
async fn the_stores_keep_the_promises_of_the_port(host: Host) {
    let server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    for adapter in ["d1", "object"] {
        alice.post(format!("/_skerry/test/conformance/{adapter}")).ok().await;
    }
}

/// A server that trusts a site, and asks it for names.
async fn beside(site: &Site, host: Host) -> (Server, User) {
    let server = Server::start(
        host,
        Options {
            trusted_ca: Some(site.trusted_ca()),
            name_server: Some(site.names_url()),
            ..Options::default()
        },
    );
    let alice = User::register(&server, "alice").await;
    (server, alice)
}

/// The suite that the native adapter passes too.
async fn requests_to_other_servers_keep_the_promises_of_the_port(host: Host) {
    let site = Site::start(Zone::conformance());
    let (_server, alice) = beside(&site, host).await;
    let addresses = skerry_tests::encode(&site.addresses().to_string());
    alice.post(format!("/_skerry/test/conformance/{addresses}")).ok().await;
}

/// The suite that the native adapter passes too.
async fn questions_to_name_servers_keep_the_promises_of_the_port(host: Host) {
    let site = Site::start(Zone::conformance());
    let (_server, alice) = beside(&site, host).await;
    alice.post("/_skerry/test/conformance/dns").ok().await;
}
