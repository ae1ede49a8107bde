//! Contents of state events of known types: what is not well-formed is refused from this server's
//! own clients, in a room and in a room that begins.

use skerry_tests::{Server, User, Value, json};

both_hosts![
    a_malformed_content_is_refused_in_a_room,
    a_malformed_content_is_refused_in_a_room_that_begins,
    a_well_formed_content_is_taken,
    power_levels_name_no_creator_of_version_12,
];

fn malformed(user: &User) -> Vec<(&'static str, Value)> {
    vec![
        ("m.room.power_levels", json!({ "users": { &user.id: "100" } })),
        ("m.room.power_levels", json!({ "users": { &user.id: 100 }, "ban": "50" })),
        ("m.room.power_levels", json!({ "users": { &user.id: 100 }, "kick": null })),
        ("m.room.power_levels", json!({ "users": { &user.id: 100, "bob": 50 } })),
        ("m.room.power_levels", json!({ "users": { &user.id: 100 }, "events": { "a": "1" } })),
        ("m.room.server_acl", json!({ "allow": ["*"], "deny": ["localhost"] })),
        ("m.room.server_acl", json!({ "allow": ["elsewhere.example"] })),
        ("m.room.server_acl", json!({ "allow": [1, "*"] })),
        ("m.room.server_acl", json!({})),
        ("m.room.join_rules", json!({ "join_rule": null })),
        ("m.room.join_rules", json!({ "join_rule": 5 })),
        ("m.room.join_rules", json!({})),
        ("m.room.join_rules", json!({ "join_rule": "restricted", "allow": "everybody" })),
        ("m.room.history_visibility", json!({ "history_visibility": null })),
        ("m.room.history_visibility", json!({ "history_visibility": "nonsense" })),
        ("m.room.guest_access", json!({ "guest_access": 1 })),
        ("m.room.encryption", json!({ "algorithm": 1 })),
        ("m.room.name", json!({ "name": 1 })),
        ("m.room.topic", json!({ "topic": [] })),
        ("m.room.avatar", json!({ "url": {} })),
        ("m.room.pinned_events", json!({ "pinned": "all" })),
        ("m.room.tombstone", json!({ "body": "moved", "replacement_room": 1 })),
        ("m.space.child", json!({ "via": "localhost" })),
    ]
}

/// Versions before 10 take power levels that are strings.
async fn a_malformed_content_is_refused_in_a_room(server: &Server) {
    let alice = User::register(server, "alice").await;
    for version in ["1", "6", "9", "11"] {
        let room = alice.create_room(&json!({ "room_version": version })).await;
        let before = alice.history(&room).await.len();
        for (kind, content) in malformed(&alice) {
            alice.setting(&room, kind, "", &content).refused(400, "M_BAD_JSON").await;
        }
        assert_eq!(alice.history(&room).await.len(), before, "version {version}");
    }
}

async fn a_malformed_content_is_refused_in_a_room_that_begins(server: &Server) {
    let alice = User::register(server, "alice").await;
    for (kind, content) in malformed(&alice) {
        let state = json!([{ "type": kind, "state_key": "", "content": content }]);
        let options = json!({ "room_version": "9", "initial_state": state });
        alice.post("/createRoom").json(&options).refused(400, "M_BAD_JSON").await;
    }
    for levels in [json!({ "ban": "50" }), json!({ "users": { &alice.id: "100" } })] {
        let options = json!({ "room_version": "9", "power_level_content_override": levels });
        alice.post("/createRoom").json(&options).refused(400, "M_BAD_JSON").await;
    }
    assert_eq!(alice.get("/joined_rooms").ok().await["joined_rooms"], json!([]));
}

async fn a_well_formed_content_is_taken(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "room_version": "9" })).await;
    for (kind, content) in [
        ("m.room.server_acl", json!({ "allow": ["*"], "deny": ["*.elsewhere.example"] })),
        ("m.room.join_rules", json!({ "join_rule": "restricted", "allow": [] })),
        ("m.room.history_visibility", json!({ "history_visibility": "joined" })),
        ("m.room.name", json!({})),
        ("m.room.topic", json!({ "topic": "a" })),
        ("m.room.avatar", json!({})),
        ("m.room.pinned_events", json!({ "pinned": [] })),
        ("m.space.child", json!({})),
        ("org.example", json!({ "join_rule": null })),
    ] {
        alice.set_state(&room, kind, "", &content).await;
        assert_eq!(alice.state(&room, kind, "").ok().await, content);
    }
}

async fn power_levels_name_no_creator_of_version_12(server: &Server) {
    let alice = User::register(server, "alice").await;
    let bob = User::register(server, "bob").await;
    let creators = json!({ "additional_creators": [bob.id] });
    let options = json!({ "room_version": "12", "creation_content": creators });
    let room = alice.create_room(&options).await;
    for creator in [&alice, &bob] {
        let levels = json!({ "users": { &creator.id: 100 } });
        let request = alice.setting(&room, "m.room.power_levels", "", &levels);
        request.refused(400, "M_BAD_JSON").await;
        let state = json!([{ "type": "m.room.power_levels", "content": levels }]);
        let options = json!({ "room_version": "12", "creation_content": creators,
            "initial_state": state });
        alice.post("/createRoom").json(&options).refused(400, "M_BAD_JSON").await;
    }
}
