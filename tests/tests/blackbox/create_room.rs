//! `POST /createRoom` with each of its options, as it reads afterwards.

use skerry_tests::{Server, User, Value, json, path, unique};

both_hosts![
    the_first_events_come_in_the_order_of_the_specification,
    a_private_chat_is_the_default,
    a_public_chat_can_be_joined_by_anyone,
    public_visibility_makes_a_listed_public_chat,
    a_trusted_chat_gives_invitees_the_power_of_the_creator,
    initial_state_wins_over_the_preset,
    name_and_topic_win_over_initial_state,
    invitees_are_invited_and_told_it_is_direct,
    creation_content_reaches_the_create_event,
    creation_content_cannot_forge_the_creator_or_version,
    an_alias_is_made_canonical,
    a_taken_alias_is_refused_and_leaves_nothing,
    an_unknown_version_is_refused,
    power_levels_are_overridden_key_by_key,
    an_impossible_room_is_refused_and_leaves_nothing,
    an_invalid_invitee_is_refused,
    a_room_is_listed_among_the_joined_ones_at_once,
];

async fn content(alice: &User, room: &str, kind: &str) -> Value {
    alice.state(room, kind, "").ok().await
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|it| it["type"].as_str().expect("a type")).collect()
}

async fn the_first_events_come_in_the_order_of_the_specification(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice
        .create_room(&json!({
            "preset": "private_chat",
            "room_alias_name": unique("pub"),
            "name": "The Grand Duke Pub",
            "topic": "All about happy hour",
            "invite": [bob.id],
            "initial_state": [
                { "type": "org.example.second", "content": {} },
                { "type": "org.example.first", "state_key": "key", "content": {} },
            ],
        }))
        .await;
    let history = alice.history(&room).await;
    let found = types(&history);
    let preset = ["m.room.join_rules", "m.room.history_visibility", "m.room.guest_access"];
    assert_eq!(found[..4], START, "{found:?}");
    // The three events of the preset have no order among themselves.
    let mut of_preset = found[4..7].to_vec();
    of_preset.sort_by_key(|it| preset.iter().position(|kind| kind == it));
    assert_eq!(of_preset, preset, "{found:?}");
    assert_eq!(found[7..9], ["org.example.second", "org.example.first"], "{found:?}");
    let mut named = found[9..11].to_vec();
    named.sort_unstable();
    assert_eq!(named, ["m.room.name", "m.room.topic"], "{found:?}");
    assert_eq!(found[11..], ["m.room.member"], "{found:?}");
    assert_eq!(history[1]["state_key"], alice.id.as_str());
    assert_eq!(history[1]["content"]["membership"], "join");
    assert_eq!(history[11]["state_key"], bob.id.as_str());
    assert_eq!(history[11]["content"]["membership"], "invite");
}

const START: [&str; 4] =
    ["m.room.create", "m.room.member", "m.room.power_levels", "m.room.canonical_alias"];

async fn a_private_chat_is_the_default(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({})).await;
    assert_eq!(content(&alice, &room, "m.room.join_rules").await["join_rule"], "invite");
    let visibility = content(&alice, &room, "m.room.history_visibility").await;
    assert_eq!(visibility["history_visibility"], "shared");
    assert_eq!(content(&alice, &room, "m.room.guest_access").await["guest_access"], "can_join");
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    let listed = alice.get(path(["directory", "list", "room", &room])).ok().await;
    assert_eq!(listed["visibility"], "private");
}

async fn a_public_chat_can_be_joined_by_anyone(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({ "preset": "public_chat" })).await;
    assert_eq!(content(&alice, &room, "m.room.join_rules").await["join_rule"], "public");
    let visibility = content(&alice, &room, "m.room.history_visibility").await;
    assert_eq!(visibility["history_visibility"], "shared");
    assert_eq!(content(&alice, &room, "m.room.guest_access").await["guest_access"], "forbidden");
    bob.join(&room).await;
    let listed = alice.get(path(["directory", "list", "room", &room])).ok().await;
    assert_eq!(listed["visibility"], "private", "a public chat is not listed unasked");
}

