//! Reading and writing state, as members and as those who left see it.

use skerry_tests::{Server, User, json, path};

both_hosts![
    state_is_set_and_read,
    a_missing_state_event_is_not_found,
    the_empty_state_key_may_be_left_out,
    state_can_be_read_as_an_event,
    the_whole_state_has_each_key_once,
    a_replaced_state_tells_what_was_before,
    a_former_member_sees_the_state_they_left,
    joined_members_are_told_with_their_profile,
    a_canonical_alias_must_point_to_the_room,
];

async fn state_is_set_and_read(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let first = alice.set_state(&room, "m.room.name", "", &json!({ "name": "one" })).await;
    let second = alice.set_state(&room, "m.room.name", "", &json!({ "name": "two" })).await;
    assert_ne!(first, second);
    assert_eq!(alice.state(&room, "m.room.name", "").ok().await, json!({ "name": "two" }));
    alice.set_state(&room, "m.room.name", "", &json!({})).await;
    assert_eq!(alice.state(&room, "m.room.name", "").ok().await, json!({}));
    assert_eq!(alice.event(&room, &first).ok().await["content"], json!({ "name": "one" }));
}

async fn a_missing_state_event_is_not_found(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    alice.state(&room, "m.room.name", "").refused(404, "M_NOT_FOUND").await;
    alice.state(&room, "m.room.create", "key").refused(404, "M_NOT_FOUND").await;
    alice.state(&room, "m.room.member", "@nobody:localhost").refused(404, "M_NOT_FOUND").await;
}

async fn the_empty_state_key_may_be_left_out(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let short = path(["rooms", &room, "state", "m.room.name"]);
    alice.put(&short).json(&json!({ "name": "short" })).ok().await;
    assert_eq!(alice.get(format!("{short}/")).ok().await["name"], "short");
    alice.put(format!("{short}/")).json(&json!({ "name": "long" })).ok().await;
    assert_eq!(alice.get(&short).ok().await["name"], "long");
}

async fn state_can_be_read_as_an_event(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let id = alice.set_state(&room, "m.room.name", "", &json!({ "name": "one" })).await;
    let event = alice.state(&room, "m.room.name", "").query("format", "event").ok().await;
    assert_eq!(event["event_id"], id.as_str(), "{event}");
    assert_eq!(event["sender"], alice.id.as_str());
    assert_eq!(event["state_key"], "");
    assert_eq!(event["content"], json!({ "name": "one" }));
    let content = alice.state(&room, "m.room.name", "").query("format", "content").ok().await;
    assert_eq!(content, json!({ "name": "one" }));
}

async fn the_whole_state_has_each_key_once(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    for number in 0..3 {
        alice.set_state(&room, "m.room.topic", "", &json!({ "topic": number.to_string() })).await;
        alice.set_state(&room, "org.example", &number.to_string(), &json!({})).await;
    }
    let state = bob.all_state(&room).await;
    let mut keys: Vec<(&str, &str)> = state
        .iter()
        .map(|it| (it["type"].as_str().expect("a type"), it["state_key"].as_str().expect("a key")))
        .collect();
    keys.sort_unstable();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count, "{keys:?}");
    for expected in [
        ("m.room.create", ""),
        ("m.room.power_levels", ""),
        ("m.room.join_rules", ""),
        ("m.room.member", alice.id.as_str()),
        ("m.room.member", bob.id.as_str()),
        ("org.example", "0"),
        ("org.example", "2"),
    ] {
        assert!(keys.contains(&expected), "{expected:?} is missing: {keys:?}");
    }
    let topic = state.iter().find(|it| it["type"] == "m.room.topic").expect("a topic");
    assert_eq!(topic["content"]["topic"], "2");
    assert_eq!(topic["room_id"], room.as_str());
}

async fn a_replaced_state_tells_what_was_before(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let mut watch = alice.watch().await;
    let first = alice.set_state(&room, "m.room.name", "", &json!({ "name": "one" })).await;
    let event = watch.event(&room, &first).await;
    assert!(event["unsigned"].get("prev_content").is_none(), "{event}");
    let second = alice.set_state(&room, "m.room.name", "", &json!({ "name": "two" })).await;
    let event = watch.event(&room, &second).await;
    assert_eq!(event["unsigned"]["prev_content"], json!({ "name": "one" }), "{event}");
    assert_eq!(event["unsigned"]["replaces_state"], first.as_str(), "{event}");
    let event = alice.event(&room, &second).ok().await;
    assert_eq!(event["unsigned"]["prev_content"], json!({ "name": "one" }), "{event}");
}

/// T15-like
async fn a_former_member_sees_the_state_they_left(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.private_room(&[&bob]).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "then" })).await;
    bob.leave(&room).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "later" })).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "later" })).await;
    assert_eq!(bob.state(&room, "m.room.name", "").ok().await["name"], "then");
    bob.state(&room, "m.room.topic", "").refused(404, "M_NOT_FOUND").await;
    let state = bob.all_state(&room).await;
    let of = |kind: &str| state.iter().find(|it| it["type"] == kind);
    assert_eq!(of("m.room.name").expect("a name")["content"]["name"], "then");
    assert!(of("m.room.topic").is_none());
    bob.get(path(["rooms", &room, "joined_members"])).refused(403, "M_FORBIDDEN").await;
}

async fn joined_members_are_told_with_their_profile(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let profile = bob.put(path(["profile", &bob.id, "displayname"]));
    profile.json(&json!({ "displayname": "Bob" })).ok().await;
    let room = alice.private_room(&[&bob]).await;
    alice.invite(&room, &carol).await;
    let members = alice.get(path(["rooms", &room, "joined_members"])).ok().await;
    let joined = members["joined"].as_object().expect("a map of members");
    assert_eq!(joined.len(), 2, "{members}");
    assert!(joined.contains_key(&alice.id), "{members}");
    assert_eq!(joined[&bob.id]["display_name"], "Bob", "{members}");
}

async fn a_canonical_alias_must_point_to_the_room(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let other = alice.create_room(&json!({})).await;
    let (own, foreign) =
        (format!("#{}:localhost", skerry_tests::unique("own")), "#no-such:localhost");
    alice.put(path(["directory", "room", &own])).json(&json!({ "room_id": room })).ok().await;
    let set = |room: &str, content| alice.setting(room, "m.room.canonical_alias", "", &content);
    set(&room, json!({ "alias": own })).ok().await;
    set(&room, json!({ "alias": own, "alt_aliases": [own] })).ok().await;
    set(&room, json!({ "alias": foreign })).refused(400, "M_BAD_ALIAS").await;
    set(&other, json!({ "alias": own })).refused(400, "M_BAD_ALIAS").await;
    set(&other, json!({ "alt_aliases": [own] })).refused(400, "M_BAD_ALIAS").await;
    set(&other, json!({ "alt_aliases": ["no alias"] })).refused(400, "M_INVALID_PARAM").await;
}
