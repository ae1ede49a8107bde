//! What differs between room versions, seen by a client. Every supported version runs through the
//! same story.

use skerry_tests::{Server, User, json, path};

both_hosts![
    every_version_holds_a_conversation,
    every_version_keeps_members_from_moderating,
    a_room_of_version_12_is_named_by_its_create_event,
    a_creator_of_version_12_stands_above_all_levels,
    additional_creators_share_that_power,
    additional_creators_must_be_user_ids,
    before_version_12_the_creator_has_level_100,
    a_room_version_decides_where_a_redaction_names_its_event,
];

const VERSIONS: [&str; 7] = ["6", "7", "8", "9", "10", "11", "12"];

async fn every_version_holds_a_conversation(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    for version in VERSIONS {
        let options = json!({ "room_version": version, "name": "talk", "invite": [bob.id] });
        let room = alice.create_room(&options).await;
        let create = alice.state(&room, "m.room.create", "").ok().await;
        assert_eq!(create["room_version"], version, "{create}");
        let named = !["11", "12"].contains(&version);
        assert_eq!(create.get("creator").is_some(), named, "version {version}: {create}");
        bob.join(&room).await;
        let event = bob.say(&room, "hello").await;
        assert!(event.starts_with('$') && !event.contains(':'), "a hash since version 3: {event}");
        assert_eq!(alice.event(&room, &event).ok().await["content"]["body"], "hello");
        bob.redact(&room, &event).await;
        assert_eq!(alice.event(&room, &event).ok().await["content"], json!({}));
    }
}

/// T6a, S-Z5
async fn every_version_keeps_members_from_moderating(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    for version in VERSIONS {
        let options = json!({ "room_version": version, "preset": "public_chat" });
        let room = alice.create_room(&options).await;
        bob.join(&room).await;
        carol.join(&room).await;
        for action in ["kick", "ban"] {
            bob.on_member(&room, action, &carol).refused(403, "M_FORBIDDEN").await;
            bob.on_member(&room, action, &alice).refused(403, "M_FORBIDDEN").await;
        }
        let name = bob.setting(&room, "m.room.name", "", &json!({ "name": "mine" }));
        name.refused(403, "M_FORBIDDEN").await;
        alice.on_member(&room, "ban", &carol).ok().await;
        bob.on_member(&room, "unban", &carol).refused(403, "M_FORBIDDEN").await;
        carol.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    }
}

async fn a_room_of_version_12_is_named_by_its_create_event(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let create = alice.state(&room, "m.room.create", "").query("format", "event").ok().await;
    assert_eq!(create["content"]["room_version"], "12", "the default: {create}");
    let event = create["event_id"].as_str().expect("an event ID");
    assert_eq!(room, event.replacen('$', "!", 1));
    let old = alice.create_room(&json!({ "room_version": "11" })).await;
    assert!(old.ends_with(":localhost"), "{old}");
}

/// T6a
async fn a_creator_of_version_12_stands_above_all_levels(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut levels = alice.state(&room, "m.room.power_levels", "").ok().await;
    assert!(levels["users"].get(&alice.id).is_none(), "{levels}");
    levels["users"][&bob.id] = json!(9_007_199_254_740_991_i64);
    alice.set_state(&room, "m.room.power_levels", "", &levels).await;
    for action in ["kick", "ban"] {
        bob.on_member(&room, action, &alice).refused(403, "M_FORBIDDEN").await;
    }
    levels["users"][&alice.id] = json!(0);
    let demote = bob.setting(&room, "m.room.power_levels", "", &levels).send().await;
    demote.refused_with_any(&[(403, "M_FORBIDDEN"), (400, "M_BAD_JSON"), (400, "M_INVALID_PARAM")]);
    alice.on_member(&room, "kick", &bob).ok().await;
}

async fn additional_creators_share_that_power(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let options = json!({ "preset": "public_chat",
        "creation_content": { "additional_creators": [bob.id] } });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    carol.join(&room).await;
    bob.on_member(&room, "kick", &alice).refused(403, "M_FORBIDDEN").await;
    alice.on_member(&room, "kick", &bob).refused(403, "M_FORBIDDEN").await;
    bob.give_power(&room, &carol, 100).await;
    carol.on_member(&room, "ban", &bob).refused(403, "M_FORBIDDEN").await;
    bob.on_member(&room, "ban", &carol).ok().await;
}

async fn additional_creators_must_be_user_ids(server: &Server) {
    let alice = User::register(server, "alice").await;
    for wrong in [json!("@bob:localhost"), json!(["bob"]), json!([1]), json!({})] {
        let options = json!({ "creation_content": { "additional_creators": wrong } });
        let reply = alice.post("/createRoom").json(&options).send().await;
        assert_eq!(reply.status, 400, "{reply}");
        reply.client_error();
    }
}

async fn before_version_12_the_creator_has_level_100(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let options = json!({ "room_version": "11", "preset": "public_chat" });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    let levels = alice.state(&room, "m.room.power_levels", "").ok().await;
    assert_eq!(levels["users"], json!({ &alice.id: 100 }));
    alice.give_power(&room, &alice, 50).await;
    let mut raised = levels.clone();
    raised["users"][&alice.id] = json!(100);
    let raise = alice.setting(&room, "m.room.power_levels", "", &raised);
    raise.refused(403, "M_FORBIDDEN").await;
}

async fn a_room_version_decides_where_a_redaction_names_its_event(server: &Server) {
    let alice = User::register(server, "alice").await;
    for version in ["6", "10", "11", "12"] {
        let room = alice.create_room(&json!({ "room_version": version })).await;
        let event = alice.say(&room, "hello").await;
        let redaction = alice.redact(&room, &event).await;
        let found = alice.event(&room, &redaction).ok().await;
        // Servers should serve both places to clients, whatever the version.
        assert_eq!(found["redacts"], event.as_str(), "version {version}: {found}");
        assert_eq!(found["content"]["redacts"], event.as_str(), "version {version}: {found}");
        assert_eq!(found["content"]["reason"], "for a test", "{found}");
    }
}