async fn public_visibility_makes_a_listed_public_chat(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "visibility": "public" })).await;
    assert_eq!(content(&alice, &room, "m.room.join_rules").await["join_rule"], "public");
    let listed = alice.get(path(["directory", "list", "room", &room])).ok().await;
    assert_eq!(listed["visibility"], "public");
}

async fn a_trusted_chat_gives_invitees_the_power_of_the_creator(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let options = |version: &str| {
        let invite = [&bob.id];
        json!({ "preset": "trusted_private_chat", "invite": invite, "room_version": version })
    };
    let old = alice.create_room(&options("11")).await;
    let levels = content(&alice, &old, "m.room.power_levels").await;
    assert_eq!(levels["users"][&alice.id], 100, "{levels}");
    assert_eq!(levels["users"][&bob.id], 100, "{levels}");

    let new = alice.create_room(&options("12")).await;
    let create = content(&alice, &new, "m.room.create").await;
    assert_eq!(create["additional_creators"], json!([bob.id]), "{create}");
    bob.join(&new).await;
    bob.set_state(&new, "m.room.tombstone", "", &json!({ "body": "moved" })).await;
}

async fn initial_state_wins_over_the_preset(server: &Server) {
    let alice = User::register(server, "alice").await;
    let state = |kind: &str, content: Value| json!({ "type": kind, "content": content });
    let room = alice
        .create_room(&json!({
            "preset": "private_chat",
            "initial_state": [
                state("m.room.join_rules", json!({ "join_rule": "knock" })),
                state("m.room.guest_access", json!({ "guest_access": "forbidden" })),
                state("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
            ],
        }))
        .await;
    assert_eq!(content(&alice, &room, "m.room.join_rules").await["join_rule"], "knock");
    assert_eq!(content(&alice, &room, "m.room.guest_access").await["guest_access"], "forbidden");
    let encryption = content(&alice, &room, "m.room.encryption").await;
    assert_eq!(encryption["algorithm"], "m.megolm.v1.aes-sha2");
}

async fn name_and_topic_win_over_initial_state(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice
        .create_room(&json!({
            "name": "right name", "topic": "right topic",
            "initial_state": [
                { "type": "m.room.name", "content": { "name": "wrong" } },
                { "type": "m.room.topic", "content": { "topic": "wrong" } },
            ],
        }))
        .await;
    assert_eq!(content(&alice, &room, "m.room.name").await["name"], "right name");
    assert_eq!(content(&alice, &room, "m.room.topic").await["topic"], "right topic");
}

async fn invitees_are_invited_and_told_it_is_direct(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let direct = json!({ "invite": [bob.id, carol.id], "is_direct": true });
    let room = alice.create_room(&direct).await;
    for invitee in [&bob, &carol] {
        let member = alice.state(&room, "m.room.member", &invitee.id).ok().await;
        assert_eq!(member["membership"], "invite");
        assert_eq!(member["is_direct"], true, "{member}");
        invitee.join(&room).await;
    }
    let plain = alice.create_room(&json!({ "invite": [bob.id] })).await;
    let member = alice.state(&plain, "m.room.member", &bob.id).ok().await;
    assert_ne!(member["is_direct"], true, "{member}");
}

async fn creation_content_reaches_the_create_event(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice
        .create_room(&json!({ "creation_content": {
            "m.federate": false, "type": "m.space", "org.example.key": [1, 2] } }))
        .await;
    let create = content(&alice, &room, "m.room.create").await;
    assert_eq!(create["m.federate"], false, "{create}");
    assert_eq!(create["type"], "m.space", "{create}");
    assert_eq!(create["org.example.key"], json!([1, 2]), "{create}");
}

/// T7
async fn creation_content_cannot_forge_the_creator_or_version(server: &Server) {
    let alice = User::register(server, "alice").await;
    let forged = json!({ "creator": "@someone:localhost", "room_version": "1" });
    for version in ["10", "11", "12"] {
        let options = json!({ "room_version": version, "creation_content": forged });
        let room = alice.create_room(&options).await;
        let create = content(&alice, &room, "m.room.create").await;
        assert_eq!(create["room_version"], version, "{create}");
        assert_ne!(create["creator"], "@someone:localhost", "{create}");
    }
}

async fn an_alias_is_made_canonical(server: &Server) {
    let alice = User::register(server, "alice").await;
    let name = unique("pub");
    let room = alice.create_room(&json!({ "room_alias_name": name })).await;
    let alias = format!("#{name}:localhost");
    assert_eq!(content(&alice, &room, "m.room.canonical_alias").await["alias"], alias);
    let resolved = alice.get(path(["directory", "room", &alias])).ok().await;
    assert_eq!(resolved["room_id"], room);
}

async fn a_taken_alias_is_refused_and_leaves_nothing(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let name = unique("pub");
    let room = alice.create_room(&json!({ "room_alias_name": name })).await;
    let second = bob.post("/createRoom").json(&json!({ "room_alias_name": name }));
    second.refused(400, "M_ROOM_IN_USE").await;
    let resolved = alice.get(path(["directory", "room", &format!("#{name}:localhost")])).ok().await;
    assert_eq!(resolved["room_id"], room);
    assert_eq!(bob.get("/joined_rooms").ok().await["joined_rooms"], json!([]));
}

async fn an_unknown_version_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    for version in ["0", "9999", "org.example.version"] {
        let request = alice.post("/createRoom").json(&json!({ "room_version": version }));
        request.refused(400, "M_UNSUPPORTED_ROOM_VERSION").await;
    }
}

