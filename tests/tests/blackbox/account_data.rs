//! Account data, global and per room: kept for its user, told by sync.

use skerry_tests::{Server, User, json, path};

both_hosts![
    account_data_is_set_and_read,
    room_account_data_is_set_and_read,
    account_data_comes_down_sync_of_every_device,
    room_account_data_comes_down_sync,
    the_initial_sync_has_the_latest_account_data,
    account_data_of_the_server_cannot_be_set,
    account_data_of_an_invalid_room_is_refused,
    account_data_is_not_told_to_others,
    there_is_only_so_much_account_data,
];

async fn account_data_is_set_and_read(server: &Server) {
    let alice = User::register(server, "alice").await;
    let data = path(["user", &alice.id, "account_data", "org.example.data"]);
    alice.get(&data).refused(404, "M_NOT_FOUND").await;
    for content in [json!({ "a": 1 }), json!({ "b": [true, null, { "c": "d" }] }), json!({})] {
        alice.put(&data).json(&content).ok().await;
        assert_eq!(alice.get(&data).ok().await, content);
    }
}

async fn room_account_data_is_set_and_read(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let other = alice.create_room(&json!({})).await;
    let data = |room: &str| path(["user", &alice.id, "rooms", room, "account_data", "org.example"]);
    alice.put(data(&room)).json(&json!({ "a": 1 })).ok().await;
    assert_eq!(alice.get(data(&room)).ok().await, json!({ "a": 1 }));
    alice.get(data(&other)).refused(404, "M_NOT_FOUND").await;
    let global = path(["user", &alice.id, "account_data", "org.example"]);
    alice.get(global).refused(404, "M_NOT_FOUND").await;
}

async fn account_data_comes_down_sync_of_every_device(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let mut watches = [alice.watch().await, phone.watch().await];
    let content = json!({ "@bob:localhost": ["!room:localhost"] });
    alice.put(path(["user", &alice.id, "account_data", "m.direct"])).json(&content).ok().await;
    for watch in &mut watches {
        let found = watch.until("m.direct", |sync| sync.account_data("m.direct").cloned()).await;
        assert_eq!(found, content);
        // Told once: the next sync has nothing of it.
        let last = watch.clone().since;
        let next = alice.sync().since(&last).get().await;
        assert!(next.account_data("m.direct").is_none(), "{}", next.json);
    }
}

async fn room_account_data_comes_down_sync(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let mut watch = alice.watch().await;
    let data = path(["user", &alice.id, "rooms", &room, "account_data", "org.example"]);
    alice.put(&data).json(&json!({ "a": 1 })).ok().await;
    let found =
        watch.room("room account data", &room, |it| it.account_data("org.example").cloned()).await;
    assert_eq!(found, json!({ "a": 1 }));
}

async fn the_initial_sync_has_the_latest_account_data(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for number in 0..3 {
        let global = alice.put(path(["user", &alice.id, "account_data", "org.example"]));
        global.json(&json!({ "n": number })).ok().await;
        let of_room = path(["user", &alice.id, "rooms", &room, "account_data", "org.example"]);
        alice.put(of_room).json(&json!({ "room": number })).ok().await;
    }
    let sync = alice
        .sync()
        .until("the room with its account data", |sync| {
            let data = sync.joined(&room)?.account_data("org.example")?;
            (*data == json!({ "room": 2 })).then(|| sync.clone())
        })
        .await;
    assert_eq!(sync.account_data("org.example"), Some(&json!({ "n": 2 })));
}

async fn account_data_of_the_server_cannot_be_set(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for kind in ["m.fully_read", "m.push_rules"] {
        let global = alice.put(path(["user", &alice.id, "account_data", kind]));
        global.refused(405, "M_BAD_JSON").await;
        let of_room = alice.put(path(["user", &alice.id, "rooms", &room, "account_data", kind]));
        of_room.refused(405, "M_BAD_JSON").await;
    }
}

async fn account_data_of_an_invalid_room_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let data = path(["user", &alice.id, "rooms", "not-a-room", "account_data", "org.example"]);
    alice.put(&data).refused(400, "M_INVALID_PARAM").await;
    alice.get(&data).refused(400, "M_INVALID_PARAM").await;
}

/// S-C2
async fn account_data_is_not_told_to_others(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = bob.watch().await;
    let data = path(["user", &alice.id, "rooms", &room, "account_data", "org.example.secret"]);
    alice.put(&data).json(&json!({})).ok().await;
    let global = path(["user", &alice.id, "account_data", "org.example.secret"]);
    alice.put(&global).json(&json!({})).ok().await;
    let last = alice.say(&room, "after it").await;
    let seen = watch
        .until("the message after it", |sync| {
            let text = sync.json.to_string();
            assert!(!text.contains("org.example.secret"), "{text}");
            sync.joined(&room)?.event(&last).cloned()
        })
        .await;
    assert_eq!(seen["event_id"], last.as_str());
}

/// T1d: in bytes, of the user and of their rooms together. What takes no more room than before is
/// never refused.
async fn there_is_only_so_much_account_data(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let global = |kind: &str| path(["user", &alice.id, "account_data", kind]);
    let of_room = |kind: &str| path(["user", &alice.id, "rooms", &room, "account_data", kind]);
    let large = json!({ "a": "x".repeat(260_000) });
    for number in 0..8 {
        alice.put(global(&format!("org.example.{number}"))).json(&large).ok().await;
        alice.put(of_room(&format!("org.example.{number}"))).json(&large).ok().await;
    }
    alice.put(global("org.example.more")).json(&large).refused(413, "M_TOO_LARGE").await;
    alice.put(of_room("org.example.more")).json(&large).refused(413, "M_TOO_LARGE").await;
    alice.put(global("org.example.0")).json(&large).ok().await;
    alice.put(of_room("org.example.0")).json(&json!({})).ok().await;
    alice.put(global("org.example.more")).json(&large).ok().await;
    alice.put(of_room("org.example.0")).json(&large).refused(413, "M_TOO_LARGE").await;
    let sync = alice.sync().get().await;
    assert_eq!(sync.account_data("org.example.more"), Some(&large));
}
