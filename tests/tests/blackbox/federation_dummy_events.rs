//! Rooms that other servers have split are joined again when nobody here says anything, by events
//! that no client is shown (T2).

use crate::federation_sending::{SEND, accept};
use skerry_tests::{
    Client, Server, Sync, User, Value, ids, json, path,
    peer::{Draft, PeerRoom},
    remote::Remote,
};
use std::time::Duration;

both_hosts![
    t2_too_many_extremities_become_one_without_a_user,
    t2_where_nobody_may_speak_no_dummy_event_is_sent,
    a_dummy_event_of_another_server_is_shown_to_no_client,
];

const DUMMY: &str = "org.matrix.dummy_event";
/// More than one event joins.
const FORKS: usize = 15;

/// A room of Alice's that the other server splits while nobody says anything.
async fn split(remote: &Remote, server: &Server) -> (User, PeerRoom) {
    accept(remote);
    let alice = User::register(server, "alice").await;
    let mut room = remote.in_room_of(&alice, server).await;
    split_further(remote, server, &mut room).await;
    (alice, room)
}

async fn split_further(remote: &Remote, server: &Server, room: &mut PeerRoom) {
    let (carol, base) = (room.peer.user("carol"), room.end());
    for number in 0..FORKS {
        let fork = Draft::new(&carol, "m.reaction", json!({ "number": number }));
        let fork = room.stray(fork.after(&[&base]));
        assert_eq!(remote.send(server, &[&fork]).await["pdus"][&fork.id], json!({}));
    }
}

/// Lets everything be due that the room has to do later.
async fn hurry(server: &Server, room: &PeerRoom) {
    Client::new(server.url()).post(format!("/_skerry/test/due/{}", room.id)).ok().await;
}

/// The forward extremities, as what a joining user's event would come after.
async fn extremities(remote: &Remote, server: &Server, room: &PeerRoom) -> Vec<String> {
    let user = remote.peer.user("dora");
    let query = format!("?ver={}", room.version);
    let make = format!("/_matrix/federation/v1/make_join{}{query}", path([&room.id, &user]));
    let made = remote.get(server, &make).ok().await;
    let prev = made["event"]["prev_events"].as_array().expect("events").clone();
    prev.iter().map(|it| it.as_str().expect("an ID").to_owned()).collect()
}

/// The dummy events that the server was sent.
fn dummies(remote: &Remote) -> Vec<Value> {
    let bodies = remote.asked(SEND).into_iter();
    let bodies = bodies.map(|it| serde_json::from_slice::<Value>(&it.body).expect("JSON"));
    let events = bodies.flat_map(|it| it["pdus"].as_array().expect("events").clone());
    events.filter(|it| it["type"] == DUMMY).collect()
}

/// What a user is shown of a room, whichever way they look.
async fn shown(alice: &User, room: &PeerRoom, since: &str) -> Vec<Value> {
    let mut shown = Vec::new();
    for direction in ["b", "f"] {
        let page = alice.messages(&room.id, direction).query("limit", 100).ok().await;
        shown.extend(page["chunk"].as_array().expect("a chunk").clone());
    }
    for sync in [alice.sync().get().await, alice.sync().since(since).get().await] {
        if let Some(section) = sync.joined(&room.id) {
            shown.extend(section.timeline().iter().chain(section.state()).cloned());
        }
    }
    shown
}

async fn t2_too_many_extremities_become_one_without_a_user(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = split(&remote, server).await;
    let question = Draft::message(&room.peer.user("carol"), "is anybody there?");
    let question = room.stray(question);
    remote.send(server, &[&question]).await;
    let before = alice.sync().until_event(&room.id, &question.id).await;
    let unread =
        |sync: &Sync| sync.joined(&room.id).expect("the room").0["unread_notifications"].clone();
    assert_eq!(unread(&before)["notification_count"], 1);
    hurry(server, &room).await;
    remote.until(SEND, |_| dummies(&remote).len() == 2).await;
    let sent = dummies(&remote);
    for event in &sent {
        assert_eq!((&event["sender"], &event["content"]), (&json!(alice.id), &json!({})));
        assert!(event.get("state_key").is_none(), "{event}");
    }
    let [first, last] = &room.ids(&json!(sent))[..] else { panic!("two") };
    assert_eq!(sent[0]["prev_events"].as_array().map(Vec::len), Some(10));
    assert_eq!(extremities(&remote, server, &room).await, [last.as_str()]);
    let shown = shown(&alice, &room, before.next_batch()).await;
    assert!(ids(&shown).contains(&question.id.as_str()));
    assert!(shown.iter().all(|it| it["type"] != DUMMY), "{shown:?}");
    for hidden in [first, last] {
        alice.event(&room.id, hidden).refused(404, "M_NOT_FOUND").await;
        let context = path(["rooms", &room.id, "context", hidden]);
        alice.get(context).refused(404, "M_NOT_FOUND").await;
    }
    // Alice has said nothing, and so has read nothing.
    let after = alice.sync().get().await;
    assert_eq!(unread(&after)["notification_count"], 1);
    let next = alice.say(&room.id, "I am").await;
    let named = remote.until(SEND, |_| sent_by(&remote, &room, &next).is_some()).await;
    drop(named);
    let next = sent_by(&remote, &room, &next).expect("it was found");
    assert_eq!(next["prev_events"], json!([last]));
}

