//! Paging through a room's history in both directions, with tokens and filters.

use skerry_tests::{Server, User, Value, ids, json, message, path};

both_hosts![
    paging_backwards_tells_everything_once,
    paging_forwards_tells_everything_once,
    both_directions_agree,
    a_page_without_a_direction_goes_forward,
    an_empty_token_is_none,
    the_page_size_is_kept,
    ten_events_are_the_default,
    the_start_is_the_token_that_was_given,
    paging_goes_on_from_where_another_direction_stopped,
    paging_stops_at_the_token_to,
    a_sync_token_pages_in_both_directions,
    only_the_wanted_types_and_senders_are_told,
    wildcards_match_types,
    events_with_a_url_are_told_apart,
    a_filter_does_not_end_the_paging_early,
    events_that_come_while_paging_backwards_do_not_disturb,
];

/// Other servers take a missing direction for forward.
async fn a_page_without_a_direction_goes_forward(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    alice.say(&room, "hello").await;
    let messages = path(["rooms", &room, "messages"]);
    for limit in ["2", "50"] {
        let request = alice.get(&messages).query("limit", limit);
        let forward = request.clone().query("dir", "f").ok().await;
        let unsaid = request.ok().await;
        let chunk = |page: &Value| page["chunk"].as_array().cloned().expect("a chunk");
        assert_eq!(ids(&chunk(&unsaid)), ids(&chunk(&forward)));
    }
    let bare = alice.get(&messages).ok().await;
    assert_eq!(bare["chunk"][0]["type"], "m.room.create", "{bare}");
    alice.get(&messages).query("dir", "x").send().await.client_error();
    alice.get(&messages).query("dir", "").send().await.client_error();
}

/// Pages from the end that the direction starts at until there is no further token.
async fn all(user: &User, room: &str, direction: &str, limit: usize, filter: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    let mut from = None::<String>;
    // More pages than events would be an endless loop.
    for _ in 0..200 {
        let mut request = user.messages(room, direction).query("limit", limit);
        request = request.query("filter", filter);
        if let Some(from) = &from {
            request = request.query("from", from);
        }
        let page = request.ok().await;
        let chunk = page["chunk"].as_array().expect("a chunk");
        assert!(chunk.len() <= limit, "{} events for limit {limit}", chunk.len());
        found.extend(chunk.iter().cloned());
        match page["end"].as_str() {
            Some(end) if Some(end) != from.as_deref() => from = Some(end.to_owned()),
            // Forwards, the newest event may be told with a token to wait at.
            Some(_) if direction == "f" && chunk.is_empty() => return found,
            Some(end) => panic!("the token {end} leads to itself: {page}"),
            None => return found,
        }
    }
    panic!("paging does not end");
}

async fn everything(user: &User, room: &str, direction: &str, limit: usize) -> Vec<Value> {
    all(user, room, direction, limit, &json!({})).await
}

fn assert_once(events: &[Value], expected: &[String]) {
    let found = ids(events);
    for id in expected {
        let count = found.iter().filter(|it| *it == id).count();
        assert_eq!(count, 1, "{id} occurs {count} times in {found:?}");
    }
}

async fn paging_backwards_tells_everything_once(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 25).await;
    for limit in [1, 7, 25, 100] {
        let found = everything(&alice, &room, "b", limit).await;
        assert_once(&found, &sent);
        assert_eq!(found[0]["event_id"], sent[24].as_str());
        assert_eq!(found.last().expect("events")["type"], "m.room.create");
    }
}

async fn paging_forwards_tells_everything_once(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 25).await;
    for limit in [1, 7, 100] {
        let found = everything(&alice, &room, "f", limit).await;
        assert_once(&found, &sent);
        assert_eq!(found[0]["type"], "m.room.create");
        assert_eq!(found.last().expect("events")["event_id"], sent[24].as_str());
    }
}

async fn both_directions_agree(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    for number in 0..6 {
        alice.say(&room, &format!("alice {number}")).await;
        bob.say(&room, &format!("bob {number}")).await;
        alice.set_state(&room, "m.room.topic", "", &json!({ "topic": number.to_string() })).await;
    }
    let forwards = everything(&alice, &room, "f", 4).await;
    let mut backwards = everything(&alice, &room, "b", 5).await;
    backwards.reverse();
    assert_eq!(ids(&forwards), ids(&backwards));
}

/// Other servers have it so, and clients begin with it.
async fn an_empty_token_is_none(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    alice.say_many(&room, 3).await;
    for direction in ["b", "f"] {
        let none = alice.messages(&room, direction).query("limit", 2);
        let empty = none.clone().query("from", "").query("to", "").ok().await;
        let none = none.ok().await;
        let chunk = |page: &Value| page["chunk"].as_array().cloned().expect("a chunk");
        assert_eq!(ids(&chunk(&empty)), ids(&chunk(&none)));
        assert_eq!(empty["end"], none["end"]);
        alice.messages(&room, direction).query("from", "x").refused(400, "M_INVALID_PARAM").await;
    }
}

async fn the_page_size_is_kept(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 5).await;
    let page = alice.messages(&room, "b").query("limit", 3).ok().await;
    let chunk = page["chunk"].as_array().expect("a chunk");
    assert_eq!(ids(chunk), [&sent[4], &sent[3], &sent[2]]);
    assert!(page["end"].is_string(), "there is more: {page}");
}

async fn ten_events_are_the_default(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    alice.say_many(&room, 12).await;
    let page = alice.messages(&room, "b").ok().await;
    assert_eq!(page["chunk"].as_array().map(Vec::len), Some(10), "{page}");
    // A limit beyond any reason is lowered, not obeyed and not refused.
    let page = alice.messages(&room, "b").query("limit", 1_000_000).ok().await;
    assert!(page["chunk"].as_array().map_or(0, Vec::len) >= 12, "{page}");
}

