//! What is sent to other servers (T4, T15b, F8).

use skerry_tests::{
    Host, Options, PATIENCE, Server, User, Value, json, message, path,
    peer::{Draft, PeerRoom},
    remote::Remote,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout};

both_hosts![
    f6_messages_reach_the_servers_in_the_room,
    a_burst_arrives_whole_and_in_order,
    what_is_said_while_a_transaction_is_under_way_is_sent_whole,
    t15b_a_server_whose_users_have_left_hears_no_more,
    t15b_events_of_other_servers_are_not_sent_on,
    what_comes_by_way_of_us_is_handed_on,
    t15b_a_server_that_the_room_keeps_out_is_sent_nothing,
    t4_what_was_sent_to_a_server_that_did_not_answer_is_sent_again,
];

private_server![
    native_alone: Native => [t4_what_waits_survives_a_crash],
    worker_alone: Worker => [t4_what_waits_survives_a_crash],
];

pub(crate) const SEND: &str = "/_matrix/federation/v1/send/";

/// Has a server accept transactions.
pub(crate) fn accept(remote: &Remote) {
    remote.answer(SEND, |_| (200, json!({ "pdus": {} })));
}

/// The events that a server was sent, in their order, each once.
fn sent(remote: &Remote) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let transactions = remote.asked(SEND).into_iter();
    let bodies = transactions.map(|it| serde_json::from_slice::<Value>(&it.body).expect("JSON"));
    let events = bodies.flat_map(|it| it["pdus"].as_array().expect("events").clone());
    events.filter(|it| seen.insert(it["signatures"].to_string())).collect()
}

