//! The event that is nearest to a time, for clients and other servers (T15a, S-I3).

use skerry_tests::{
    Request, Server, User, Value, encode, json, path,
    peer::{Draft, Event, PeerRoom},
    remote::Remote,
};

both_hosts![
    the_nearest_event_is_found_in_either_direction,
    wrong_timestamps_do_not_lead_astray,
    who_is_outside_finds_no_event,
    what_was_before_a_newcomer_is_not_found,
    t15a_another_server_finds_what_it_may_see,
    another_server_is_asked_where_history_is_missing,
    s_i3_another_servers_answer_is_passed_on_only_where_it_fits,
    nobody_else_is_asked_for_what_newcomers_do_not_see,
];

const ELSEWHERE: &str = "/_matrix/federation/v1/timestamp_to_event";

fn near(user: &User, room: &str, ts: u64, dir: &str) -> Request {
    let path = path(["rooms", room, "timestamp_to_event"]);
    user.get(format!("/_matrix/client/v1{path}?ts={ts}&dir={dir}"))
}

fn near_for(remote: &Remote, server: &Server, room: &str, ts: u64, dir: &str) -> Request {
    remote.get(server, &format!("{ELSEWHERE}{}?ts={ts}&dir={dir}", path([room])))
}

fn sent_ms(event: &Value) -> u64 {
    event["origin_server_ts"].as_u64().expect("a timestamp")
}

/// A room of the remote server's that Alice has joined, and what Carol said there after that, at
/// these times.
async fn spoken(
    remote: &Remote,
    server: &Server,
    alice: &User,
    times_ms: &[u64],
) -> (PeerRoom, Vec<Event>) {
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    room.let_in(server, alice).await;
    let carol = remote.peer.user("carol");
    let mut said = Vec::new();
    for ts in times_ms {
        let draft = Draft::message(&carol, &ts.to_string()).with("origin_server_ts", json!(ts));
        said.push(room.add(draft));
    }
    room.accept(server, &said.iter().collect::<Vec<_>>()).await;
    (room, said)
}

/// In a year in which no server of the suite has spoken.
const YEAR_MS: u64 = 1_900_000_000_000;

async fn the_nearest_event_is_found_in_either_direction(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let times: Vec<_> = (0..20).map(|it| YEAR_MS + it * 1_000).collect();
    let (room, said) = spoken(&remote, server, &alice, &times).await;
    for (index, time) in times.iter().enumerate() {
        for (ts, dir) in [(*time, "f"), (*time, "b"), (time - 1, "f"), (time + 1, "b")] {
            let found = near(&alice, &room.id, ts, dir).ok().await;
            let expected = json!({ "event_id": said[index].id, "origin_server_ts": time });
            assert_eq!(found, expected, "{index} {ts} {dir}");
        }
    }
    near(&alice, &room.id, YEAR_MS + 20_000, "f").refused(404, "M_NOT_FOUND").await;
    let last = near(&alice, &room.id, 2 * YEAR_MS, "b").ok().await;
    assert_eq!(last["event_id"], said[19].id.as_str());
    // What was said here.
    let own = alice.create_room(&json!({})).await;
    let id = alice.say(&own, "hello").await;
    let event = alice.event(&own, &id).ok().await;
    for dir in ["f", "b"] {
        let found = near(&alice, &own, sent_ms(&event), dir).ok().await;
        assert_eq!(sent_ms(&found), sent_ms(&event), "{dir}");
    }
    for (ts, dir) in [("x", "f"), ("-1", "f"), ("1", "x")] {
        let path = path(["rooms", &own, "timestamp_to_event"]);
        let odd = alice.get(format!("/_matrix/client/v1{path}?ts={ts}&dir={dir}"));
        odd.send().await.client_error();
    }
}

