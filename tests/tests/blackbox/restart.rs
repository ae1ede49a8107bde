//! What must outlive the process: accounts, rooms, tokens of every kind. Each test has its own
//! server, stops it without a farewell and starts it again on the same data.

use skerry_tests::{Client, Host, Options, Server, User, Watch, ids, json, message, path};

private_server![
    native: Native => [
        sessions_and_rooms_outlive_a_restart,
        sync_tokens_outlive_a_restart,
        pagination_tokens_outlive_a_restart,
        transactions_outlive_a_restart,
        the_room_goes_on_after_a_restart,
    ],
    worker: Worker => [
        sessions_and_rooms_outlive_a_restart,
        sync_tokens_outlive_a_restart,
        pagination_tokens_outlive_a_restart,
        transactions_outlive_a_restart,
        the_room_goes_on_after_a_restart,
    ],
];

async fn started(host: Host) -> (Server, User, User, String) {
    let server = Server::start(host, Options::default());
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    (server, alice, bob, room)
}

/// S-P3
async fn sessions_and_rooms_outlive_a_restart(host: Host) {
    let (mut server, alice, bob, room) = started(host).await;
    let mut login = alice.password_auth();
    login["refresh_token"] = json!(true);
    let session = alice.post("/login").json(&login).ok().await;
    let data = path(["user", &alice.id, "account_data", "org.example"]);
    alice.put(&data).json(&json!({ "kept": true })).ok().await;
    let event = bob.say(&room, "kept").await;
    server.restart();
    let (alice, bob) = (alice.at(&server), bob.at(&server));
    assert_eq!(alice.get("/account/whoami").ok().await["device_id"], alice.device.as_str());
    assert_eq!(alice.get(&data).ok().await, json!({ "kept": true }));
    assert_eq!(alice.event(&room, &event).ok().await["content"], message("kept"));
    assert_eq!(bob.membership_of(&room, &alice).await, "join");
    User::log_in(&server, &alice.id).await;
    let refresh = Client::new(server.url()).post("/refresh");
    refresh.json(&json!({ "refresh_token": session["refresh_token"] })).ok().await;
}

/// S-P3
async fn sync_tokens_outlive_a_restart(host: Host) {
    let (mut server, alice, bob, room) = started(host).await;
    let old = alice.say(&room, "old").await;
    let before = bob.sync().until_event(&room, &old).await;
    let missed = alice.say(&room, "sent before the restart").await;
    server.restart();
    let (alice, bob) = (alice.at(&server), bob.at(&server));
    let later = alice.say(&room, "sent after the restart").await;
    let sync = bob.sync().since(before.next_batch()).until_event(&room, &later).await;
    let section = sync.joined(&room).expect("the room");
    assert_eq!(ids(section.timeline()), [&missed, &later]);
    assert!(!section.limited(), "{}", section.0);
}

/// S-P3
async fn pagination_tokens_outlive_a_restart(host: Host) {
    let (mut server, alice, _, room) = started(host).await;
    let sent = alice.say_many(&room, 6).await;
    let first = alice.messages(&room, "b").query("limit", 2).ok().await;
    server.restart();
    let alice = alice.at(&server);
    let end = first["end"].as_str().expect("an end");
    let second = alice.messages(&room, "b").query("from", end).query("limit", 2).ok().await;
    assert_eq!(ids(second["chunk"].as_array().expect("a chunk")), [&sent[3], &sent[2]]);
}

/// S-P3
async fn transactions_outlive_a_restart(host: Host) {
    let (mut server, alice, _, room) = started(host).await;
    let send = |user: &User| {
        let request = user.put(path(["rooms", &room, "send", "m.room.message", "one"]));
        request.json(&message("once"))
    };
    let first = send(&alice).ok().await;
    server.restart();
    let alice = alice.at(&server);
    assert_eq!(send(&alice).ok().await, first);
    let history = alice.history(&room).await;
    assert_eq!(history.iter().filter(|it| it["type"] == "m.room.message").count(), 1);
}

/// S-P3
async fn the_room_goes_on_after_a_restart(host: Host) {
    let (mut server, alice, bob, room) = started(host).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "before" })).await;
    for round in 0..2 {
        server.restart();
        let (alice, bob) = (alice.at(&server), bob.at(&server));
        let since = bob.sync().get().await.next_batch().to_owned();
        let mut watch = Watch::from(&bob, &since);
        let name = bob.setting(&room, "m.room.name", "", &json!({}));
        name.refused(403, "M_FORBIDDEN").await;
        let event = alice.say(&room, &format!("round {round}")).await;
        watch.event(&room, &event).await;
        let carol = User::register(&server, "carol").await;
        carol.join(&room).await;
        carol.say(&room, "new here").await;
    }
}