/// Waits until the server was sent an event with this text, and gives all texts.
async fn until(remote: &Remote, text: &str) -> Vec<String> {
    let found = async {
        loop {
            let sent = sent(remote);
            let texts = sent.iter().filter_map(|it| it["content"]["body"].as_str());
            let texts: Vec<_> = texts.map(str::to_owned).collect();
            if texts.iter().any(|it| it == text) {
                return texts;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("{text:?} was not sent: {:?}", sent(remote)))
}

/// A room of Alice's that a user of each of these servers joins by way of us.
pub(crate) async fn shared(remotes: &[&Remote], server: &Server) -> (User, Vec<PeerRoom>) {
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    let mut known = Vec::new();
    for remote in remotes {
        known.push(join(remote, server, &alice, &room, "carol").await);
    }
    (alice, known)
}

/// The same of two servers, which accept transactions.
async fn shared_by_two(one: Remote, server: &Server) -> (Remote, Remote, User, Vec<PeerRoom>) {
    let other = Remote::start();
    accept(&one);
    accept(&other);
    let (alice, rooms) = shared(&[&one, &other], server).await;
    (one, other, alice, rooms)
}

/// Alice says something before anything else happens, and a server hears it.
async fn said_before(alice: &User, room: &PeerRoom, remote: &Remote) {
    alice.say(&room.id, "before").await;
    until(remote, "before").await;
}

pub(crate) async fn join(
    remote: &Remote,
    server: &Server,
    alice: &User,
    room: &str,
    localpart: &str,
) -> PeerRoom {
    let user = remote.peer.user(localpart);
    let mut known = PeerRoom::of(&remote.peer, alice, room).await;
    let versions = "?ver=10&ver=11&ver=12";
    let make = format!("/_matrix/federation/v1/make_join{}{versions}", path([room, &user]));
    let made = remote.get(server, &make).ok().await;
    let event = known.complete(&made["event"]);
    let send = format!("/_matrix/federation/v2/send_join{}", path([room, &event.id]));
    remote.put(server, &send, &event.pdu).ok().await;
    known
}

async fn f6_messages_reach_the_servers_in_the_room(server: &Server) {
    let (one, other, alice, rooms) = shared_by_two(Remote::start(), server).await;
    let room = &rooms[0].id;
    for text in ["one", "two"] {
        let id = alice.say(room, text).await;
        for (remote, known) in [&one, &other].into_iter().zip(&rooms) {
            until(remote, text).await;
            let event = sent(remote).pop().expect("an event");
            assert_eq!(known.ids(&json!([event])), std::slice::from_ref(&id));
        }
    }
    alice.set_state(room, "m.room.topic", "", &json!({ "topic": "x" })).await;
    alice.say(room, "three").await;
    until(&one, "three").await;
    let kinds: Vec<_> =
        sent(&one).iter().map(|it| it["type"].as_str().map(str::to_owned)).collect();
    let topic = Some("m.room.topic".to_owned());
    assert!(kinds.contains(&topic), "{kinds:?}");
    let asked = one.asked(SEND).pop().expect("a transaction");
    assert_eq!(asked.method, "PUT");
    let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
    assert_eq!(body["origin"], "localhost");
    // What was before the join is nothing that is sent.
    let texts = until(&other, "three").await;
    assert_eq!(texts, ["one", "two", "three"]);
}

/// The room tells once that something waits, however much comes after that.
async fn what_is_said_while_a_transaction_is_under_way_is_sent_whole(server: &Server) {
    let remote = Remote::start();
    accept(&remote);
    let (alice, rooms) = shared(&[&remote], server).await;
    let is_said = Arc::new(AtomicBool::new(false));
    let waits_for = Arc::clone(&is_said);
    remote.answer(SEND, move |_| {
        while !waits_for.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        (200, json!({ "pdus": {} }))
    });
    alice.say_many(&rooms[0].id, 120).await;
    is_said.store(true, Ordering::SeqCst);
    assert_eq!(until(&remote, "message 119").await.len(), 120);
}

async fn a_burst_arrives_whole_and_in_order(server: &Server) {
    let remote = Remote::start();
    accept(&remote);
    let (alice, rooms) = shared(&[&remote], server).await;
    let said = alice.say_many(&rooms[0].id, 120).await;
    alice.say(&rooms[0].id, "the end").await;
    until(&remote, "the end").await;
    let events: Vec<_> =
        sent(&remote).into_iter().filter(|it| it["type"] == "m.room.message").collect();
    let ids = rooms[0].ids(&Value::Array(events));
    assert_eq!(ids[..120], said);
    for asked in remote.asked(SEND) {
        let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
        assert!(body["pdus"].as_array().is_some_and(|it| it.len() <= 50), "{body}");
    }
}

async fn t15b_a_server_whose_users_have_left_hears_no_more(server: &Server) {
    let (one, other, alice, rooms) = shared_by_two(Remote::start(), server).await;
    said_before(&alice, &rooms[0], &one).await;
    let room = &rooms[0].id;
    let kick = json!({ "user_id": one.peer.user("carol"), "reason": "enough" });
    alice.post(path(["rooms", room, "kick"])).json(&kick).ok().await;
    alice.say(room, "after").await;
    until(&other, "after").await;
    let kicked = async {
        loop {
            let is_kick = |it: &Value| it["content"]["reason"] == "enough";
            if sent(&one).iter().any(is_kick) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, kicked).await.expect("the kick is sent");
    alice.say(room, "later").await;
    until(&other, "later").await;
    let texts: Vec<_> = sent(&one).iter().map(|it| it["content"]["body"].clone()).collect();
    assert!(!texts.contains(&json!("after")) && !texts.contains(&json!("later")), "{texts:?}");
    // Who comes back hears what is said from then on.
    join(&one, server, &alice, room, "dave").await;
    alice.say(room, "welcome back").await;
    let texts = until(&one, "welcome back").await;
    assert_eq!(texts, ["before", "welcome back"]);
}

async fn t15b_events_of_other_servers_are_not_sent_on(server: &Server) {
    let (one, other, alice, mut rooms) = shared_by_two(Remote::start(), server).await;
    let hello = rooms[0].add(Draft::message(&one.peer.user("carol"), "from one"));
    let body = json!({ "origin": one.peer.name, "origin_server_ts": 1, "pdus": [hello.pdu] });
    one.put(server, &format!("{SEND}1"), &body).ok().await;
    alice.is_shown(&rooms[0].id, &hello.id, &message("from one")).await;
    alice.say(&rooms[0].id, "from us").await;
    assert_eq!(until(&other, "from us").await, ["from us"]);
    assert_eq!(until(&one, "from us").await, ["from us"]);
}

async fn what_comes_by_way_of_us_is_handed_on(server: &Server) {
    let (one, other) = (Remote::start(), Remote::start());
    accept(&one);
    accept(&other);
    let (alice, rooms) = shared(&[&one], server).await;
    let room = &rooms[0].id;
    let known = join(&other, server, &alice, room, "dave").await;
    alice.say(room, "hello").await;
    until(&one, "hello").await;
    let joins: Vec<_> = sent(&one).into_iter().filter(|it| it["type"] == "m.room.member").collect();
    assert_eq!(rooms[0].ids(&Value::Array(joins)), [known.end().id]);
}

async fn t15b_a_server_that_the_room_keeps_out_is_sent_nothing(server: &Server) {
    let (one, other, alice, rooms) = shared_by_two(Remote::start_at_address(), server).await;
    said_before(&alice, &rooms[0], &one).await;
    let room = &rooms[0].id;
    let acl = json!({ "allow": ["*"], "allow_ip_literals": false });
    alice.set_state(room, "m.room.server_acl", "", &acl).await;
    alice.say(room, "after").await;
    until(&other, "after").await;
    assert_eq!(until(&one, "before").await, ["before"]);
}

async fn t4_what_was_sent_to_a_server_that_did_not_answer_is_sent_again(server: &Server) {
    let remote = Remote::start();
    let is_there = Arc::new(AtomicBool::new(false));
    let answers = is_there.clone();
    remote.answer(SEND, move |_| match answers.load(Ordering::SeqCst) {
        true => (200, json!({ "pdus": {} })),
        false => (500, json!({ "errcode": "M_UNKNOWN", "error": "down" })),
    });
    let (alice, rooms) = shared(&[&remote], server).await;
    let room = &rooms[0].id;
    for text in ["one", "two", "three"] {
        alice.say(room, text).await;
    }
    until(&remote, "one").await;
    let before = remote.asked(SEND).len();
    alice.say(room, "four").await;
    sleep(Duration::from_millis(300)).await;
    assert!(remote.asked(SEND).len() <= before + 1, "it is left alone for a while");
    is_there.store(true, Ordering::SeqCst);
    // It shows that it is there.
    let empty = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [] });
    remote.put(server, &format!("{SEND}1"), &empty).ok().await;
    assert_eq!(until(&remote, "four").await, ["one", "two", "three", "four"]);
}

async fn t4_what_waits_survives_a_crash(host: Host) {
    let remote = Remote::start();
    let is_there = Arc::new(AtomicBool::new(false));
    let answers = is_there.clone();
    remote.answer(SEND, move |_| match answers.load(Ordering::SeqCst) {
        true => (200, json!({ "pdus": {} })),
        false => (503, json!({ "errcode": "M_UNKNOWN", "error": "down" })),
    });
    let mut server = Server::start(host, Options::default());
    let (alice, rooms) = shared(&[&remote], &server).await;
    alice.say(&rooms[0].id, "said").await;
    until(&remote, "said").await;
    server.kill();
    is_there.store(true, Ordering::SeqCst);
    let before = remote.asked(SEND).len();
    server.restart();
    let again = async {
        while remote.asked(SEND).len() == before {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("it is sent again");
    let alice = alice.at(&server);
    alice.say(&rooms[0].id, "goes on").await;
    assert_eq!(until(&remote, "goes on").await, ["said", "goes on"]);
}
