//! T0: who floods the server makes nobody else wait who has nothing to do with them.

use skerry_tests::{Client, Host, Options, PASSWORD, Request, Server, User, json, path, unique};
use std::time::Duration;
use tokio::{task::JoinSet, time::Instant};

private_server![
    native: Native => [t0_a_flood_is_felt_in_no_other_room],
    worker: Worker => [t0_a_flood_is_felt_in_no_other_room],
];

/// How long a person waits at most. Quiet servers answer in milliseconds; this is for machines
/// that run other tests beside.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests that are always under way, of each kind.
const AT_ONCE: usize = 4;

/// Messages that somebody else sends meanwhile.
const MESSAGES: usize = 20;

/// As large as an event may be, about.
const LARGE: usize = 60_000;

async fn t0_a_flood_is_felt_in_no_other_room(host: Host) {
    // The limits are those that an operator has who says nothing.
    let options = Options { rate_limits: String::new(), ..Options::default() };
    let server = Server::start(host, options);
    let (alice, mallory) =
        (User::register(&server, "alice").await, User::register(&server, "mallory").await);
    let (quiet, flooded) =
        (alice.create_room(&json!({})).await, mallory.create_room(&json!({})).await);
    let mut flood = JoinSet::new();
    for _ in 0..AT_ONCE {
        flood.spawn(again_and_again(large_messages(mallory.clone(), flooded.clone())));
        flood.spawn(again_and_again(long_pages(mallory.clone(), flooded.clone())));
        flood.spawn(again_and_again(wrong_logins(Client::new(server.url()), unique("nobody"))));
    }
    let mut watch = alice.watch().await;
    let mut slowest = Duration::ZERO;
    for number in 0..MESSAGES {
        let began = Instant::now();
        let sent = alice.say(&quiet, &format!("message {number}")).await;
        watch.room("the message", &quiet, |it| it.event(&sent).cloned()).await;
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < PATIENCE, "{slowest:?}");
    if let Some(ended) = flood.try_join_next() {
        ended.expect("a flood goes on");
    }
}

/// Makes requests, one after the other, whatever is answered.
async fn again_and_again(next: impl Fn() -> Request) {
    loop {
        let reply = next().send().await;
        assert!(reply.status < 500, "{reply}");
    }
}

fn large_messages(user: User, room: String) -> impl Fn() -> Request + Send {
    move || {
        let body = json!({ "msgtype": "m.text", "body": "x".repeat(LARGE) });
        user.put(path(["rooms", &room, "send", "m.room.message", &unique("txn")])).json(&body)
    }
}

fn long_pages(user: User, room: String) -> impl Fn() -> Request + Send {
    move || user.get(path(["rooms", &room, "messages"])).query("dir", "b").query("limit", 1_000)
}

fn wrong_logins(anyone: Client, user: String) -> impl Fn() -> Request + Send {
    move || {
        let body = json!({ "type": "m.login.password", "password": format!("not {PASSWORD}"),
            "identifier": { "type": "m.id.user", "user": user } });
        anyone.post("/login").json(&body)
    }
}
