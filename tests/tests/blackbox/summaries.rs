//! Summaries of rooms, for those who are not in them.

use skerry_tests::{Client, Server, User, Value, json, path};

both_hosts![
    a_restricted_room_is_summed_up_for_members_of_a_room_it_admits_from,
    the_rooms_that_are_admitted_from_are_told,
    a_summary_has_its_join_rule,
];

fn summary(client: &Client, room: &str) -> skerry_tests::Request {
    client.get(format!("/_matrix/client/v1{}", path(["room_summary", room])))
}

/// A room that admits the members of others by this rule.
async fn admitting(alice: &User, rule: &str, rooms: &[&str]) -> String {
    let allow: Vec<Value> =
        rooms.iter().map(|it| json!({ "type": "m.room_membership", "room_id": it })).collect();
    let content = json!({ "join_rule": rule, "allow": allow });
    let rule = json!({ "type": "m.room.join_rules", "content": content });
    alice.create_room(&json!({ "initial_state": [rule] })).await
}

async fn a_restricted_room_is_summed_up_for_members_of_a_room_it_admits_from(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let club = alice.private_room(&[&bob]).await;
    let room = admitting(&alice, "restricted", &["!nowhere:elsewhere.example", &club]).await;
    let found = summary(&bob, &room).ok().await;
    assert_eq!(found["room_id"], room.as_str(), "{found}");
    assert_eq!(found["join_rule"], "restricted", "{found}");
    assert_eq!(found["allowed_room_ids"], json!(["!nowhere:elsewhere.example", club]));
    let anyone = Client::new(server.url());
    for outsider in [&*carol, &anyone] {
        summary(outsider, &room).refused(404, "M_NOT_FOUND").await;
    }
    bob.leave(&club).await;
    summary(&bob, &room).refused(404, "M_NOT_FOUND").await;
    // A room whose rule names no room of theirs tells them nothing.
    let other = admitting(&alice, "restricted", &[]).await;
    summary(&bob, &other).refused(404, "M_NOT_FOUND").await;
}

async fn the_rooms_that_are_admitted_from_are_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let club = alice.private_room(&[]).await;
    let room = admitting(&alice, "knock_restricted", &[&club]).await;
    for user in [&alice, &bob] {
        let found = summary(user, &room).ok().await;
        assert_eq!(found["allowed_room_ids"], json!([club]), "{found}");
    }
    let own = admitting(&alice, "restricted", &[]).await;
    assert_eq!(summary(&alice, &own).ok().await["allowed_room_ids"], json!([]));
}

async fn a_summary_has_its_join_rule(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "preset": "public_chat" })).await;
    let found = summary(&alice, &room).ok().await;
    assert_eq!(found["join_rule"], "public", "{found}");
    assert_eq!(found["membership"], "join", "{found}");
    assert!(found.get("allowed_room_ids").is_none(), "{found}");
}
