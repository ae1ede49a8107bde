//! Who may do what in a room: members without power, moderators among themselves, users outside.

use skerry_tests::{Request, Server, User, Value, json, message, path, unique};

both_hosts![
    a_member_without_power_sets_no_state,
    a_member_without_power_does_not_moderate,
    a_member_without_power_cannot_pass_state_off_as_a_message,
    a_member_without_power_cannot_invite_where_that_takes_power,
    a_member_without_power_cannot_speak_where_that_takes_power,
    a_member_without_power_redacts_only_their_own,
    a_member_without_power_cannot_publish_the_room,
    a_member_controls_only_their_own_membership,
    equal_power_protects,
    nobody_raises_anyone_above_themselves,
    a_moderator_acts_within_their_level,
    state_keyed_by_a_user_belongs_to_that_user,
    the_create_event_cannot_be_replaced,
    a_user_outside_writes_nothing,
    a_former_member_writes_nothing,
    an_invited_user_writes_nothing_but_the_answer,
    a_refusal_leaves_no_event,
    power_levels_must_make_sense,
];

async fn trio(server: &Server) -> (User, User, User) {
    let carol = User::register(server, "carol").await;
    (User::register(server, "alice").await, User::register(server, "bob").await, carol)
}

/// State events that a client may try to set, and what with.
fn state_events(room: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("m.room.name", json!({ "name": "mine" })),
        ("m.room.topic", json!({ "topic": "mine" })),
        ("m.room.avatar", json!({ "url": "mxc://localhost/x" })),
        ("m.room.power_levels", json!({ "users_default": 100 })),
        ("m.room.join_rules", json!({ "join_rule": "public" })),
        ("m.room.history_visibility", json!({ "history_visibility": "world_readable" })),
        ("m.room.guest_access", json!({ "guest_access": "can_join" })),
        ("m.room.canonical_alias", json!({})),
        ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
        ("m.room.server_acl", json!({ "allow": ["*"], "deny": ["example.org"] })),
        ("m.room.tombstone", json!({ "body": "moved", "replacement_room": room })),
        ("m.room.pinned_events", json!({ "pinned": [] })),
        ("m.space.child", json!({ "via": ["localhost"] })),
        ("org.example.custom", json!({})),
    ]
}

/// T6a
async fn a_member_without_power_sets_no_state(server: &Server) {
    let (alice, bob, _) = trio(server).await;
    let room = alice.public_room(&[&bob]).await;
    for (kind, content) in state_events(&room) {
        bob.setting(&room, kind, "", &content).refused(403, "M_FORBIDDEN").await;
        bob.setting(&room, kind, "key", &content).send().await.client_error();
        // The form of the path without a state key is the same request.
        let short = bob.put(path(["rooms", &room, "state", kind])).json(&content);
        short.refused(403, "M_FORBIDDEN").await;
    }
}

/// T6a
async fn a_member_without_power_does_not_moderate(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let dave = User::register(server, "dave").await;
    let room = alice.public_room(&[&bob, &carol, &dave]).await;
    alice.on_member(&room, "ban", &dave).ok().await;
    for target in [&alice, &carol] {
        bob.on_member(&room, "kick", target).refused(403, "M_FORBIDDEN").await;
        bob.on_member(&room, "ban", target).refused(403, "M_FORBIDDEN").await;
        for membership in ["leave", "ban"] {
            let content = json!({ "membership": membership });
            let direct = bob.setting(&room, "m.room.member", &target.id, &content);
            direct.refused(403, "M_FORBIDDEN").await;
        }
        assert_eq!(alice.membership_of(&room, target).await, "join");
    }
    bob.on_member(&room, "unban", &dave).refused(403, "M_FORBIDDEN").await;
    let unban = bob.setting(&room, "m.room.member", &dave.id, &json!({ "membership": "leave" }));
    unban.refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_of(&room, &dave).await, "ban");
}

/// T6a
async fn a_member_without_power_cannot_pass_state_off_as_a_message(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let options = json!({ "preset": "public_chat",
        "power_level_content_override": { "events": { "m.room.name": 50 } } });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    carol.join(&room).await;
    for kind in ["m.room.power_levels", "m.room.tombstone", "m.room.name"] {
        let send = bob.sending(&room, kind, &json!({ "users": { &bob.id: 100 } }));
        send.refused(403, "M_FORBIDDEN").await;
    }
    let member = bob.sending(&room, "m.room.member", &json!({ "membership": "ban" }));
    member.send().await.client_error();
    let create = bob.sending(&room, "m.room.create", &json!({}));
    create.send().await.client_error();
}

