//! What other servers read of rooms (T15a, T16).

use skerry_tests::{
    Request, Server, User, Value, encode, json, path,
    peer::{Draft, PeerRoom},
    remote::Remote,
};
use std::collections::BTreeSet;

both_hosts![
    t15a_an_outsider_reads_nothing,
    the_state_before_an_event_is_read,
    the_events_that_authorize_an_event_are_read,
    history_is_read_backward,
    missing_events_are_read,
    t3c_a_rejected_event_cuts_off_no_history,
    t16_history_before_a_join_comes_redacted,
    t15a_who_has_left_reads_no_further,
];

const V1: &str = "/_matrix/federation/v1";

fn state(remote: &Remote, server: &Server, form: &str, room: &str, event: &str) -> Request {
    let path = format!("{V1}/{form}{}?event_id={}", path([room]), encode(event));
    remote.get(server, &path)
}

fn backfill(remote: &Remote, server: &Server, room: &str, from: &[&str], limit: u64) -> Request {
    let from: Vec<_> = from.iter().map(|it| format!("v={}", encode(it))).collect();
    let query = format!("{}&limit={limit}", from.join("&"));
    remote.get(server, &format!("{V1}/backfill{}?{query}", path([room])))
}

fn missing(remote: &Remote, server: &Server, room: &str, body: &Value) -> Request {
    remote.post(server, &format!("{V1}/get_missing_events{}", path([room])), body)
}

fn auth(remote: &Remote, server: &Server, room: &str, event: &str) -> Request {
    remote.get(server, &format!("{V1}/event_auth{}", path([room, event])))
}

/// A public room of Alice's that a user of the remote server has joined, with this visibility.
async fn shared(remote: &Remote, server: &Server, visibility: &str) -> (User, PeerRoom) {
    let alice = User::register(server, "alice").await;
    let content = json!({ "history_visibility": visibility });
    let content = json!({ "type": "m.room.history_visibility", "content": content });
    let options = json!({ "preset": "public_chat", "initial_state": [content] });
    let room = alice.create_room(&options).await;
    alice.say(&room, "before anybody came").await;
    let mut room = PeerRoom::of(&remote.peer, &alice, &room).await;
    let join = room.add(Draft::join(&remote.peer.user("carol")));
    room.accept(server, &[&join]).await;
    (alice, room)
}

async fn t15a_an_outsider_reads_nothing(server: &Server) {
    let (member, outsider) = (Remote::start(), Remote::start());
    let (_, room) = shared(&member, server, "world_readable").await;
    let (event, first) = (room.end().id, room.end().prev().remove(0));
    let wanted = json!({ "earliest_events": [], "latest_events": [event] });
    let requests = |remote: &Remote, room: &str| {
        [
            state(remote, server, "state", room, &event),
            state(remote, server, "state_ids", room, &event),
            auth(remote, server, room, &event),
            backfill(remote, server, room, &[&event, &first], 10),
            missing(remote, server, room, &wanted),
        ]
    };
    for request in requests(&member, &room.id) {
        request.ok().await;
    }
    // The same as of a room that does not exist.
    for request in requests(&outsider, &room.id) {
        let refused = request.refused(403, "M_FORBIDDEN").await;
        for unknown in requests(&outsider, "!nowhere:localhost") {
            assert_eq!(unknown.refused(403, "M_FORBIDDEN").await, refused);
        }
    }
}