async fn the_start_is_the_token_that_was_given(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    alice.say_many(&room, 5).await;
    let first = alice.messages(&room, "b").query("limit", 2).ok().await;
    assert!(first["start"].is_string(), "{first}");
    let end = first["end"].as_str().expect("an end");
    let second = alice.messages(&room, "b").query("limit", 2).query("from", end).ok().await;
    assert_eq!(second["start"], end);
}

async fn paging_goes_on_from_where_another_direction_stopped(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 6).await;
    let back = alice.messages(&room, "b").query("limit", 4).ok().await;
    let end = back["end"].as_str().expect("an end");
    let forth = alice.messages(&room, "f").query("from", end).query("limit", 3).ok().await;
    let chunk = forth["chunk"].as_array().expect("a chunk");
    assert_eq!(ids(chunk), [&sent[2], &sent[3], &sent[4]]);
}

async fn paging_stops_at_the_token_to(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 3).await;
    let marker = alice.sync().until_event(&room, &sent[2]).await;
    let later = {
        let mut later = alice.say_many(&room, 4).await;
        later.reverse();
        later
    };
    let newest = alice.messages(&room, "b").query("limit", 50).query("to", marker.next_batch());
    let page = newest.ok().await;
    assert_eq!(ids(page["chunk"].as_array().expect("a chunk")), later);
    let first = alice.messages(&room, "f").query("limit", 50).query("to", marker.next_batch());
    let page = first.ok().await;
    let chunk = page["chunk"].as_array().expect("a chunk");
    assert_eq!(ids(chunk).last(), Some(&sent[2].as_str()));
}

async fn a_sync_token_pages_in_both_directions(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 3).await;
    let marker = alice.sync().until_event(&room, &sent[2]).await;
    let later = alice.say_many(&room, 3).await;
    let from = marker.next_batch();
    let back = alice.messages(&room, "b").query("from", from).query("limit", 2).ok().await;
    assert_eq!(ids(back["chunk"].as_array().expect("a chunk")), [&sent[2], &sent[1]]);
    let forth = alice.messages(&room, "f").query("from", from).query("limit", 2).ok().await;
    assert_eq!(ids(forth["chunk"].as_array().expect("a chunk")), [&later[0], &later[1]]);
}

async fn only_the_wanted_types_and_senders_are_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let by_alice = alice.say(&room, "from alice").await;
    let custom = alice.send(&room, "org.example.custom", &json!({})).await;
    let by_bob = bob.say(&room, "from bob").await;
    let cases = [
        (json!({ "types": ["m.room.message"] }), vec![&by_bob, &by_alice]),
        (
            json!({ "types": ["m.room.message", "org.example.custom"], "senders": [alice.id] }),
            vec![&custom, &by_alice],
        ),
        (json!({ "types": ["m.room.message"], "not_senders": [alice.id] }), vec![&by_bob]),
        (json!({ "not_types": ["m.room.*"] }), vec![&custom]),
        (json!({ "types": ["m.room.message"], "not_types": ["m.room.message"] }), vec![]),
        (json!({ "types": [] }), vec![]),
        (json!({ "rooms": ["!another:localhost"] }), vec![]),
        (json!({ "not_rooms": [room] }), vec![]),
    ];
    for (filter, expected) in cases {
        let found = all(&alice, &room, "b", 100, &filter).await;
        let expected: Vec<&str> = expected.into_iter().map(String::as_str).collect();
        assert_eq!(ids(&found), expected, "{filter}");
    }
}

async fn wildcards_match_types(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let dotted = alice.send(&room, "org.example.a.b", &json!({})).await;
    let other = alice.send(&room, "orgXexample.a.b", &json!({})).await;
    let percent = alice.send(&room, "org.example.%_", &json!({})).await;
    for (pattern, expected) in [
        ("org.example.*", vec![&percent, &dotted]),
        ("org*b", vec![&other, &dotted]),
        ("org.example.%_", vec![&percent]),
        ("org.example._*", vec![]),
    ] {
        let found = all(&alice, &room, "b", 100, &json!({ "types": [pattern] })).await;
        let expected: Vec<&str> = expected.into_iter().map(String::as_str).collect();
        assert_eq!(ids(&found), expected, "{pattern}");
    }
}

async fn events_with_a_url_are_told_apart(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let text = alice.say(&room, "https://not.a.url.key/").await;
    let file = json!({ "msgtype": "m.image", "body": "x.png", "url": "mxc://localhost/x" });
    let file = alice.send(&room, "m.room.message", &file).await;
    for (contains, expected) in [(true, &file), (false, &text)] {
        let filter = json!({ "types": ["m.room.message"], "contains_url": contains });
        assert_eq!(ids(&all(&alice, &room, "b", 100, &filter).await), [expected]);
    }
}

async fn a_filter_does_not_end_the_paging_early(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let needle = alice.send(&room, "org.example.needle", &json!({})).await;
    alice.say_many(&room, 30).await;
    let filter = json!({ "types": ["org.example.needle"] });
    for direction in ["b", "f"] {
        assert_eq!(ids(&all(&alice, &room, direction, 2, &filter).await), [&needle]);
    }
}

async fn events_that_come_while_paging_backwards_do_not_disturb(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 6).await;
    let first = alice.messages(&room, "b").query("limit", 3).ok().await;
    alice.send(&room, "m.room.message", &message("in between")).await;
    let end = first["end"].as_str().expect("an end");
    let second = alice.messages(&room, "b").query("from", end).query("limit", 3).ok().await;
    assert_eq!(ids(second["chunk"].as_array().expect("a chunk")), [&sent[2], &sent[1], &sent[0]]);
}
