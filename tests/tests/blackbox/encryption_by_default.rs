//! Rooms that are encrypted although nobody has asked for it, as the server is configured.

use skerry_tests::{Host, Options, Server, User, Value, json};

private_server![
    native: Native => [new_rooms_are_encrypted_as_the_server_is_configured],
    worker: Worker => [new_rooms_are_encrypted_as_the_server_is_configured],
];

/// What is asked of a room, and whether it is encrypted where private ones are, and where all are.
fn rooms() -> [(Value, bool, bool); 7] {
    let mine = json!({ "type": "m.room.encryption", "state_key": "",
        "content": { "algorithm": "org.example.own" } });
    [
        (json!({ "preset": "private_chat" }), true, true),
        (json!({ "preset": "trusted_private_chat", "is_direct": true }), true, true),
        (json!({}), true, true),
        (json!({ "preset": "public_chat" }), false, true),
        (json!({ "visibility": "public" }), false, true),
        (json!({ "creation_content": { "type": "m.space" } }), false, false),
        (json!({ "preset": "private_chat", "initial_state": [mine] }), true, true),
    ]
}

async fn new_rooms_are_encrypted_as_the_server_is_configured(host: Host) {
    for which in ["off", "invite", "all"] {
        let encryption_by_default = Some(which.to_owned());
        let server = Server::start(host, Options { encryption_by_default, ..Options::default() });
        let alice = User::register(&server, "alice").await;
        for (asked, if_invite, if_all) in rooms() {
            let room = alice.create_room(&asked).await;
            let is_own = asked["initial_state"].is_array();
            let expected = match which {
                "off" => is_own,
                "invite" => if_invite,
                _ => if_all,
            };
            let request = alice.state(&room, "m.room.encryption", "");
            if !expected {
                request.refused(404, "M_NOT_FOUND").await;
                continue;
            }
            let algorithm = if is_own { "org.example.own" } else { "m.megolm.v1.aes-sha2" };
            let content = request.ok().await;
            assert_eq!(content, json!({ "algorithm": algorithm }), "{which}: {asked}");
            // One event says so, which whoever comes is shown.
            let state = alice.all_state(&room).await;
            let said = state.iter().filter(|it| it["type"] == "m.room.encryption").count();
            assert_eq!(said, 1, "{which}: {asked}");
        }
    }
}