async fn wrong_timestamps_do_not_lead_astray(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    // Every seventh event claims to be from the beginning or the end of time.
    let times: Vec<_> = (0..60)
        .map(|it| match it % 14 {
            3 => 0,
            10 => 1 << 49,
            _ => YEAR_MS + it * 1_000,
        })
        .collect();
    let (room, said) = spoken(&remote, server, &alice, &times).await;
    let honest = |time: &&u64| (YEAR_MS..2 * YEAR_MS).contains(*time);
    for time in times.iter().filter(honest) {
        let index = times.iter().position(|it| it == time).expect("a time");
        for dir in ["f", "b"] {
            let found = near(&alice, &room.id, *time, dir).ok().await;
            assert_eq!(found["event_id"], said[index].id.as_str(), "{index} {dir}: {found}");
        }
    }
}

async fn who_is_outside_finds_no_event(server: &Server) {
    let (alice, mallory) =
        (User::register(server, "alice").await, User::register(server, "mallory").await);
    let room = alice.private_room(&[]).await;
    near(&alice, &room, 1, "f").ok().await;
    let refused = near(&mallory, &room, 1, "f").refused(403, "M_FORBIDDEN").await;
    let unknown = near(&mallory, "!nowhere:localhost", 1, "f").refused(403, "M_FORBIDDEN").await;
    assert_eq!(refused, unknown);
}

async fn what_was_before_a_newcomer_is_not_found(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let joined = json!({ "type": "m.room.history_visibility",
        "content": { "history_visibility": "joined" } });
    let options = json!({ "preset": "public_chat", "initial_state": [joined] });
    let room = alice.create_room(&options).await;
    let secret = alice.say(&room, "before bob").await;
    let ts = sent_ms(&alice.event(&room, &secret).ok().await);
    bob.join(&room).await;
    let join = near(&bob, &room, ts, "f").ok().await;
    let join = bob.event(&room, join["event_id"].as_str().expect("an ID")).ok().await;
    assert_eq!(join["state_key"], bob.id.as_str(), "the first after it that bob may see: {join}");
    // What was before the visibility was set everybody may see.
    let before = near(&bob, &room, ts, "b").ok().await;
    assert_ne!(before["event_id"], secret.as_str());
    let found = near(&alice, &room, ts, "b").ok().await;
    assert_eq!(sent_ms(&found), ts);
}

async fn t15a_another_server_finds_what_it_may_see(server: &Server) {
    let (remote, outsider) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let times: Vec<_> = (0..5).map(|it| YEAR_MS + it * 1_000).collect();
    let (room, said) = spoken(&remote, server, &alice, &times).await;
    let found = near_for(&remote, server, &room.id, times[2] - 1, "f").ok().await;
    assert_eq!(found, json!({ "event_id": said[2].id, "origin_server_ts": times[2] }));
    let found = near_for(&remote, server, &room.id, times[2] - 1, "b").ok().await;
    assert_eq!(found["event_id"], said[1].id.as_str());
    let late = near_for(&remote, server, &room.id, 2 * YEAR_MS, "f");
    late.refused(404, "M_NOT_FOUND").await;
    // The event can be read by its ID alone then.
    let event = format!("/_matrix/federation/v1/event/{}", encode(&said[1].id));
    let event = remote.get(server, &event).ok().await;
    assert_eq!(event["pdus"], json!([said[1].pdu]));
    let refused = near_for(&outsider, server, &room.id, times[2], "f");
    let refused = refused.refused(403, "M_FORBIDDEN").await;
    let unknown = near_for(&outsider, server, "!nowhere:localhost", times[2], "f");
    assert_eq!(unknown.refused(403, "M_FORBIDDEN").await, refused);
    // Where nobody but members reads, a server that was not there finds nothing before it came.
    let joined = json!({ "type": "m.room.history_visibility",
        "content": { "history_visibility": "joined" } });
    let options = json!({ "preset": "public_chat", "initial_state": [joined] });
    let closed = alice.create_room(&options).await;
    let secret = alice.say(&closed, "before anybody came").await;
    let ts = sent_ms(&alice.event(&closed, &secret).ok().await);
    let mut closed = PeerRoom::of(&remote.peer, &alice, &closed).await;
    let join = closed.add(Draft::join(&remote.peer.user("carol")));
    closed.accept(server, &[&join]).await;
    for dir in ["f", "b"] {
        let found = near_for(&remote, server, &closed.id, ts, dir).ok().await;
        assert_ne!(found["event_id"], secret.as_str(), "{dir}");
    }
}

