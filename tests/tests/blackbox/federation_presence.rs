//! Who is there, between servers (F17, T9b, T15d), and profiles that are not for everybody (T15d).

use crate::{
    federation_sending::{SEND, accept, join},
    presence::{setting, status, status_path, telling, until_status},
};
use skerry_tests::{
    Host, Options, PATIENCE, Server, User, Value, encode, json,
    remote::{Asked, Remote},
    unique,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

private_server![
    native: Native => [
        f17_who_is_there_is_told_to_servers_that_share_a_room_alone,
        f17_who_is_there_elsewhere_is_shown_until_nobody_says_it_any_more,
        t9b_a_status_is_believed_of_users_of_the_server_in_a_shared_room,
        f17_nothing_leaves_where_presence_is_not_for_other_servers,
        t15d_a_limited_profile_is_told_to_servers_that_share_a_room,
    ],
    worker: Worker => [
        f17_who_is_there_is_told_to_servers_that_share_a_room_alone,
        f17_who_is_there_elsewhere_is_shown_until_nobody_says_it_any_more,
        t9b_a_status_is_believed_of_users_of_the_server_in_a_shared_room,
        f17_nothing_leaves_where_presence_is_not_for_other_servers,
        t15d_a_limited_profile_is_told_to_servers_that_share_a_room,
    ],
];

/// Alice, a room of hers, and who has joined it from another server.
struct Shared {
    alice: User,
    room: String,
    carol: String,
}

async fn shared(remote: &Remote, server: &Server) -> Shared {
    accept(remote);
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    join(remote, server, &alice, &room, "carol").await;
    Shared { alice, room, carol: remote.peer.user("carol") }
}

fn update(user: &str, presence: &str) -> Value {
    json!({ "user_id": user, "presence": presence, "last_active_ago": 5 })
}

/// Sends statuses as a server.
async fn send(remote: &Remote, server: &Server, push: &[Value]) {
    let edu = json!({ "edu_type": "m.presence", "content": { "push": push } });
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [],
        "edus": [edu] });
    remote.put(server, &format!("{SEND}{}", unique("txn")), &body).ok().await;
}

/// The statuses that a server was told, the oldest first.
fn told(remote: &Remote) -> Vec<Value> {
    let body = |it: &Asked| serde_json::from_slice::<Value>(&it.body).expect("JSON");
    let bodies = remote.asked(SEND).iter().map(body).collect::<Vec<_>>();
    let edus = bodies.iter().flat_map(|it| it["edus"].as_array().into_iter().flatten());
    let pushes = edus.filter(|it| it["edu_type"] == "m.presence");
    pushes.flat_map(|it| it["content"]["push"].as_array().expect("a list").clone()).collect()
}

/// Waits until a server was told that a user is so.
async fn until_told(remote: &Remote, user: &str, presence: &str) -> Value {
    until_said(remote, user, presence, None).await
}

/// The same, with a message where there is to be one.
async fn until_said(remote: &Remote, user: &str, presence: &str, message: Option<&str>) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = told(remote);
        let is_so = |it: &&Value| {
            it["user_id"] == user
                && it["presence"] == presence
                && message.is_none_or(|message| it["status_msg"] == message)
        };
        if let Some(found) = told.iter().rfind(is_so) {
            return found.clone();
        }
        assert!(Instant::now() < deadline, "{user} is not {presence}: {told:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn f17_who_is_there_is_told_to_servers_that_share_a_room_alone(host: Host) {
    let server = telling(host, "on");
    let (remote, other) = (Remote::start_at_address(), Remote::start());
    let Shared { alice, room, .. } = shared(&remote, &server).await;
    let of_other = shared(&other, &server).await;
    setting(&alice, "online", Some("here")).ok().await;
    let update = until_said(&remote, &alice.id, "online", Some("here")).await;
    assert_eq!(update["currently_active"], true);
    assert!(update["last_active_ago"].as_u64().is_some_and(|it| it < 60_000), "{update}");
    // Without asking, Alice goes.
    until_told(&remote, &alice.id, "offline").await;
    // Whatever the room's access control list says: they share it.
    let denied = json!({ "allow": ["*"], "deny": [remote.peer.name.split(':').next()] });
    alice.set_state(&room, "m.room.server_acl", "", &denied).await;
    setting(&alice, "unavailable", None).ok().await;
    until_told(&remote, &alice.id, "unavailable").await;
    // The other one hears of its own rooms alone.
    setting(&of_other.alice, "online", None).ok().await;
    until_told(&other, &of_other.alice.id, "online").await;
    assert!(told(&other).iter().all(|it| it["user_id"] != json!(alice.id)), "{:?}", told(&other));
    assert!(told(&remote).iter().all(|it| it["user_id"] == json!(alice.id)));
}

