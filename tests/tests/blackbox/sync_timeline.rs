//! Timelines: limits, gaps, and how `/messages` fills them without a gap or an overlap.

use skerry_tests::{Room, Server, User, ids, json, path};

both_hosts![
    a_gap_is_filled_exactly,
    the_start_of_an_initial_sync_continues_backwards,
    a_timeline_limit_is_kept,
    a_limit_of_zero_tells_no_events,
    what_no_limit_has_kept_out_is_not_limited,
    a_page_that_ends_at_the_last_event_is_the_last,
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

/// Typing, receipts and what the filter keeps out are not missing from a timeline.
async fn what_no_limit_has_kept_out_is_not_limited(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let seen = alice.say(&room, "seen").await;
    for timeline in [
        json!({ "limit": 0 }),
        json!({ "limit": 0, "types": ["m.room.message"] }),
        json!({ "limit": 1, "types": ["m.room.message"] }),
        json!({ "limit": 1 }),
    ] {
        let filter = json!({ "room": { "timeline": timeline } });
        let mut watch = alice.watch().await.filtered(filter);
        let typing = json!({ "typing": true, "timeout": 30_000 });
        bob.put(path(["rooms", &room, "typing", &bob.id])).json(&typing).ok().await;
        let told = |it: Room<'_>, kind| it.ephemeral(kind).map(|_| it.0.clone());
        let section = watch.room("typing", &room, |it| told(it, "m.typing")).await;
        assert!(!Room(&section).limited(), "{timeline}: {section}");
        bob.post(path(["rooms", &room, "receipt", "m.read", &seen])).ok().await;
        let typing = json!({ "typing": false });
        bob.put(path(["rooms", &room, "typing", &bob.id])).json(&typing).ok().await;
        let section = watch.room("typing", &room, |it| told(it, "m.typing")).await;
        assert!(!Room(&section).limited(), "{timeline}: {section}");
        let since = watch.since.clone();
        // A custom event passes some of the filters, a message all of them.
        let custom = alice.send(&room, "org.example.custom", &json!({})).await;
        alice.sync().since(&since).until_event(&room, &custom).await;
        let filter = json!({ "room": { "timeline": timeline } });
        let sync = alice.sync().since(&since).filter(&filter).get().await;
        let is_kept_out = timeline["limit"] == 0 && timeline.get("types").is_none();
        let is_limited = sync.joined(&room).is_some_and(Room::limited);
        assert_eq!(is_limited, is_kept_out, "{timeline}: {}", sync.json);
    }
}

async fn a_page_that_ends_at_the_last_event_is_the_last(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 10).await;
    let filter = json!({ "types": ["m.room.message"] }).to_string();
    for (limit, is_last) in [(9, false), (10, true), (11, true)] {
        let page = alice.messages(&room, "b").query("filter", &filter).query("limit", limit);
        let page = page.ok().await;
        assert_eq!(page["chunk"].as_array().map(Vec::len), Some(limit.min(sent.len())), "{page}");
        // What came before the messages is little enough to be looked at.
        assert_eq!(page.get("end").is_none(), is_last, "{limit}: {page}");
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