/// An event that the server was sent.
fn sent_by(remote: &Remote, room: &PeerRoom, id: &str) -> Option<Value> {
    let bodies = remote.asked(SEND).into_iter();
    let mut bodies = bodies.map(|it| serde_json::from_slice::<Value>(&it.body).expect("JSON"));
    bodies.find_map(|body| {
        let events = body["pdus"].as_array().expect("events").clone();
        events.into_iter().find(|it| room.ids(&json!([it])) == [id])
    })
}

async fn t2_where_nobody_may_speak_no_dummy_event_is_sent(server: &Server) {
    let remote = Remote::start();
    accept(&remote);
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut room = remote.in_room_of(&alice, server).await;
    bob.join(&room.id).await;
    // Who has made the room may do everything.
    let mut levels = alice.state(&room.id, "m.room.power_levels", "").ok().await;
    levels["events"][DUMMY] = json!(1);
    alice.set_state(&room.id, "m.room.power_levels", "", &levels).await;
    alice.leave(&room.id).await;
    let last = bob.say(&room.id, "alone").await;
    room.read(&bob, &last).await;
    split_further(&remote, server, &mut room).await;
    for _ in 0..2 {
        hurry(server, &room).await;
        until_alarm(server, &room).await;
    }
    assert_eq!(dummies(&remote), Vec::<Value>::new());
    let named = extremities(&remote, server, &room).await;
    assert_eq!(named.len(), 10, "as many as an event may name");
    // Nothing stands in the way of what users say.
    let own = bob.say(&room.id, "not quite").await;
    assert_eq!(room.read(&bob, &own).await.prev().len(), 10);
}

/// Waits until an alarm of the room has come.
async fn until_alarm(server: &Server, room: &PeerRoom) {
    let host = Client::new(server.url());
    host.post(format!("/_skerry/test/alarm/{}/0", room.id)).ok().await;
    for _ in 0..300 {
        let alarms = host.get(format!("/_skerry/test/alarm/{}", room.id)).ok().await;
        if alarms["succeeded"].as_u64() > Some(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("no alarm has come");
}

async fn a_dummy_event_of_another_server_is_shown_to_no_client(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = remote.in_room_of(&alice, server).await;
    let before = alice.sync().get().await;
    let carol = room.peer.user("carol");
    let mentions = json!({ "m.mentions": { "user_ids": [alice.id], "room": true } });
    let dummy = room.add(Draft::new(&carol, DUMMY, mentions));
    let said = room.add(Draft::message(&carol, "hello"));
    remote.send(server, &[&dummy, &said]).await;
    let sync = alice.sync().until_event(&room.id, &said.id).await;
    let counts = &sync.joined(&room.id).expect("the room").0["unread_notifications"];
    assert_eq!((&counts["notification_count"], &counts["highlight_count"]), (&json!(1), &json!(0)));
    let shown = shown(&alice, &room, before.next_batch()).await;
    assert!(shown.iter().all(|it| it["type"] != DUMMY), "{shown:?}");
    assert!(ids(&shown).contains(&said.id.as_str()));
    alice.event(&room.id, &dummy.id).refused(404, "M_NOT_FOUND").await;
    // Other servers have to know of it.
    let event = format!("/_matrix/federation/v1/event{}", path([&dummy.id]));
    let given = remote.get(server, &event).ok().await;
    assert_eq!(given["pdus"][0]["type"], DUMMY);
}
