//! What must follow a room's changes elsewhere follows them, whoever made them.

use skerry_tests::{
    Host, Options, PATIENCE, Server, User, Value, json, path,
    peer::{Draft, PeerRoom},
    remote::Remote,
    unique,
};
use tokio::time::Instant;

both_hosts![
    the_directory_follows_a_user_who_is_gone,
    the_directory_follows_what_users_of_other_servers_change,
    a_room_that_all_have_forgotten_is_removed,
    a_room_of_closed_accounts_is_removed,
    a_forgotten_room_that_somebody_is_still_in_stays,
    nothing_is_kept_of_a_room_that_the_user_is_not_in,
];

private_server![native_alone: Native => [
    the_directory_is_right_after_a_crash,
]];

/// The room's entry in the directory.
async fn entry(user: &User, name: &str) -> Option<Value> {
    let search = json!({ "filter": { "generic_search_term": name } });
    let found = user.post("/publicRooms").json(&search).ok().await;
    found["chunk"].as_array().expect("a chunk").first().cloned()
}

/// Asks again and again until the answer is what the test waits for.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}");
    }
}

async fn forget(user: &User, room: &str) {
    user.post(path(["rooms", room, "forget"])).ok().await;
}

async fn the_directory_follows_a_user_who_is_gone(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let name = unique("Quay");
    let room = alice.create_room(&json!({ "visibility": "public", "name": name })).await;
    bob.join(&room).await;
    assert_eq!(entry(&alice, &name).await.expect("an entry")["num_joined_members"], 2);
    bob.post("/account/deactivate").uia(json!({}), bob.password_auth()).await.ok();
    until("one member", async || {
        entry(&alice, &name).await.expect("an entry")["num_joined_members"] == 1
    })
    .await;
}

/// Nobody here does anything in the room.
async fn the_directory_follows_what_users_of_other_servers_change(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let (first, second) = (unique("Quay"), unique("Pier"));
    let options = json!({ "visibility": "public", "preset": "public_chat", "name": first });
    let id = alice.create_room(&options).await;
    let carol = remote.peer.user("carol");
    alice.give_powers(&id, &[(&carol, 100)]).await;
    let mut room = PeerRoom::of(&remote.peer, &alice, &id).await;
    let join = room.add(Draft::join(&carol));
    remote.send(server, &[&join]).await;
    until("two members", async || {
        entry(&alice, &first).await.is_some_and(|it| it["num_joined_members"] == 2)
    })
    .await;
    let state = |kind: &str, content| Draft::state(&carol, kind, "", content);
    let changes = [
        state("m.room.name", json!({ "name": second })),
        state("m.room.topic", json!({ "topic": "of ships" })),
        state("m.room.history_visibility", json!({ "history_visibility": "world_readable" })),
        state("m.room.join_rules", json!({ "join_rule": "knock" })),
        Draft::join(&remote.peer.user("dave")),
    ];
    // One is a member whom the join rule does not let in any more.
    let changes: Vec<_> = changes.into_iter().map(|it| room.add(it)).collect();
    let (late, others) = changes.split_last().expect("changes");
    remote.send(server, &others.iter().chain([late]).collect::<Vec<_>>()).await;
    until("the new entry", async || {
        entry(&alice, &second).await.is_some_and(|it| {
            it["topic"] == "of ships"
                && it["world_readable"] == true
                && it["join_rule"] == "knock"
                && it["num_joined_members"] == 2
        })
    })
    .await;
    assert!(entry(&alice, &first).await.is_none());
    let leave = room.stray(Draft::member(&carol, &carol, "leave").after(&[&others[3]]));
    remote.send(server, &[&leave]).await;
    until("one member", async || {
        entry(&alice, &second).await.is_some_and(|it| it["num_joined_members"] == 1)
    })
    .await;
}

