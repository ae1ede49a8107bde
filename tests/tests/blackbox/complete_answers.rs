//! Fields that the specification's examples always show are always there, empty or not: clients
//! fail where they are missing.

use skerry_tests::{Server, User, Value, json, path};

both_hosts![
    the_surroundings_of_the_first_and_the_newest_event_have_both_sides,
    a_sync_of_nothing_has_its_sections,
    a_joined_room_in_a_sync_has_its_parts,
    joined_members_are_told_with_what_they_have_not_set,
    every_kind_of_push_rules_is_there,
    rooms_are_listed_with_their_join_rule,
    a_stripped_create_event_has_its_time,
    who_one_is_is_told_with_whether_one_is_a_guest,
];

/// Asserts that there is a list at each of these paths.
fn assert_lists(answer: &Value, paths: &[&str]) {
    for path in paths {
        let found = answer.pointer(path);
        assert!(found.is_some_and(Value::is_array), "no list at {path}: {answer}");
    }
}

async fn the_surroundings_of_the_first_and_the_newest_event_have_both_sides(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let newest = alice.say(&room, "hello").await;
    let history = alice.history(&room).await;
    let first = history[0]["event_id"].as_str().expect("an event ID").to_owned();
    for (event, empty) in [(&newest, "events_after"), (&first, "events_before")] {
        let request = alice.get(path(["rooms", &room, "context", event]));
        let context = request.clone().ok().await;
        assert_lists(&context, &["/events_before", "/events_after", "/state"]);
        assert_eq!(context[empty], json!([]));
        assert!(context["start"].is_string() && context["end"].is_string(), "{context}");
        let alone = request.query("limit", 0).ok().await;
        assert_lists(&alone, &["/events_before", "/events_after", "/state"]);
    }
}

async fn a_sync_of_nothing_has_its_sections(server: &Server) {
    let alice = User::register(server, "alice").await;
    let first = alice.sync().get().await;
    let second = alice.sync().since(first.next_batch()).get().await;
    for sync in [&first.json, &second.json] {
        assert_lists(sync, &["/account_data/events", "/presence/events", "/to_device/events"]);
        for section in ["invite", "join", "knock", "leave"] {
            assert!(sync["rooms"][section].is_object(), "{section}: {sync}");
        }
    }
}

async fn a_joined_room_in_a_sync_has_its_parts(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let first = alice.sync().get().await;
    let sent = bob.say(&room, "hello").await;
    let second = alice.sync().since(first.next_batch()).until_event(&room, &sent).await;
    for sync in [&first, &second] {
        let joined = sync.joined(&room).expect("the room").0;
        let lists =
            ["/timeline/events", "/state/events", "/account_data/events", "/ephemeral/events"];
        assert_lists(joined, &lists);
        assert_eq!(joined["timeline"]["limited"], false, "{joined}");
        assert!(joined["summary"].is_object(), "{joined}");
        let unread = &joined["unread_notifications"];
        assert!(unread["notification_count"].is_u64(), "{joined}");
        assert!(unread["highlight_count"].is_u64(), "{joined}");
    }
    alice.leave(&room).await;
    let since = second.next_batch();
    let left = alice
        .sync()
        .since(since)
        .until("the leave", |sync| sync.room("leave", &room).map(|it| it.0.clone()));
    assert_lists(&left.await, &["/timeline/events", "/state/events", "/account_data/events"]);
}

async fn joined_members_are_told_with_what_they_have_not_set(server: &Server) {
    let alice = User::register(server, "alice").await;
    alice.delete(path(["profile", &alice.id, "displayname"])).ok().await;
    let room = alice.create_room(&json!({})).await;
    let answer = alice.get(path(["rooms", &room, "joined_members"])).ok().await;
    let member = json!({ "avatar_url": null, "display_name": null });
    assert_eq!(answer, json!({ "joined": { &alice.id: member } }));
}

async fn every_kind_of_push_rules_is_there(server: &Server) {
    let alice = User::register(server, "alice").await;
    let kinds = ["/content", "/override", "/room", "/sender", "/underride"];
    assert_lists(&alice.get("/pushrules/").ok().await["global"], &kinds);
    assert_lists(&alice.get("/pushrules/global/").ok().await, &kinds);
    let sync = alice.sync().get().await;
    let rules = sync.account_data("m.push_rules").expect("push rules");
    assert_lists(&rules["global"], &kinds);
}

async fn rooms_are_listed_with_their_join_rule(server: &Server) {
    let alice = User::register(server, "alice").await;
    let options = json!({ "preset": "public_chat", "visibility": "public", "name": alice.id });
    let room = alice.create_room(&options).await;
    let filter = json!({ "filter": { "generic_search_term": alice.id } });
    let found = alice.post("/publicRooms").json(&filter).ok().await;
    assert_eq!(found["chunk"][0]["room_id"], room.as_str(), "{found}");
    assert_eq!(found["chunk"][0]["join_rule"], "public", "{found}");
    let all = alice.get("/publicRooms").query("limit", 500).ok().await;
    for listed in all["chunk"].as_array().expect("a chunk") {
        assert!(listed["join_rule"].is_string(), "{listed}");
        assert!(listed["world_readable"].is_boolean(), "{listed}");
        assert!(listed["guest_can_join"].is_boolean(), "{listed}");
    }
}

async fn a_stripped_create_event_has_its_time(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    let invited = bob
        .sync()
        .until("the invitation", |sync| sync.room("invite", &room).map(|it| it.0.clone()));
    let invited = invited.await;
    assert_lists(&invited, &["/invite_state/events"]);
    let events = invited["invite_state"]["events"].as_array().expect("events");
    let create = events.iter().find(|it| it["type"] == "m.room.create").expect("a create event");
    assert!(create["origin_server_ts"].is_u64(), "{create}");
    let name = events.iter().find(|it| it["type"] == "m.room.join_rules").expect("join rules");
    assert!(name.get("origin_server_ts").is_none(), "{name}");
}

async fn who_one_is_is_told_with_whether_one_is_a_guest(server: &Server) {
    let alice = User::register(server, "alice").await;
    let expected = json!({ "user_id": alice.id, "device_id": alice.device, "is_guest": false });
    assert_eq!(alice.get("/account/whoami").ok().await, expected);
}