async fn the_state_before_an_event_is_read(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server, "shared").await;
    let topic = alice.set_state(&room.id, "m.room.topic", "", &json!({ "topic": "x" })).await;
    room.read(&alice, &topic).await;
    let said = alice.say(&room.id, "hello").await;
    room.read(&alice, &said).await;
    let before_topic: BTreeSet<_> = room.state_at(&topic).into_iter().map(|it| it.id).collect();
    let before_said: BTreeSet<_> = room.state_at(&said).into_iter().map(|it| it.id).collect();
    assert!(before_said.contains(&topic));
    for (event, mut expected) in [(&topic, before_topic), (&said, before_said)] {
        // The state at an event has that event; what is asked for is the state before it.
        if *event == topic {
            expected.remove(event);
        }
        let ids = state(&remote, server, "state_ids", &room.id, event).ok().await;
        let given = |field: &str| -> BTreeSet<String> {
            serde_json::from_value(ids[field].clone()).expect("IDs")
        };
        assert_eq!(given("pdu_ids"), expected);
        let whole = state(&remote, server, "state", &room.id, event).ok().await;
        let pdus: BTreeSet<_> = room.ids(&whole["pdus"]).into_iter().collect();
        assert_eq!(pdus, expected);
        let chain: BTreeSet<_> = room.ids(&whole["auth_chain"]).into_iter().collect();
        assert_eq!(chain, given("auth_chain_ids"));
        for id in &expected {
            assert!(room.event(id).auth().iter().all(|it| chain.contains(it)), "{id}");
        }
    }
    for unknown in ["$nothing", "$nothing:localhost"] {
        state(&remote, server, "state_ids", &room.id, unknown).refused(404, "M_NOT_FOUND").await;
    }
}

async fn the_events_that_authorize_an_event_are_read(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server, "shared").await;
    let said = alice.say(&room.id, "hello").await;
    let said = room.read(&alice, &said).await;
    let answer = auth(&remote, server, &room.id, &said.id).ok().await;
    let chain: BTreeSet<_> = room.ids(&answer["auth_chain"]).into_iter().collect();
    assert!(said.auth().iter().all(|it| chain.contains(it)), "{chain:?}");
    for id in &chain {
        assert!(room.event(id).auth().iter().all(|it| chain.contains(it)), "{id}");
    }
    assert!(!chain.contains(&said.id));
    auth(&remote, server, &room.id, "$nothing").refused(404, "M_NOT_FOUND").await;
}

async fn history_is_read_backward(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server, "shared").await;
    let sent = alice.say_many(&room.id, 30).await;
    let last = &sent[29];
    room.read(&alice, last).await;
    let page = backfill(&remote, server, &room.id, &[last], 10).ok().await;
    assert_eq!(page["origin"], "localhost");
    let newest: Vec<_> = sent.iter().rev().take(10).cloned().collect();
    assert_eq!(room.ids(&page["pdus"]), newest);
    let whole = backfill(&remote, server, &room.id, &[last], 100).ok().await;
    let whole = room.ids(&whole["pdus"]);
    let mut expected: Vec<_> = room.before(room.event(last)).into_iter().map(|it| it.id).collect();
    expected.reverse();
    assert_eq!(whole[1..], expected);
    // A fork, from both of its ends.
    let carol = remote.peer.user("carol");
    let base = room.end();
    let left = room.stray(Draft::message(&carol, "left").after(&[&base]));
    let right = room.stray(Draft::message(&carol, "right").after(&[&base]));
    room.accept(server, &[&left, &right]).await;
    let ends = [&*left.id, &*right.id];
    let page = backfill(&remote, server, &room.id, &ends, 3).ok().await;
    let given: BTreeSet<_> = room.ids(&page["pdus"]).into_iter().collect();
    assert_eq!(given, [left.id.clone(), right.id.clone(), base.id.clone()].into());
    let one = backfill(&remote, server, &room.id, &[&left.id], 2).ok().await;
    assert_eq!(room.ids(&one["pdus"]), [left.id, base.id]);
    let nothing = backfill(&remote, server, &room.id, &["$nothing"], 10).ok().await;
    assert_eq!(nothing["pdus"], json!([]));
}