async fn a_room_that_all_have_forgotten_is_removed(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let name = unique("Wreck");
    let options = json!({ "visibility": "public", "name": name, "room_alias_name": name });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    alice.say(&room, "all hands").await;
    for user in [&bob, &alice] {
        user.leave(&room).await;
        forget(user, &room).await;
    }
    let alias = path(["directory", "room", &format!("#{name}:localhost")]);
    until("a free alias", async || alice.get(&alias).send().await.status == 404).await;
    assert!(entry(&alice, &name).await.is_none());
    bob.post(path(["join", &room])).refused(404, "M_NOT_FOUND").await;
    alice.get(path(["directory", "list", "room", &room])).refused(404, "M_NOT_FOUND").await;
    // A client that did not hear the answer asks again.
    forget(&bob, &room).await;
    // The name is free for another room.
    let again = alice.create_room(&options).await;
    assert_eq!(alice.get(&alias).ok().await["room_id"], again);
}

async fn a_room_of_closed_accounts_is_removed(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let name = unique("Hulk");
    let room =
        alice.create_room(&json!({ "preset": "public_chat", "room_alias_name": name })).await;
    bob.join(&room).await;
    // One closes the account in the room, the other after having left it.
    bob.leave(&room).await;
    for user in [&bob, &alice] {
        user.post("/account/deactivate").uia(json!({}), user.password_auth()).await.ok();
    }
    let anyone = skerry_tests::Client::new(server.url());
    let alias = path(["directory", "room", &format!("#{name}:localhost")]);
    until("a free alias", async || anyone.get(&alias).send().await.status == 404).await;
}

async fn a_forgotten_room_that_somebody_is_still_in_stays(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob, &carol]).await;
    for user in [&bob, &carol] {
        user.leave(&room).await;
        forget(user, &room).await;
    }
    // The room that goes is one that was forgotten later.
    let (name, gone) = (unique("Raft"), alice.create_room(&json!({})).await);
    let alias = path(["directory", "room", &format!("#{name}:localhost")]);
    alice.put(&alias).json(&json!({ "room_id": gone })).ok().await;
    alice.leave(&gone).await;
    forget(&alice, &gone).await;
    until("a free alias", async || alice.get(&alias).send().await.status == 404).await;
    alice.say(&room, "still here").await;
    bob.join(&room).await;
}

async fn nothing_is_kept_of_a_room_that_the_user_is_not_in(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    for room in [&room, "!no-such-room:localhost"] {
        let of_room = |area: &str, kind: &str| path(["user", &bob.id, "rooms", room, area, kind]);
        let body = json!({ "m.fully_read": event });
        let marker = bob.post(path(["rooms", room, "read_markers"])).json(&body);
        marker.refused(403, "M_FORBIDDEN").await;
        let data = bob.put(of_room("account_data", "org.example")).json(&json!({}));
        data.refused(403, "M_FORBIDDEN").await;
        let tag = bob.put(of_room("tags", "u.mine")).json(&json!({}));
        tag.refused(403, "M_FORBIDDEN").await;
        bob.get(of_room("account_data", "m.fully_read")).refused(404, "M_NOT_FOUND").await;
    }
}

/// S-P3
async fn the_directory_is_right_after_a_crash(host: Host) {
    let mut server = Server::start(host, Options::default());
    let mut alice = User::register(&server, "alice").await;
    let word = unique("Buoy");
    let room = alice.create_room(&json!({ "visibility": "public", "name": word })).await;
    for round in 0..3 {
        let renaming = async {
            for number in 0.. {
                let name = json!({ "name": format!("{word} {round} {number}") });
                let request = alice.setting(&room, "m.room.name", "", &name);
                if request.try_send().await.is_err() {
                    break;
                }
            }
        };
        let killing = async {
            // In the middle of the renaming, at another point in each round.
            for _ in 0..=round {
                entry(&User::register(&server, "bob").await, &word).await;
            }
            server.kill();
        };
        tokio::join!(renaming, killing);
        server.restart();
        alice = alice.at(&server);
        let name = alice.state(&room, "m.room.name", "").ok().await["name"].clone();
        until("the name that the room has", async || {
            entry(&alice, &word).await.is_some_and(|it| it["name"] == name)
        })
        .await;
    }
}