/// T6a
async fn a_member_without_power_cannot_invite_where_that_takes_power(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let options = json!({ "preset": "public_chat",
        "power_level_content_override": { "invite": 50 } });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    bob.on_member(&room, "invite", &carol).refused(403, "M_FORBIDDEN").await;
    let direct = json!({ "membership": "invite" });
    let direct = bob.setting(&room, "m.room.member", &carol.id, &direct);
    direct.refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_of(&room, &carol).await, "");
}

/// T6a
async fn a_member_without_power_cannot_speak_where_that_takes_power(server: &Server) {
    let (alice, bob, _) = trio(server).await;
    let options = json!({ "preset": "public_chat",
        "power_level_content_override": { "events_default": 10, "events": { "m.reaction": 0 } } });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    bob.sending(&room, "m.room.message", &message("hello")).refused(403, "M_FORBIDDEN").await;
    bob.sending(&room, "org.example.custom", &json!({})).refused(403, "M_FORBIDDEN").await;
    let post = alice.say(&room, "read only").await;
    let relation = json!({ "rel_type": "m.annotation", "event_id": post, "key": "👍" });
    bob.send(&room, "m.reaction", &json!({ "m.relates_to": relation })).await;
    alice.give_power(&room, &bob, 10).await;
    bob.say(&room, "allowed").await;
}

/// T6a
async fn a_member_without_power_redacts_only_their_own(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let room = alice.public_room(&[&bob, &carol]).await;
    let own = bob.say(&room, "own").await;
    for other in [alice.say(&room, "other").await, carol.say(&room, "other").await] {
        let redact = bob.put(path(["rooms", &room, "redact", &other, &unique("txn")]));
        redact.refused(403, "M_FORBIDDEN").await;
        let sent = bob.sending(&room, "m.room.redaction", &json!({ "redacts": other }));
        sent.refused(403, "M_FORBIDDEN").await;
        assert_eq!(alice.event(&room, &other).ok().await["content"]["body"], "other");
    }
    bob.redact(&room, &own).await;
    assert_eq!(alice.event(&room, &own).ok().await["content"], json!({}));
}

/// T6a: being listed or having an address is the room's affair, not any member's.
async fn a_member_without_power_cannot_publish_the_room(server: &Server) {
    let (alice, bob, stranger) = trio(server).await;
    let room = alice.private_room(&[&bob]).await;
    for user in [&bob, &stranger] {
        let publish = user.put(path(["directory", "list", "room", &room]));
        publish.json(&json!({ "visibility": "public" })).refused(403, "M_FORBIDDEN").await;
    }
    let listed = alice.get(path(["directory", "list", "room", &room])).ok().await;
    assert_eq!(listed["visibility"], "private");
    let alias = stranger.put(path(["directory", "room", &format!("#{}:localhost", unique("x"))]));
    alias.json(&json!({ "room_id": room })).refused(403, "M_FORBIDDEN").await;
}

/// T7
async fn a_member_controls_only_their_own_membership(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let room = alice.public_room(&[&bob]).await;
    let join = json!({ "membership": "join", "displayname": "not me" });
    // Nobody joins for another, not even a creator.
    for user in [&alice, &bob] {
        let forced = user.setting(&room, "m.room.member", &carol.id, &join);
        forced.refused(403, "M_FORBIDDEN").await;
    }
    let renamed = bob.setting(&room, "m.room.member", &alice.id, &join);
    renamed.refused(403, "M_FORBIDDEN").await;
    bob.set_state(&room, "m.room.member", &bob.id, &join).await;
    let member = alice.state(&room, "m.room.member", &bob.id).ok().await;
    assert_eq!(member["displayname"], "not me");
}

