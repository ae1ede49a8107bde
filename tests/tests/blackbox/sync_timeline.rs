//! Timelines: limits, gaps, and how `/messages` fills them without a gap or an overlap.

use skerry_tests::{Server, User, ids, json};

both_hosts![
    a_gap_is_filled_exactly,
    the_start_of_an_initial_sync_continues_backwards,
    a_timeline_limit_is_kept,
    a_limit_of_zero_tells_no_events,
    a_run_of_syncs_has_every_event_once,
    a_gap_lies_between_the_tokens,
    a_complete_timeline_is_not_limited,
];

async fn a_gap_is_filled_exactly(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let seen = alice.say(&room, "seen").await;
    let first = bob.sync().until_event(&room, &seen).await;
    let sent = alice.say_many(&room, 30).await;
    let second = bob.sync().since(first.next_batch()).until_event(&room, &sent[29]).await;
    let section = second.joined(&room).expect("the room");
    assert!(section.limited(), "30 events are more than a timeline holds: {}", section.0);
    let told = ids(section.timeline());
    let gap = bob.messages(&room, "b").query("from", section.prev_batch());
    let gap = gap.query("to", first.next_batch()).query("limit", 100).ok().await;
    let mut found = ids(gap["chunk"].as_array().expect("a chunk"));
    found.reverse();
    found.extend(told);
    assert_eq!(found, sent);
}

async fn the_start_of_an_initial_sync_continues_backwards(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 20).await;
    let sync = alice.sync().until_event(&room, &sent[19]).await;
    let section = sync.joined(&room).expect("the room");
    let older = alice.messages(&room, "b").query("from", section.prev_batch());
    let older = older.query("limit", 100).ok().await;
    let mut found = ids(older["chunk"].as_array().expect("a chunk"));
    found.reverse();
    found.extend(ids(section.timeline()));
    let history = alice.history(&room).await;
    assert_eq!(found, ids(&history));
}

async fn a_timeline_limit_is_kept(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 6).await;
    for limit in [1, 3, 5] {
        let filter = json!({ "room": { "timeline": { "limit": limit } } });
        let sync = alice.sync().filter(&filter).until_event(&room, &sent[5]).await;
        let section = sync.joined(&room).expect("the room");
        assert_eq!(ids(section.timeline()), sent[6 - limit..]);
        assert!(section.limited(), "{}", section.0);
    }
}

async fn a_limit_of_zero_tells_no_events(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "old").await;
    alice.sync().until_event(&room, &event).await;
    let filter = json!({ "room": { "timeline": { "limit": 0 } } });
    let reply = alice.sync().filter(&filter).request().send().await;
    if reply.status == 200 {
        let timeline = &reply.json["rooms"]["join"][&room]["timeline"];
        assert_eq!(timeline["events"].as_array().map_or(0, Vec::len), 0, "{timeline}");
    } else {
        reply.client_error();
    }
}

/// S-P3
async fn a_run_of_syncs_has_every_event_once(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    // A timeline that holds everything: between two syncs many messages may come.
    let filter = json!({ "room": { "timeline": { "limit": 50 } } });
    let mut watch = bob.watch().await.filtered(filter);
    let mut sent = Vec::new();
    let (last, ()) = tokio::join!(
        async {
            for number in 0..25 {
                sent.push(alice.say(&room, &format!("message {number}")).await);
            }
            alice.say(&room, "the last").await
        },
        async {
            for _ in 0..10 {
                watch.next().await;
            }
        },
    );
    if !watch.seen_in(&room).contains(&last.as_str()) {
        watch.event(&room, &last).await;
    }
    sent.push(last);
    assert_eq!(watch.seen_in(&room), sent);
}

async fn a_gap_lies_between_the_tokens(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let seen = alice.say(&room, "seen").await;
    let first = alice.sync().until_event(&room, &seen).await;
    let sent = alice.say_many(&room, 6).await;
    let filter = json!({ "room": { "timeline": { "limit": 2 } } });
    let second = alice.sync().since(first.next_batch()).filter(&filter);
    let second = second.until_event(&room, &sent[5]).await;
    let section = second.joined(&room).expect("the room");
    assert_eq!(ids(section.timeline()), sent[4..]);
    // The way the specification describes: forward from the old token to the start of the new.
    let gap = alice.messages(&room, "f").query("from", first.next_batch());
    let gap = gap.query("to", section.prev_batch()).query("limit", 100).ok().await;
    assert_eq!(ids(gap["chunk"].as_array().expect("a chunk")), sent[..4]);
}

async fn a_complete_timeline_is_not_limited(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let seen = alice.say(&room, "seen").await;
    let first = alice.sync().until_event(&room, &seen).await;
    let sent = alice.say_many(&room, 3).await;
    let filter = json!({ "room": { "timeline": { "limit": 3 } } });
    let exact = alice.sync().since(first.next_batch()).filter(&filter);
    let exact = exact.until_event(&room, &sent[2]).await;
    let section = exact.joined(&room).expect("the room");
    assert_eq!(ids(section.timeline()), sent);
    assert!(!section.limited(), "all three are there: {}", section.0);
}
