//! `/sync` as a whole: initial and incremental, `full_state`, `use_state_after`, summary, several
//! devices.

use skerry_tests::{Server, Sync, User, Value, ids, json, path};

both_hosts![
    the_initial_sync_has_every_joined_room,
    the_initial_sync_reconstructs_the_state,
    an_incremental_sync_has_only_what_is_new,
    a_token_can_be_used_twice,
    full_state_repeats_the_state,
    state_after_is_the_state_at_the_end,
    state_after_is_told_even_when_it_is_empty,
    state_of_a_gap_is_told_before_the_timeline,
    the_summary_counts_members,
    heroes_stand_in_for_a_missing_name,
    each_device_has_its_own_progress,
    a_sync_needs_a_token,
    events_of_a_sync_do_not_repeat_the_room,
];

/// The state that a client ends up with: what came before the timeline, then the timeline.
fn reconstructed(sync: &Sync, room: &str) -> Vec<(String, String, String)> {
    let room = sync.joined(room).expect("the room");
    let mut state = std::collections::BTreeMap::new();
    for event in room.state().iter().chain(room.timeline()) {
        if let Some(key) = event["state_key"].as_str() {
            let kind = event["type"].as_str().expect("a type").to_owned();
            let id = event["event_id"].as_str().expect("an event ID").to_owned();
            state.insert((kind, key.to_owned()), id);
        }
    }
    state.into_iter().map(|((kind, key), id)| (kind, key, id)).collect()
}

fn listed(state: &[Value]) -> Vec<(String, String, String)> {
    let text = |event: &Value, key: &str| event[key].as_str().expect("a string").to_owned();
    let mut found: Vec<_> = state
        .iter()
        .map(|it| (text(it, "type"), text(it, "state_key"), text(it, "event_id")))
        .collect();
    found.sort();
    found
}

async fn the_initial_sync_has_every_joined_room(server: &Server) {
    let alice = User::register(server, "alice").await;
    let rooms = [alice.create_room(&json!({})).await, alice.create_room(&json!({})).await];
    let sync = alice
        .sync()
        .until("both rooms", |sync| {
            let all = rooms.iter().all(|room| sync.joined(room).is_some());
            all.then(|| sync.clone())
        })
        .await;
    assert_eq!(sync.json["rooms"]["join"].as_object().map(serde_json::Map::len), Some(2));
    for room in &rooms {
        let room = sync.joined(room).expect("the room");
        assert_eq!(room.timeline()[0]["type"], "m.room.create", "a new room fits the timeline");
        assert!(room.state().is_empty(), "so there is no state before it: {}", room.0);
    }
}

async fn the_initial_sync_reconstructs_the_state(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    for number in 0..15 {
        alice.set_state(&room, "m.room.topic", "", &json!({ "topic": number.to_string() })).await;
        alice.set_state(&room, "org.example", &number.to_string(), &json!({})).await;
    }
    let last = alice.say_many(&room, 12).await.pop().expect("a message");
    let sync = bob.sync().until_event(&room, &last).await;
    let section = sync.joined(&room).expect("the room");
    assert!(section.limited(), "42 events do not fit: {}", section.0);
    assert_eq!(reconstructed(&sync, &room), listed(&bob.all_state(&room).await));
    // The two lists do not overlap.
    for id in ids(section.state()) {
        assert!(section.event(id).is_none(), "{id} is in both");
    }
}

async fn an_incremental_sync_has_only_what_is_new(server: &Server) {
    let alice = User::register(server, "alice").await;
    let quiet = alice.create_room(&json!({})).await;
    let busy = alice.create_room(&json!({})).await;
    let old = alice.say(&busy, "old").await;
    let first = alice.sync().until_event(&busy, &old).await;
    let new = alice.say(&busy, "new").await;
    let second = alice.sync().since(first.next_batch()).until_event(&busy, &new).await;
    let section = second.joined(&busy).expect("the room");
    assert_eq!(ids(section.timeline()), [&new]);
    assert!(!section.limited() && section.state().is_empty(), "{}", section.0);
    assert!(second.joined(&quiet).is_none(), "nothing happened there: {}", second.json);
}

async fn a_token_can_be_used_twice(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let old = alice.say(&room, "old").await;
    let first = alice.sync().until_event(&room, &old).await;
    let new = alice.say_many(&room, 3).await;
    for _ in 0..2 {
        let again = alice.sync().since(first.next_batch()).until_event(&room, &new[2]).await;
        assert_eq!(ids(again.joined(&room).expect("the room").timeline()), new);
    }
}

async fn full_state_repeats_the_state(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "old").await;
    let first = alice.sync().until_event(&room, &event).await;
    let request = alice.sync().since(first.next_batch()).query("full_state", true);
    // With `full_state` a sync never waits.
    let sync = request.query("timeout", 30_000).get().await;
    let section = sync.joined(&room).expect("the room, though nothing happened");
    assert!(section.timeline().is_empty(), "{}", section.0);
    assert_eq!(reconstructed(&sync, &room), listed(&alice.all_state(&room).await));
}