async fn power_levels_are_overridden_key_by_key(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice
        .create_room(&json!({ "power_level_content_override": {
            "users": { &bob.id: 50 }, "events_default": 25, "invite": 75 } }))
        .await;
    let levels = content(&alice, &room, "m.room.power_levels").await;
    assert_eq!(levels["users"][&bob.id], 50, "{levels}");
    assert_eq!(levels["events_default"], 25, "{levels}");
    assert_eq!(levels["invite"], 75, "{levels}");
    let tombstone = levels["events"]["m.room.tombstone"].as_i64().expect("a tombstone level");
    let default = levels["state_default"].as_i64().unwrap_or(50);
    assert!(tombstone > default, "replacing a room takes more than other state: {levels}");
}

async fn an_impossible_room_is_refused_and_leaves_nothing(server: &Server) {
    let alice = User::register(server, "alice").await;
    let name = unique("pub");
    // The creator may not do what the same request asks to be done.
    let powerless = json!({ "name": "cannot be set", "room_version": "11", "room_alias_name": name,
        "power_level_content_override": { "users": { &alice.id: 0 } } });
    let request = alice.post("/createRoom").json(&powerless);
    request.refused(400, "M_INVALID_ROOM_STATE").await;
    // In version 12 a creator has no level to be listed with.
    let listed = json!({ "power_level_content_override": { "users": { &alice.id: 100 } } });
    let reply = alice.post("/createRoom").json(&listed).send().await;
    assert_eq!(reply.status, 400, "{reply}");
    reply.client_error();
    let alias = alice.get(path(["directory", "room", &format!("#{name}:localhost")]));
    alias.refused(404, "M_NOT_FOUND").await;
    assert_eq!(alice.get("/joined_rooms").ok().await["joined_rooms"], json!([]));
}

async fn an_invalid_invitee_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    for invitee in ["nobody", "@", "#room:localhost", ""] {
        let reply = alice.post("/createRoom").json(&json!({ "invite": [invitee] })).send().await;
        assert_eq!(reply.status, 400, "{invitee}: {reply}");
        reply.client_error();
    }
    assert_eq!(alice.get("/joined_rooms").ok().await["joined_rooms"], json!([]));
}

async fn a_room_is_listed_among_the_joined_ones_at_once(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    assert_eq!(alice.get("/joined_rooms").ok().await["joined_rooms"], json!([room]));
}
