//! The surroundings of one event.

use skerry_tests::{Server, User, Value, ids, json, path};

both_hosts![
    an_event_is_told_with_its_neighbours,
    the_limit_counts_both_sides,
    the_tokens_lead_on,
    the_state_is_that_of_the_last_event,
    a_filter_applies_to_the_neighbours_only,
    lazy_loading_tells_the_senders,
    an_unknown_event_is_not_found,
];

fn list<'a>(context: &'a Value, key: &str) -> &'a [Value] {
    context[key].as_array().map_or(&[], Vec::as_slice)
}

async fn an_event_is_told_with_its_neighbours(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 5).await;
    let context = alice.get(path(["rooms", &room, "context", &sent[2]])).ok().await;
    assert_eq!(context["event"]["event_id"], sent[2].as_str());
    assert_eq!(ids(list(&context, "events_before"))[..2], [&sent[1], &sent[0]]);
    assert_eq!(ids(list(&context, "events_after")), [&sent[3], &sent[4]]);
    let total = list(&context, "events_before").len() + list(&context, "events_after").len();
    assert!(total <= 10, "the default limit is 10: {context}");
}

async fn the_limit_counts_both_sides(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 9).await;
    let request = alice.get(path(["rooms", &room, "context", &sent[4]]));
    let context = request.clone().query("limit", 4).ok().await;
    let (before, after) = (list(&context, "events_before"), list(&context, "events_after"));
    // How the limit is shared between the sides is left to the server.
    assert_eq!(before.len() + after.len(), 4, "{context}");
    let mut older = sent[..4].to_vec();
    older.reverse();
    assert_eq!(ids(before), older[..before.len()]);
    assert_eq!(ids(after), sent[5..5 + after.len()]);
    let alone = request.query("limit", 0).ok().await;
    assert_eq!(alone["event"]["event_id"], sent[4].as_str());
    assert!(list(&alone, "events_before").is_empty() && list(&alone, "events_after").is_empty());
}

async fn the_tokens_lead_on(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 9).await;
    let context = alice.get(path(["rooms", &room, "context", &sent[4]])).query("limit", 2);
    let context = context.ok().await;
    let token = |key: &str| context[key].as_str().expect("a token");
    let first = 4 - list(&context, "events_before").len();
    let older = alice.messages(&room, "b").query("from", token("start")).query("limit", 1);
    assert_eq!(ids(list(&older.ok().await, "chunk")), [&sent[first - 1]]);
    let last = 4 + list(&context, "events_after").len();
    let newer = alice.messages(&room, "f").query("from", token("end")).query("limit", 1);
    assert_eq!(ids(list(&newer.ok().await, "chunk")), [&sent[last + 1]]);
}

async fn the_state_is_that_of_the_last_event(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let topic = |text: &str| json!({ "topic": text });
    alice.set_state(&room, "m.room.topic", "", &topic("first")).await;
    let event = alice.say(&room, "hello").await;
    alice.say_many(&room, 3).await;
    alice.set_state(&room, "m.room.topic", "", &topic("second")).await;
    let context = alice.get(path(["rooms", &room, "context", &event])).query("limit", 2);
    let context = context.ok().await;
    let state = list(&context, "state");
    let found: Vec<_> = state.iter().filter(|it| it["type"] == "m.room.topic").collect();
    assert_eq!(found.len(), 1, "{context}");
    assert_eq!(found[0]["content"], topic("first"));
}

async fn a_filter_applies_to_the_neighbours_only(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let before = bob.say(&room, "before").await;
    let event = alice.say(&room, "hello").await;
    let after = bob.say(&room, "after").await;
    let filter = json!({ "types": ["m.room.message"], "senders": [bob.id] });
    let context = alice.get(path(["rooms", &room, "context", &event])).query("filter", filter);
    let context = context.ok().await;
    assert_eq!(context["event"]["event_id"], event.as_str());
    assert_eq!(ids(list(&context, "events_before")), [&before]);
    assert_eq!(ids(list(&context, "events_after")), [&after]);
}

async fn lazy_loading_tells_the_senders(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&carol, &bob]).await;
    alice.say_many(&room, 3).await;
    let event = bob.say(&room, "hello").await;
    let filter = json!({ "lazy_load_members": true });
    let context = alice.get(path(["rooms", &room, "context", &event])).query("filter", filter);
    let context = context.query("limit", 2).ok().await;
    let mut members: Vec<&str> = list(&context, "state")
        .iter()
        .filter(|it| it["type"] == "m.room.member")
        .map(|it| it["state_key"].as_str().expect("a key"))
        .collect();
    members.sort_unstable();
    let mut expected = [alice.id.as_str(), bob.id.as_str()];
    expected.sort_unstable();
    assert_eq!(members, expected, "carol said nothing here: {context}");
}

async fn an_unknown_event_is_not_found(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let unknown = "$A7gWcZ0OVTQhUBSIHBbNeqxPjIaSQGiXhIBrz6XVsmI";
    alice.get(path(["rooms", &room, "context", unknown])).refused(404, "M_NOT_FOUND").await;
    alice.event(&room, unknown).refused(404, "M_NOT_FOUND").await;
}
