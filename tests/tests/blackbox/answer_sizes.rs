//! Answers are bounded in bytes: pages and timelines of large events end early, with a token that
//! goes on exactly there.

use std::collections::BTreeSet;

use skerry_tests::{Request, Server, User, Value, ids, json, message, path};

both_hosts![
    a_page_of_large_events_ends_early_and_goes_on,
    a_page_counts_what_its_events_tell_of_others,
    a_page_of_which_nothing_is_wanted_ends_with_a_token,
    the_surroundings_of_an_event_are_bounded,
    a_timeline_of_large_events_is_limited,
    a_sync_of_large_rooms_ends_early_and_goes_on,
];

/// Bytes of a large event's text: nearly as much as fits.
const LARGE: usize = 60_000;

/// Bytes of a page, and one event more.
const MAX_PAGE: usize = 1024 * 1024 + 70_000;

async fn say_large(user: &User, room: &str, count: usize) -> Vec<String> {
    let mut sent = Vec::new();
    for number in 0..count {
        let text = format!("{number} {}", "x".repeat(LARGE));
        sent.push(user.send(room, "m.room.message", &message(&text)).await);
    }
    sent
}

/// The answer, and its bytes.
async fn sized(request: Request) -> (Value, usize) {
    let reply = request.send().await;
    let size = reply.text.len();
    (reply.ok(), size)
}

fn chunk<'a>(page: &'a Value, name: &str) -> &'a [Value] {
    page[name].as_array().expect("events")
}

/// The events of all pages from a token on, and how many pages there were.
async fn page_through(
    user: &User,
    room: &str,
    direction: &str,
    from: Option<&str>,
    filter: &Value,
) -> (Vec<String>, usize) {
    let (mut found, mut from) = (Vec::new(), from.map(ToOwned::to_owned));
    for pages in 1..100 {
        let request = user.messages(room, direction).query("limit", 1000).query("filter", filter);
        let request = match &from {
            Some(from) => request.query("from", from),
            None => request,
        };
        let (page, size) = sized(request).await;
        assert!(size < MAX_PAGE, "{size} bytes");
        let events = chunk(&page, "chunk");
        found.extend(ids(events).into_iter().map(ToOwned::to_owned));
        match page["end"].as_str() {
            Some(end) if Some(end) != from.as_deref() => from = Some(end.to_owned()),
            _ => return (found, pages),
        }
    }
    panic!("paging does not end");
}

fn assert_once(found: &[String], expected: &[String]) {
    let distinct: BTreeSet<_> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "told twice");
    for id in expected {
        assert!(distinct.contains(id), "{id} is missing");
    }
}

/// T1a
async fn a_page_of_large_events_ends_early_and_goes_on(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let mut sent = say_large(&alice, &room, 40).await;
    let (mut found, pages) = page_through(&alice, &room, "f", None, &json!({})).await;
    assert!(pages > 2, "{pages} pages");
    assert_once(&found, &sent);
    assert_eq!(found.pop(), sent.last().cloned());
    let (found, pages) = page_through(&alice, &room, "b", None, &json!({})).await;
    assert!(pages > 2, "{pages} pages");
    assert_once(&found, &sent);
    sent.reverse();
    assert_eq!(found[..40], sent);
}

/// T1a: an event is small, and what it says of the one before it is not.
async fn a_page_counts_what_its_events_tell_of_others(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let mut sent = Vec::new();
    for number in 0..40 {
        let text = "x".repeat(if number % 2 == 0 { LARGE } else { 1 });
        let content = json!({ "text": text, "number": number });
        sent.push(alice.set_state(&room, "org.example.state", "", &content).await);
    }
    for direction in ["b", "f"] {
        let (found, pages) = page_through(&alice, &room, direction, None, &json!({})).await;
        assert!(pages > 2, "{pages} pages");
        assert_once(&found, &sent);
    }
}

