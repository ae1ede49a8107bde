//! Redaction: what is left of an event, by room version, wherever it is served afterwards.

use skerry_tests::{Server, User, Value, json, path};

both_hosts![
    a_redacted_message_is_empty_everywhere,
    a_redacted_event_carries_its_redaction,
    a_redaction_comes_down_sync,
    a_redaction_can_be_sent_as_an_event,
    a_member_event_keeps_its_membership,
    power_levels_keep_what_the_version_protects,
    a_create_event_survives_redaction,
    a_redacted_topic_is_no_topic,
    an_unknown_event_cannot_be_redacted,
    a_redaction_can_be_redacted,
];

async fn redacted(alice: &User, room: &str, event: &str) -> Value {
    alice.redact(room, event).await;
    alice.event(room, event).ok().await["content"].clone()
}

/// S-G1
async fn a_redacted_message_is_empty_everywhere(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "unwise words").await;
    let redaction = alice.redact(&room, &event).await;
    for request in [
        bob.event(&room, &event),
        bob.messages(&room, "b").query("limit", 50),
        bob.messages(&room, "f").query("limit", 50),
        bob.get(path(["rooms", &room, "context", &event])),
    ] {
        let reply = request.send().await;
        assert!(!reply.text.contains("unwise words"), "{reply}");
        reply.ok();
    }
    let sync = bob.sync().until_event(&room, &redaction).await;
    assert!(!sync.json.to_string().contains("unwise words"), "{}", sync.json);
    let found = sync.joined(&room).expect("the room").event(&event).cloned();
    assert_eq!(found.expect("the redacted event is still there")["content"], json!({}));
}

async fn a_redacted_event_carries_its_redaction(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "unwise words").await;
    let redaction = alice.redact(&room, &event).await;
    let found = alice.event(&room, &event).ok().await;
    let because = &found["unsigned"]["redacted_because"];
    assert_eq!(because["event_id"], redaction.as_str(), "{found}");
    assert_eq!(because["type"], "m.room.redaction", "{found}");
    assert_eq!(because["sender"], alice.id.as_str(), "{found}");
    assert_eq!(because["content"]["reason"], "for a test", "{found}");
    assert_eq!(found["sender"], alice.id.as_str());
    assert_eq!(found["type"], "m.room.message");
}

async fn a_redaction_comes_down_sync(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "unwise words").await;
    let mut watch = bob.watch().await;
    let redaction = alice.redact(&room, &event).await;
    let found = watch.event(&room, &redaction).await;
    assert_eq!(found["redacts"], event.as_str(), "{found}");
    assert_eq!(found["content"]["redacts"], event.as_str(), "{found}");
}

async fn a_redaction_can_be_sent_as_an_event(server: &Server) {
    let alice = User::register(server, "alice").await;
    for version in ["6", "10", "11", "12"] {
        let room = alice.create_room(&json!({ "room_version": version })).await;
        let event = alice.say(&room, "unwise words").await;
        let content = json!({ "redacts": event, "reason": "typed too fast" });
        let redaction = alice.send(&room, "m.room.redaction", &content).await;
        let found = alice.event(&room, &event).ok().await;
        assert_eq!(found["content"], json!({}), "version {version}: {found}");
        assert_eq!(found["unsigned"]["redacted_because"]["event_id"], redaction.as_str());
    }
}

async fn a_member_event_keeps_its_membership(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    for version in ["6", "9", "11", "12"] {
        let options = json!({ "room_version": version, "preset": "public_chat" });
        let room = alice.create_room(&options).await;
        bob.join(&room).await;
        let content = json!({ "membership": "join", "displayname": "rude", "reason": "rude" });
        let event = bob.set_state(&room, "m.room.member", &bob.id, &content).await;
        assert_eq!(redacted(&alice, &room, &event).await, json!({ "membership": "join" }));
        bob.say(&room, "still a member").await;
        let members = alice.get(path(["rooms", &room, "joined_members"])).ok().await;
        assert!(!members.to_string().contains("rude"), "version {version}: {members}");
    }
}

async fn power_levels_keep_what_the_version_protects(server: &Server) {
    let alice = User::register(server, "alice").await;
    let content = |version: &str| {
        let users = if version == "12" { json!({}) } else { json!({ &alice.id: 100 }) };
        json!({ "ban": 50, "kick": 50, "redact": 50, "invite": 50, "events_default": 0,
            "state_default": 50, "users_default": 0, "events": {}, "users": users,
            "notifications": { "room": 50 }, "org.example": "gone" })
    };
    for version in ["6", "10", "11", "12"] {
        let room = alice.create_room(&json!({ "room_version": version })).await;
        let event = alice.set_state(&room, "m.room.power_levels", "", &content(version)).await;
        let left = redacted(&alice, &room, &event).await;
        for gone in ["notifications", "org.example"] {
            assert!(left.get(gone).is_none(), "version {version} kept {gone}: {left}");
        }
        for kept in ["ban", "kick", "redact", "events", "users", "state_default"] {
            assert!(left.get(kept).is_some(), "version {version} lost {kept}: {left}");
        }
        let keeps_invite = ["11", "12"].contains(&version);
        assert_eq!(left.get("invite").is_some(), keeps_invite, "version {version}: {left}");
    }
}

async fn a_create_event_survives_redaction(server: &Server) {
    let alice = User::register(server, "alice").await;
    for version in ["6", "10", "11", "12"] {
        let options = json!({ "room_version": version,
            "creation_content": { "m.federate": true, "org.example": "extra" } });
        let room = alice.create_room(&options).await;
        let state = alice.state(&room, "m.room.create", "").query("format", "event").ok().await;
        let event = state["event_id"].as_str().expect("an event ID");
        // A server may refuse this, or do it by the rules of the version; the room must live.
        let reply = alice.put(path(["rooms", &room, "redact", event, "one"])).send().await;
        let left = alice.state(&room, "m.room.create", "").ok().await;
        if reply.status == 200 {
            let all_kept = ["11", "12"].contains(&version);
            assert_eq!(left.get("org.example").is_some(), all_kept, "version {version}: {left}");
        } else {
            reply.refused(403, "M_FORBIDDEN");
            assert_eq!(left, state["content"], "version {version}");
        }
        alice.say(&room, "the room still works").await;
        alice.set_state(&room, "m.room.name", "", &json!({ "name": "still" })).await;
    }
}

async fn a_redacted_topic_is_no_topic(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "first" })).await;
    let event = alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "second" })).await;
    alice.redact(&room, &event).await;
    assert_eq!(alice.state(&room, "m.room.topic", "").ok().await, json!({}));
    let state = alice.all_state(&room).await;
    let topic = state.iter().find(|it| it["type"] == "m.room.topic").expect("a topic event");
    assert_eq!(topic["content"], json!({}));
}

async fn an_unknown_event_cannot_be_redacted(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let unknown = "$A7gWcZ0OVTQhUBSIHBbNeqxPjIaSQGiXhIBrz6XVsmI";
    let reply = alice.put(path(["rooms", &room, "redact", unknown, "one"])).send().await;
    reply.refused_with_any(&[(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN"), (400, "M_INVALID_PARAM")]);
}

async fn a_redaction_can_be_redacted(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "unwise words").await;
    let redaction = alice.redact(&room, &event).await;
    alice.redact(&room, &redaction).await;
    let found = alice.event(&room, &redaction).ok().await;
    assert!(found["content"].get("reason").is_none(), "{found}");
    // What is gone stays gone.
    assert_eq!(alice.event(&room, &event).ok().await["content"], json!({}));
}