async fn state_after_is_the_state_at_the_end(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "first" })).await;
    let last = alice.say_many(&room, 12).await.pop().expect("a message");
    let initial = bob.sync().query("use_state_after", true).until_event(&room, &last).await;
    let section = initial.joined(&room).expect("the room");
    assert!(section.0.get("state").is_none(), "{}", section.0);
    let after = skerry_tests::events(&section.0["state_after"]);
    assert_eq!(listed(after), listed(&bob.all_state(&room).await));

    let topic = alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "second" })).await;
    let last = alice.say(&room, "after it").await;
    let next = bob.sync().since(initial.next_batch()).query("use_state_after", true);
    let next = next.until_event(&room, &last).await;
    let section = next.joined(&room).expect("the room");
    assert_eq!(ids(section.timeline()), [&topic, &last]);
    assert_eq!(ids(skerry_tests::events(&section.0["state_after"])), [&topic]);
}

async fn state_after_is_told_even_when_it_is_empty(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "old").await;
    let first = alice.sync().until_event(&room, &event).await;
    let event = alice.say(&room, "new").await;
    let sync = alice.sync().since(first.next_batch()).query("use_state_after", true);
    let sync = sync.until_event(&room, &event).await;
    let section = sync.joined(&room).expect("the room");
    assert!(section.0.get("state").is_none(), "{}", section.0);
    let after = &section.0["state_after"];
    assert!(after.is_object() && skerry_tests::events(after).is_empty(), "{}", section.0);
    let plain = alice.sync().since(first.next_batch()).until_event(&room, &event).await;
    let section = plain.joined(&room).expect("the room");
    assert!(section.0.get("state_after").is_none(), "only on request: {}", section.0);
}

async fn state_of_a_gap_is_told_before_the_timeline(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "seen").await;
    let first = bob.sync().until_event(&room, &event).await;
    let topic = |text: &str| json!({ "topic": text });
    alice.set_state(&room, "m.room.topic", "", &topic("skipped")).await;
    let hidden = alice.set_state(&room, "m.room.topic", "", &topic("in the gap")).await;
    let last = alice.say_many(&room, 15).await.pop().expect("a message");
    let sync = bob.sync().since(first.next_batch()).until_event(&room, &last).await;
    let section = sync.joined(&room).expect("the room");
    assert!(section.limited(), "{}", section.0);
    assert_eq!(ids(section.state()), [&hidden], "the latest of the gap, once");
}

async fn the_summary_counts_members(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob]).await;
    let (joined, invited) = ("m.joined_member_count", "m.invited_member_count");
    let first = alice.sync().until("both members", |sync| {
        let summary = &sync.joined(&room)?.0["summary"];
        (summary[joined] == 2 && summary[invited] == 0).then(|| sync.clone())
    });
    let mut watch = skerry_tests::Watch::from(&alice, first.await.next_batch());
    alice.invite(&room, &carol).await;
    watch.room("one invited", &room, |it| (it.0["summary"][invited] == 1).then_some(())).await;
    carol.join(&room).await;
    watch
        .room("three joined", &room, |it| {
            let summary = &it.0["summary"];
            (summary[joined] == 3 && summary[invited] == 0).then_some(())
        })
        .await;
}

fn heroes(sync: &Sync, room: &str) -> Vec<String> {
    let heroes = &sync.joined(room).expect("the room").0["summary"]["m.heroes"];
    let heroes = heroes.as_array().expect("heroes").iter();
    let mut ids: Vec<String> = heroes.map(|it| it.as_str().expect("an ID").to_owned()).collect();
    ids.sort();
    ids
}

async fn heroes_stand_in_for_a_missing_name(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.private_room(&[&bob]).await;
    alice.invite(&room, &carol).await;
    let event = alice.say(&room, "hello").await;
    let mut expected = vec![bob.id.clone(), carol.id.clone()];
    expected.sort();
    let sync = alice.sync().until_event(&room, &event).await;
    assert_eq!(heroes(&sync, &room), expected, "never oneself");
    carol.leave(&room).await;
    bob.leave(&room).await;
    let event = alice.say(&room, "alone").await;
    let sync = alice.sync().until_event(&room, &event).await;
    assert_eq!(heroes(&sync, &room), expected, "those who left, when nobody else is there");
}

async fn each_device_has_its_own_progress(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let phone = User::log_in(server, &alice.id).await;
    let room = alice.public_room(&[&bob]).await;
    let (mut first, mut second) = (alice.watch().await, phone.watch().await);
    let one = bob.say(&room, "one").await;
    first.event(&room, &one).await;
    let two = bob.say(&room, "two").await;
    first.event(&room, &two).await;
    second.event(&room, &two).await;
    assert_eq!(first.seen_in(&room), [&one, &two]);
    assert_eq!(second.seen_in(&room), [&one, &two]);
}

async fn a_sync_needs_a_token(server: &Server) {
    let anyone = skerry_tests::Client::new(server.url());
    anyone.get("/sync").refused(401, "M_MISSING_TOKEN").await;
    anyone.with_token("invented").get("/sync").refused(401, "M_UNKNOWN_TOKEN").await;
}

async fn events_of_a_sync_do_not_repeat_the_room(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    let sync = alice.sync().until_event(&room, &event).await;
    for event in sync.joined(&room).expect("the room").timeline() {
        for key in ["event_id", "type", "sender", "origin_server_ts", "content"] {
            assert!(event.get(key).is_some(), "{key} is missing: {event}");
        }
        assert!(event.get("room_id").is_none(), "the room is told by the key: {event}");
    }
    let by_itself = alice.get(path(["rooms", &room, "event", &event])).ok().await;
    assert_eq!(by_itself["room_id"], room);
}