/// T6a
async fn equal_power_protects(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let room = alice.public_room(&[&bob, &carol]).await;
    alice.give_power(&room, &bob, 50).await;
    alice.give_power(&room, &carol, 50).await;
    for action in ["kick", "ban"] {
        bob.on_member(&room, action, &carol).refused(403, "M_FORBIDDEN").await;
        bob.on_member(&room, action, &alice).refused(403, "M_FORBIDDEN").await;
    }
    let mut levels = bob.state(&room, "m.room.power_levels", "").ok().await;
    levels["users"][&carol.id] = json!(0);
    let demote = bob.setting(&room, "m.room.power_levels", "", &levels);
    demote.refused(403, "M_FORBIDDEN").await;
}

/// T6a
async fn nobody_raises_anyone_above_themselves(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let options = json!({ "preset": "public_chat",
        "power_level_content_override": { "events": { "m.room.power_levels": 50 } } });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    carol.join(&room).await;
    alice.give_power(&room, &bob, 50).await;
    let levels = bob.state(&room, "m.room.power_levels", "").ok().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut levels = levels.clone();
        change(&mut levels);
        bob.setting(&room, "m.room.power_levels", "", &levels)
    };
    let forbidden: [Request; 6] = [
        with(&|it| it["users"][&bob.id] = json!(51)),
        with(&|it| it["users"][&carol.id] = json!(51)),
        with(&|it| it["users_default"] = json!(51)),
        with(&|it| it["ban"] = json!(51)),
        with(&|it| it["events"]["m.room.name"] = json!(100)),
        with(&|it| it["state_default"] = json!(100)),
    ];
    for request in forbidden {
        request.refused(403, "M_FORBIDDEN").await;
    }
    with(&|it| it["users"][&carol.id] = json!(50)).ok().await;
    bob.on_member(&room, "kick", &carol).refused(403, "M_FORBIDDEN").await;
}

async fn a_moderator_acts_within_their_level(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let room = alice.public_room(&[&bob, &carol]).await;
    alice.give_power(&room, &bob, 50).await;
    bob.set_state(&room, "m.room.name", "", &json!({ "name": "moderated" })).await;
    let event = carol.say(&room, "spam").await;
    bob.redact(&room, &event).await;
    bob.on_member(&room, "kick", &carol).ok().await;
    bob.on_member(&room, "ban", &carol).ok().await;
    bob.on_member(&room, "unban", &carol).ok().await;
    let tombstone = bob.setting(&room, "m.room.tombstone", "", &json!({ "body": "moved" }));
    tombstone.refused(403, "M_FORBIDDEN").await;
}

/// T7
async fn state_keyed_by_a_user_belongs_to_that_user(server: &Server) {
    let (alice, bob, _) = trio(server).await;
    let room = alice.public_room(&[&bob]).await;
    alice.give_power(&room, &bob, 50).await;
    let foreign = bob.setting(&room, "org.example.status", &alice.id, &json!({}));
    foreign.refused(403, "M_FORBIDDEN").await;
    let foreign = alice.setting(&room, "org.example.status", &bob.id, &json!({}));
    foreign.refused(403, "M_FORBIDDEN").await;
    bob.set_state(&room, "org.example.status", &bob.id, &json!({ "status": "busy" })).await;
}

/// T6a
async fn the_create_event_cannot_be_replaced(server: &Server) {
    let (alice, bob, stranger) = trio(server).await;
    let room = alice.public_room(&[&bob]).await;
    let before = alice.state(&room, "m.room.create", "").ok().await;
    let contents = [json!({ "room_version": "11" }), json!({}), json!({ "predecessor": 5 })];
    for user in [&alice, &bob, &stranger] {
        for content in &contents {
            let replace = user.setting(&room, "m.room.create", "", content);
            replace.refused(403, "M_FORBIDDEN").await;
        }
        let another = user.setting(&room, "m.room.create", "key", &before);
        another.refused(403, "M_FORBIDDEN").await;
    }
    for user in [&bob, &stranger] {
        let same = user.setting(&room, "m.room.create", "", &before);
        same.refused(403, "M_FORBIDDEN").await;
    }
    // Setting state to what it is tells which event did that, here as anywhere.
    let create = alice.state(&room, "m.room.create", "").query("format", "event").ok().await;
    let same = alice.set_state(&room, "m.room.create", "", &before).await;
    assert_eq!(create["event_id"], same.as_str());
    assert_eq!(alice.state(&room, "m.room.create", "").ok().await, before);
}