async fn missing_events_are_read(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server, "shared").await;
    let sent = alice.say_many(&room.id, 30).await;
    room.read(&alice, &sent[29]).await;
    let ask = |body: Value| missing(&remote, server, &room.id, &body);
    let between = json!({ "earliest_events": [sent[9]], "latest_events": [sent[15]] });
    let found = ask(between).ok().await;
    assert_eq!(room.ids(&found["events"]), sent[10..15]);
    let few = json!({ "earliest_events": [], "latest_events": [sent[29]] });
    let found = ask(few).ok().await;
    assert_eq!(room.ids(&found["events"]), sent[19..29], "ten, unless it is said");
    let depth = room.event(&sent[20]).pdu["depth"].clone();
    let deep = json!({ "earliest_events": [], "latest_events": [sent[25]], "limit": 50,
        "min_depth": depth });
    let found = ask(deep).ok().await;
    assert_eq!(room.ids(&found["events"]), sent[20..25]);
}

/// What was said before a server came is none of its business where history is for members; that it
/// was said is, since later events build on it.
async fn t16_history_before_a_join_comes_redacted(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server, "joined").await;
    let said = alice.say(&room.id, "hello").await;
    room.read(&alice, &said).await;
    let page = backfill(&remote, server, &room.id, &[&said], 100).ok().await;
    let pdus = page["pdus"].as_array().expect("events");
    let bodies: Vec<_> = pdus.iter().filter(|it| it["type"] == "m.room.message").collect();
    assert_eq!(bodies.len(), 2, "{page}");
    assert_eq!(bodies[0]["content"]["body"], "hello");
    assert_eq!(bodies[1]["content"], json!({}), "{page}");
    assert_eq!(room.ids(&page["pdus"]).len(), pdus.len());
    let before = room.ids(&json!([bodies[1]])).remove(0);
    state(&remote, server, "state_ids", &room.id, &before).refused(404, "M_NOT_FOUND").await;
}

async fn t15a_who_has_left_reads_no_further(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server, "shared").await;
    let carol = remote.peer.user("carol");
    let leave = room.add(Draft::member(&carol, &carol, "leave"));
    room.accept(server, &[&leave]).await;
    let said = alice.say(&room.id, "she is gone").await;
    state(&remote, server, "state_ids", &room.id, &leave.id).ok().await;
    state(&remote, server, "state_ids", &room.id, &said).refused(404, "M_NOT_FOUND").await;
    auth(&remote, server, &room.id, &said).refused(404, "M_NOT_FOUND").await;
    let page = backfill(&remote, server, &room.id, &[&said], 1).ok().await;
    assert_eq!(room.ids(&page["pdus"]), [leave.id]);
}

/// What a member says behind an event of theirs that everybody rejects is accepted. Who reads back
/// from there gets that event too, and finds out by themselves: else it would hide the history.
async fn t3c_a_rejected_event_cuts_off_no_history(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server, "shared").await;
    let carol = remote.peer.user("carol");
    let said = room.add(Draft::message(&carol, "one"));
    let banned = room.add(Draft::member(&carol, &alice.id, "ban"));
    let after = room.add(Draft::message(&carol, "two"));
    let answer = remote.send(server, &[&said, &banned, &after]).await;
    assert_eq!(answer["pdus"][&after.id], json!({}), "{answer}");
    let members = alice.get(path(["rooms", &room.id, "joined_members"])).ok().await;
    assert!(members["joined"].get(&alice.id).is_some(), "nobody is banned by who may not");
    let found = backfill(&remote, server, &room.id, &[&after.id], 3).ok().await;
    assert_eq!(room.ids(&found["pdus"]), [&*after.id, &banned.id, &said.id]);
    let found = backfill(&remote, server, &room.id, &[&banned.id], 2).ok().await;
    assert_eq!(room.ids(&found["pdus"]), [&*banned.id, &said.id]);
    let wanted = json!({ "earliest_events": [said.id], "latest_events": [after.id], "limit": 9 });
    let found = missing(&remote, server, &room.id, &wanted).ok().await;
    assert_eq!(room.ids(&found["events"]), [banned.id]);
}