/// T1b: so much is looked at for one answer, also where nothing of it is told.
async fn a_page_of_which_nothing_is_wanted_ends_with_a_token(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let wanted = alice.send(&room, "org.example.wanted", &json!({})).await;
    say_large(&alice, &room, 150).await;
    let filter = json!({ "types": ["org.example.*"] });
    let first = alice.messages(&room, "b").query("filter", &filter).ok().await;
    assert!(chunk(&first, "chunk").is_empty(), "{first}");
    assert!(first["end"].is_string(), "{first}");
    let (found, _) = page_through(&alice, &room, "b", first["end"].as_str(), &filter).await;
    assert_eq!(found, [wanted]);
}

/// T1a
async fn the_surroundings_of_an_event_are_bounded(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = say_large(&alice, &room, 41).await;
    let request = alice.get(path(["rooms", &room, "context", &sent[20]])).query("limit", 1000);
    let (context, size) = sized(request).await;
    assert!(size < MAX_PAGE + 70_000, "{size} bytes");
    let (before, after) = (chunk(&context, "events_before"), chunk(&context, "events_after"));
    assert!(!before.is_empty() && !after.is_empty());
    let mut found: Vec<_> = [ids(before), ids(after)].concat();
    found.push(&sent[20]);
    let mut found: Vec<_> = found.into_iter().map(ToOwned::to_owned).collect();
    for (direction, token) in [("b", "start"), ("f", "end")] {
        let from = context[token].as_str();
        found.extend(page_through(&alice, &room, direction, from, &json!({})).await.0);
    }
    assert_once(&found, &sent);
}

/// T1a
async fn a_timeline_of_large_events_is_limited(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let begun = alice.sync().get().await;
    let sent = say_large(&alice, &room, 12).await;
    let filter = json!({ "room": { "timeline": { "limit": 50 } } });
    for since in [None, Some(begun.next_batch())] {
        let request = alice.sync().filter(&filter).query("timeout", 0);
        let sync = match since {
            Some(since) => request.since(since).get().await,
            None => request.get().await,
        };
        let joined = sync.joined(&room).expect("the room");
        let told = ids(joined.timeline());
        assert!(joined.limited());
        assert!(!told.is_empty() && told.len() < 4, "{} events", told.len());
        let mut found: Vec<_> = told.into_iter().map(ToOwned::to_owned).collect();
        assert_eq!(found.last(), sent.last());
        let from = Some(joined.prev_batch());
        found.extend(page_through(&alice, &room, "b", from, &json!({})).await.0);
        assert_once(&found, &sent);
    }
}

/// T1a: a response of rooms with much state has fewer of them; the others follow.
async fn a_sync_of_large_rooms_ends_early_and_goes_on(server: &Server) {
    let alice = User::register(server, "alice").await;
    let large = |key: usize| {
        let content = json!({ "text": "x".repeat(LARGE) });
        json!({ "type": "org.example.state", "state_key": key.to_string(), "content": content })
    };
    let mut rooms = BTreeSet::new();
    for _ in 0..4 {
        let state: Vec<_> = (0..15).map(large).collect();
        let room = alice.create_room(&json!({ "initial_state": state })).await;
        for key in 15..24 {
            let content = json!({ "text": "x".repeat(LARGE) });
            alice.set_state(&room, "org.example.state", &key.to_string(), &content).await;
        }
        rooms.insert(room);
    }
    let phone = User::log_in(server, &alice.id).await;
    let (mut given, mut since, mut answers) = (BTreeSet::new(), None::<String>, 0);
    while given.len() < rooms.len() {
        let request = phone.sync().query("timeout", 0);
        let sync = match &since {
            Some(since) => request.since(since).get().await,
            None => request.get().await,
        };
        let size = sync.json.to_string().len();
        assert!(size < 6 << 20, "{size} bytes");
        for room in &rooms {
            if let Some(joined) = sync.joined(room) {
                assert!(given.insert(room.clone()), "{room} comes twice");
                let state = joined.state().iter().chain(joined.timeline());
                let large = state.filter(|it| it["type"] == "org.example.state");
                assert_eq!(large.count(), 24, "the whole state");
            }
        }
        since = Some(sync.next_batch().to_owned());
        answers += 1;
        assert!(answers < 10, "{} of {} rooms", given.len(), rooms.len());
    }
    assert!(answers > 1, "all in one answer");
}