/// Everything that a user could try to write into a room.
fn all_writes(user: &User, room: &str, event: &str, other: &User) -> Vec<Request> {
    let member = |membership: &str, target: &User| {
        let content = json!({ "membership": membership });
        user.setting(room, "m.room.member", &target.id, &content)
    };
    let receipt = |kind: &str| user.post(path(["rooms", room, "receipt", kind, event]));
    let mut requests = vec![
        user.sending(room, "m.room.message", &message("hello")),
        user.put(path(["rooms", room, "redact", event, &unique("txn")])),
        user.on_member(room, "invite", other),
        user.on_member(room, "kick", other),
        user.on_member(room, "ban", other),
        user.on_member(room, "unban", other),
        member("invite", other),
        member("leave", other),
        member("ban", other),
        user.put(path(["rooms", room, "typing", &user.id]))
            .json(&json!({ "typing": true, "timeout": 1_000 })),
        receipt("m.read"),
        receipt("m.read.private"),
        receipt("m.fully_read"),
        user.post(path(["rooms", room, "read_markers"])).json(&json!({ "m.fully_read": event })),
    ];
    for (kind, content) in state_events(room) {
        requests.push(user.setting(room, kind, "", &content));
    }
    requests
}

/// T15-like: writes of users who are not in the room.
async fn a_user_outside_writes_nothing(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let room = alice.private_room(&[&bob]).await;
    let event = alice.say(&room, "hello").await;
    let before = alice.history(&room).await.len();
    for request in all_writes(&carol, &room, &event, &bob) {
        request.refused(403, "M_FORBIDDEN").await;
    }
    assert_eq!(alice.history(&room).await.len(), before);
}

/// T15-like
async fn a_former_member_writes_nothing(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let room = alice.private_room(&[&bob, &carol]).await;
    alice.give_power(&room, &carol, 100).await;
    let event = carol.say(&room, "hello").await;
    carol.leave(&room).await;
    let before = alice.history(&room).await.len();
    for request in all_writes(&carol, &room, &event, &bob) {
        request.refused(403, "M_FORBIDDEN").await;
    }
    assert_eq!(alice.history(&room).await.len(), before);
}

/// T15-like
async fn an_invited_user_writes_nothing_but_the_answer(server: &Server) {
    let (alice, bob, carol) = trio(server).await;
    let room = alice.private_room(&[&bob]).await;
    let event = alice.say(&room, "hello").await;
    alice.invite(&room, &carol).await;
    let before = alice.history(&room).await.len();
    for request in all_writes(&carol, &room, &event, &bob) {
        request.refused(403, "M_FORBIDDEN").await;
    }
    assert_eq!(alice.history(&room).await.len(), before);
    carol.join(&room).await;
}

/// T6a
async fn a_refusal_leaves_no_event(server: &Server) {
    let (alice, bob, _) = trio(server).await;
    let room = alice.public_room(&[&bob]).await;
    let mut watch = alice.watch().await;
    let before = alice.history(&room).await.len();
    let name = bob.setting(&room, "m.room.name", "", &json!({ "name": "mine" }));
    name.refused(403, "M_FORBIDDEN").await;
    let last = bob.say(&room, "after the refusal").await;
    watch.event(&room, &last).await;
    assert_eq!(watch.seen_in(&room).last(), Some(&last.as_str()));
    assert_eq!(alice.history(&room).await.len(), before + 1);
    alice.state(&room, "m.room.name", "").refused(404, "M_NOT_FOUND").await;
}

/// S-Z5
async fn power_levels_must_make_sense(server: &Server) {
    let (alice, bob, _) = trio(server).await;
    let room = alice.public_room(&[&bob]).await;
    for wrong in [
        json!({ "users": { &bob.id: "50" } }),
        json!({ "users": { "bob": 50 } }),
        json!({ "users": [] }),
        json!({ "ban": "100" }),
        json!({ "events": { "m.room.name": {} } }),
        json!({ "notifications": { "room": "x" } }),
    ] {
        let reply = alice.setting(&room, "m.room.power_levels", "", &wrong).send().await;
        reply.refused_with_any(&[
            (403, "M_FORBIDDEN"),
            (400, "M_BAD_JSON"),
            (400, "M_INVALID_PARAM"),
        ]);
    }
    bob.on_member(&room, "kick", &alice).refused(403, "M_FORBIDDEN").await;
}