async fn f17_who_is_there_elsewhere_is_shown_until_nobody_says_it_any_more(host: Host) {
    let server = telling(host, "on");
    let remote = Remote::start();
    let Shared { alice, carol, .. } = shared(&remote, &server).await;
    let mut watch = alice.watch().await;
    // Alice is there, so the server knows which rooms it shares.
    until_told(&remote, &alice.id, "online").await;
    let mut online = update(&carol, "online");
    online["status_msg"] = json!("there");
    send(&remote, &server, &[online]).await;
    let shown = until_status(&mut watch, &carol, "online").await;
    assert_eq!((&shown["status_msg"], &shown["currently_active"]), (&json!("there"), &json!(true)));
    assert_eq!(alice.get(status_path(&carol)).ok().await["presence"], "online");
    send(&remote, &server, &[update(&carol, "unavailable")]).await;
    until_status(&mut watch, &carol, "unavailable").await;
    until_status(&mut watch, &carol, "offline").await;
    assert_eq!(alice.get(status_path(&carol)).ok().await["presence"], "offline");
    send(&remote, &server, &[update(&carol, "online")]).await;
    until_status(&mut watch, &carol, "online").await;
    send(&remote, &server, &[update(&carol, "offline")]).await;
    until_status(&mut watch, &carol, "offline").await;
}

async fn t9b_a_status_is_believed_of_users_of_the_server_in_a_shared_room(host: Host) {
    let server = telling(host, "on");
    let (remote, other) = (Remote::start(), Remote::start());
    let Shared { alice, room, carol } = shared(&remote, &server).await;
    accept(&other);
    join(&other, &server, &alice, &room, "mallory").await;
    let bob = User::register(&server, "bob").await;
    bob.join(&room).await;
    let mut watch = bob.watch().await;
    until_told(&remote, &bob.id, "online").await;
    until_told(&other, &bob.id, "online").await;
    let dan = remote.peer.user("dan");
    // Another server speaks for Carol and for Alice, her own one for who is in no room.
    send(&other, &server, &[update(&carol, "online"), update(&alice.id, "unavailable")]).await;
    send(&remote, &server, &[update(&dan, "online"), update("@x", "online")]).await;
    send(&other, &server, &[update(&other.peer.user("mallory"), "busy")]).await;
    let mut is_told = false;
    let mut seen = |sync: &skerry_tests::Sync, last: &str| {
        for nobody in [&carol, &dan, &other.peer.user("mallory")] {
            let shown = status(sync, nobody).filter(|_| nobody != last);
            assert_eq!(shown, None, "{nobody}");
        }
        let of_alice = status(sync, &alice.id);
        assert!(of_alice.is_none_or(|it| it["presence"] != "unavailable"));
        is_told |= status(sync, last).is_some();
        is_told.then_some(())
    };
    // What both say that is believed comes after all of it.
    let mallory = other.peer.user("mallory");
    send(&other, &server, &[update(&mallory, "online")]).await;
    watch.until("mallory", |sync| seen(sync, &mallory)).await;
    send(&remote, &server, &[update(&carol, "online")]).await;
    until_status(&mut watch, &carol, "online").await;
    bob.get(status_path(&dan)).refused(404, "M_NOT_FOUND").await;
}

async fn f17_nothing_leaves_where_presence_is_not_for_other_servers(host: Host) {
    for presence in ["off", "local"] {
        let server = telling(host, presence);
        let remote = Remote::start();
        let Shared { alice, room, carol } = shared(&remote, &server).await;
        let mut watch = alice.watch().await;
        setting(&alice, "online", Some("here")).ok().await;
        setting(&alice, "unavailable", None).ok().await;
        send(&remote, &server, &[update(&carol, "online")]).await;
        // Longer than statuses are gathered.
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            let said = alice.say(&room, "hello").await;
            let seen = |sync: &skerry_tests::Sync| {
                assert_eq!(status(sync, &carol), None);
                sync.joined(&room)?.event(&said).cloned()
            };
            watch.until("a message", seen).await;
            sleep(Duration::from_millis(500)).await;
        }
        assert!(!remote.asked(SEND).is_empty(), "messages are sent");
        assert_eq!(told(&remote), [] as [Value; 0], "{presence}");
    }
}

async fn t15d_a_limited_profile_is_told_to_servers_that_share_a_room(host: Host) {
    let server = Server::start(host, Options { limit_profile: true, ..Options::default() });
    let (remote, stranger) = (Remote::start(), Remote::start());
    let Shared { alice, .. } = shared(&remote, &server).await;
    // The other one shares a room with somebody else.
    shared(&stranger, &server).await;
    let query =
        |user: &str| format!("/_matrix/federation/v1/query/profile?user_id={}", encode(user));
    let profile = remote.get(&server, &query(&alice.id)).ok().await;
    assert!(profile["displayname"].is_string() || profile == json!({}), "{profile}");
    for user in [alice.id.as_str(), "@nobody:localhost"] {
        stranger.get(&server, &query(user)).refused(403, "M_FORBIDDEN").await;
    }
}
