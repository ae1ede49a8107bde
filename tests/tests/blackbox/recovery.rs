//! A panic inside an object: Wasm cannot unwind, so the whole instance is lost; every call that
//! hangs on it must be answered, and the next one must find a new instance with the old data. The
//! route that provokes it exists only in the Worker's test build.

use skerry_tests::{Host, Options, Server, User, path};

private_server![worker: Worker => [
    a_panic_answers_every_pending_call,
    a_room_works_after_a_panic,
]];

async fn panic_in(user: &User, room: &str) -> skerry_tests::Reply {
    user.post(format!("/_skerry/test/panic/{}", skerry_tests::encode(room))).send().await
}

/// S-P3
async fn a_panic_answers_every_pending_call(host: Host) {
    let server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let room = alice.create_room(&skerry_tests::json!({})).await;
    let mut watch = alice.watch().await;
    let reads = || alice.get(path(["rooms", &room, "state"])).send();
    let (panicked, a, b, c, poll) =
        tokio::join!(panic_in(&alice, &room), reads(), reads(), reads(), watch.next());
    assert_eq!(panicked.status, 500, "{panicked}");
    for reply in [a, b, c] {
        assert!([200, 500].contains(&reply.status), "{reply}");
    }
    assert!(poll.json["next_batch"].is_string(), "a poll does not hang on the room");
}

/// S-P3
async fn a_room_works_after_a_panic(host: Host) {
    let server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let room = alice.create_room(&skerry_tests::json!({})).await;
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