/// A room of the remote server's with a past that is not here, and what Carol said in it.
async fn with_past(remote: &Remote, server: &Server, visibility: &str) -> (User, PeerRoom, Event) {
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let carol = remote.peer.user("carol");
    let content = json!({ "history_visibility": visibility });
    room.add(Draft::state(&carol, "m.room.history_visibility", "", content));
    let said = room.add(Draft::message(&carol, "long ago"));
    room.let_in(server, &alice).await;
    (alice, room, said)
}

async fn another_server_is_asked_where_history_is_missing(server: &Server) {
    let remote = Remote::start();
    let (alice, room, said) = with_past(&remote, server, "shared").await;
    let ts = sent_ms(&said.pdu);
    let told = json!({ "event_id": said.id, "origin_server_ts": ts });
    let answer = told.clone();
    remote.answer(ELSEWHERE, move |_| (200, answer.clone()));
    for (at, dir) in [(ts, "b"), (ts, "f"), (ts - 5, "f")] {
        assert_eq!(near(&alice, &room.id, at, dir).ok().await, told, "{at} {dir}");
    }
    let asked = remote.asked(ELSEWHERE);
    assert!(asked[0].path.ends_with(&format!("?ts={ts}&dir=b")), "{asked:?}");
    // What is here is not asked for elsewhere.
    let hello = alice.say(&room.id, "hello").await;
    let hello = alice.event(&room.id, &hello).ok().await;
    let before = remote.asked(ELSEWHERE).len();
    let found = near(&alice, &room.id, sent_ms(&hello), "f").ok().await;
    assert_eq!(found["event_id"], hello["event_id"]);
    assert_eq!(remote.asked(ELSEWHERE).len(), before);
}

/// S-I3
async fn s_i3_another_servers_answer_is_passed_on_only_where_it_fits(server: &Server) {
    let remote = Remote::start();
    let (alice, room, said) = with_past(&remote, server, "shared").await;
    let ts = sent_ms(&said.pdu);
    let told = |ts: u64| json!({ "event_id": said.id, "origin_server_ts": ts });
    let here = near(&alice, &room.id, ts, "f").ok().await;
    let huge = "x".repeat(1 << 20);
    let answers = [
        (200, told(ts - 1)),
        (200, told(sent_ms(&here))),
        (200, told(sent_ms(&here) + 1)),
        (200, json!({ "event_id": "no ID", "origin_server_ts": ts })),
        (200, json!({ "event_id": said.id, "origin_server_ts": -5 })),
        (200, json!({ "event_id": said.id })),
        (200, json!({ "event_id": said.id, "origin_server_ts": ts, "more": huge })),
        (200, json!([])),
        (401, json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "x" })),
        (500, json!("x")),
    ];
    for (status, answer) in answers {
        let text = answer.to_string();
        remote.answer(ELSEWHERE, move |_| (status, answer.clone()));
        let found = near(&alice, &room.id, ts, "f").ok().await;
        assert_eq!(found, here, "{}", text.chars().take(200).collect::<String>());
        near(&alice, &room.id, ts - 5, "b").refused(404, "M_NOT_FOUND").await;
    }
}

async fn nobody_else_is_asked_for_what_newcomers_do_not_see(server: &Server) {
    let remote = Remote::start();
    let (alice, room, said) = with_past(&remote, server, "joined").await;
    let ts = sent_ms(&said.pdu);
    near(&alice, &room.id, ts, "b").refused(404, "M_NOT_FOUND").await;
    assert!(remote.asked(ELSEWHERE).is_empty());
}
