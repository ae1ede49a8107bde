//! Rooms of other servers that users of this one join.

use skerry_tests::{
    PATIENCE, Request, Server, User, Value, encode, json, message, path,
    peer::{Draft, PeerRoom},
    remote::{Remote, join_answer},
    unique,
};
use tokio::sync::mpsc;

both_hosts![
    a_room_of_another_server_is_joined,
    a_room_is_joined_by_an_alias_of_another_server,
    another_server_is_asked_where_one_does_not_help,
    what_another_server_refuses_is_refused,
    t9c_nothing_is_signed_but_what_was_asked_for,
    s_i3_an_answer_that_is_of_no_use_leaves_nothing_behind,
    a_second_user_joins_without_anybody_being_asked,
    what_is_said_while_a_user_joins_is_shown_afterwards,
    who_comes_back_to_a_room_that_all_had_left_asks_anew,
];

const MAKE: &str = "/_matrix/federation/v1/make_join/";
const SEND: &str = "/_matrix/federation/v2/send_join/";
const TRANSACTIONS: &str = "/_matrix/federation/v1/send/";

/// The join that a server was sent.
pub(super) fn sent_join(remote: &Remote) -> Value {
    let asked = remote.asked(SEND).pop().expect("a join");
    serde_json::from_slice(&asked.body).expect("an event")
}

pub(super) fn joining(user: &User, room: &str, via: &[&Remote]) -> Request {
    let via: Vec<_> = via.iter().map(|it| format!("via={}", encode(&it.peer.name))).collect();
    user.post(format!("/join{}?{}", path([room]), via.join("&")))
}

async fn a_room_of_another_server_is_joined(server: &Server) {
    for version in ["1", "6", "11", "12"] {
        let remote = Remote::start();
        let alice = User::register(server, "alice").await;
        let mut room = PeerRoom::create(&remote.peer, version, &[("dave", 0)]);
        remote.open(&room);
        let joined = joining(&alice, &room.id, &[&remote]).ok().await;
        assert_eq!(joined["room_id"], room.id.as_str());
        let join = room.follow(&sent_join(&remote));
        assert_eq!(join.pdu["sender"], alice.id.as_str());
        assert_eq!(join.pdu["content"]["membership"], "join");
        let members = alice.get(path(["rooms", &room.id, "joined_members"])).ok().await;
        for member in [&alice.id, &remote.peer.user("carol"), &remote.peer.user("dave")] {
            assert!(members["joined"].get(member).is_some(), "version {version}: {members}");
        }
        // What they say comes here, and what is said here goes there.
        let mut watch = alice.watch().await;
        let hello = room.add(Draft::message(&remote.peer.user("carol"), "welcome"));
        let body =
            json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [hello.pdu] });
        let id = unique("txn");
        let answer = remote.put(server, &format!("{TRANSACTIONS}{id}"), &body).ok().await;
        assert_eq!(answer["pdus"][&hello.id], json!({}), "version {version}: {answer}");
        assert_eq!(watch.event(&room.id, &hello.id).await["content"], message("welcome"));
        let said = alice.say(&room.id, "thank you").await;
        let reached = remote.until(TRANSACTIONS, |it| it.text().contains("thank you")).await;
        let transaction: Value = serde_json::from_slice(&reached.body).expect("JSON");
        assert_eq!(room.ids(&transaction["pdus"]), [said], "the join is not sent again");
    }
}

async fn a_room_is_joined_by_an_alias_of_another_server(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let room = PeerRoom::create(&remote.peer, "11", &[]);
    remote.open(&room);
    let found = json!({ "room_id": room.id, "servers": [remote.peer.name] });
    remote.answer("/_matrix/federation/v1/query/directory", move |_| (200, found.clone()));
    let alias = format!("#harbor:{}", remote.peer.name);
    let resolved = alice.get(format!("/directory/room/{}", encode(&alias))).ok().await;
    assert_eq!(resolved, json!({ "room_id": room.id, "servers": [remote.peer.name] }));
    let joined = joining(&alice, &alias, &[]).ok().await;
    assert_eq!(joined["room_id"], room.id.as_str());
    let elsewhere = Remote::start();
    let unknown = format!("#nowhere:{}", elsewhere.peer.name);
    joining(&alice, &unknown, &[]).refused(502, "M_UNKNOWN").await;
}

async fn another_server_is_asked_where_one_does_not_help(server: &Server) {
    let (remote, silent, failing) = (Remote::start(), Remote::start(), Remote::start());
    failing.answer(MAKE, |_| {
        (400, json!({ "errcode": "M_UNABLE_TO_AUTHORISE_JOIN", "error": "ask others" }))
    });
    let alice = User::register(server, "alice").await;
    let room = PeerRoom::create(&remote.peer, "11", &[]);
    remote.open(&room);
    joining(&alice, &room.id, &[&silent, &failing, &remote]).ok().await;
    assert_eq!((silent.asked(MAKE).len(), failing.asked(MAKE).len()), (1, 1));
    alice.state(&room.id, "m.room.create", "").ok().await;
    // Nobody is known who could help.
    let nowhere = "!IUKuRJRBXO3Z1kQ8GFD1nqyOWjqOWYgdJ4CjMbkmvvA";
    joining(&alice, nowhere, &[]).refused(404, "M_NOT_FOUND").await;
    // Nobody listens there.
    let absent = "#nowhere:localhost:1";
    alice.get(format!("/directory/room/{}", encode(absent))).refused(404, "M_NOT_FOUND").await;
    joining(&alice, absent, &[]).refused(404, "M_NOT_FOUND").await;
    let by_absent = format!("/join{}?via=localhost:1", path([nowhere]));
    alice.post(by_absent).refused(404, "M_NOT_FOUND").await;
}

async fn what_another_server_refuses_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let cases = [
        (json!({ "errcode": "M_FORBIDDEN", "error": "you are banned" }), 403, 403, "M_FORBIDDEN"),
        (
            json!({ "errcode": "M_INCOMPATIBLE_ROOM_VERSION", "error": "x", "room_version": "99" }),
            400,
            400,
            "M_INCOMPATIBLE_ROOM_VERSION",
        ),
        // A client that reads this logs out.
        (json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "x" }), 401, 502, "M_UNKNOWN"),
        (json!({ "errcode": "M_UNKNOWN", "error": "x" }), 500, 502, "M_UNKNOWN"),
        (json!({ "room_version": "99", "event": {} }), 200, 400, "M_INCOMPATIBLE_ROOM_VERSION"),
        (json!([]), 200, 502, "M_UNKNOWN"),
    ];
    for (body, status, expected, code) in cases {
        let remote = Remote::start();
        remote.answer(MAKE, move |_| (status, body.clone()));
        let room = format!("!{}:{}", unique("room"), remote.peer.name);
        joining(&alice, &room, &[]).refused(expected, code).await;
    }
}

async fn t9c_nothing_is_signed_but_what_was_asked_for(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let remote = Remote::start();
    let room = PeerRoom::create(&remote.peer, "11", &[]);
    remote.open(&room);
    let others = [
        Draft::join(&bob.id),
        Draft::member(&alice.id, &bob.id, "invite"),
        Draft::member(&alice.id, &alice.id, "leave"),
        Draft::message(&alice.id, "never said"),
        Draft::join(&alice.id).with("room_id", json!("!elsewhere:localhost")),
        Draft::join(&alice.id).with("prev_events", json!(vec!["$x"; 21])),
        Draft::join(&alice.id).with("auth_events", json!("all")),
        Draft::join(&alice.id).with("depth", json!("deep")),
    ];
    for other in others {
        let event = room.clone().prepare(other);
        let answer = json!({ "room_version": "11", "event": event });
        remote.answer(MAKE, move |_| (200, answer.clone()));
        joining(&alice, &room.id, &[&remote]).refused(502, "M_UNKNOWN").await;
    }
    assert!(remote.asked(SEND).is_empty(), "nothing was signed");
}

/// S-I3
async fn s_i3_an_answer_that_is_of_no_use_leaves_nothing_behind(server: &Server) {
    let alice = User::register(server, "alice").await;
    let remote = Remote::start();
    let room = PeerRoom::create(&remote.peer, "11", &[]);
    remote.open(&room);
    let whole = join_answer(&room);
    let create = room.state("m.room.create", "").pdu;
    let without_create = |events: &Value| -> Value {
        events.as_array().expect("events").iter().filter(|it| **it != create).cloned().collect()
    };
    let answers = [
        json!({}),
        json!({ "state": [], "auth_chain": [] }),
        json!({ "state": {}, "auth_chain": 3 }),
        json!({ "state": [null, 3, "x", {}], "auth_chain": whole["auth_chain"] }),
        json!({ "state": without_create(&whole["state"]),
            "auth_chain": without_create(&whole["auth_chain"]) }),
        join_answer(&PeerRoom::create(&remote.peer, "11", &[])),
    ];
    for answer in answers {
        remote.answer(SEND, move |_| (200, answer.clone()));
        let reply = joining(&alice, &room.id, &[&remote]).send().await;
        assert!((400..=502).contains(&reply.status) && reply.status != 500, "{reply}");
        alice.state(&room.id, "m.room.create", "").refused(403, "M_FORBIDDEN").await;
    }
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    alice.state(&room.id, "m.room.create", "").ok().await;
}

async fn a_second_user_joins_without_anybody_being_asked(server: &Server) {
    let remote = Remote::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = PeerRoom::create(&remote.peer, "11", &[]);
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    bob.join(&room.id).await;
    assert_eq!(remote.asked(MAKE).len(), 1);
    let reached = remote.until(TRANSACTIONS, |it| it.text().contains(&bob.id)).await;
    let transaction: Value = serde_json::from_slice(&reached.body).expect("JSON");
    assert_eq!(transaction["pdus"][0]["content"]["membership"], "join");
}

async fn who_comes_back_to_a_room_that_all_had_left_asks_anew(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    room.follow(&sent_join(&remote));
    alice.leave(&room.id).await;
    let leave = remote.until(TRANSACTIONS, |it| it.text().contains("leave")).await;
    let leave: Value = serde_json::from_slice(&leave.body).expect("JSON");
    room.follow(&leave["pdus"][0]);
    // What happens while nobody of this server is there.
    let topic = json!({ "topic": "new" });
    room.add(Draft::state(&remote.peer.user("carol"), "m.room.topic", "", topic.clone()));
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    assert_eq!(remote.asked(MAKE).len(), 2);
    assert_eq!(alice.state(&room.id, "m.room.topic", "").ok().await, topic);
}

/// Who lets a user in sends them what is said from then on, once, and the answer to the join may
/// take longer than that. Neither has it an effect that the room is asked about meanwhile.
async fn what_is_said_while_a_user_joins_is_shown_afterwards(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    // Its keys are known: it answers nothing else while it is slow.
    remote.send(server, &[]).await;
    remote.open(&room);
    let (came, mut asked_to_join) = mpsc::unbounded_channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let answer = join_answer(&room);
    remote.answer(SEND, move |asked| {
        came.send(()).expect("a test that waits");
        goes_on.recv_timeout(PATIENCE).expect("a test that goes on");
        let mut answer = answer.clone();
        answer["event"] = serde_json::from_slice(&asked.body).expect("an event");
        (200, answer)
    });
    let carol = remote.peer.user("carol");
    let hello = room.add(Draft::message(&carol, "is anybody there?"));
    remote.knows(&room);
    let said_meanwhile = async {
        asked_to_join.recv().await.expect("a join");
        let content = json!({ "room_id": room.id, "user_id": carol, "typing": true });
        let edu = json!({ "edu_type": "m.typing", "content": content });
        let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [],
            "edus": [edu] });
        let path = format!("{TRANSACTIONS}{}", unique("typing"));
        remote.put(server, &path, &body).ok().await;
        let answer = remote.send(server, &[&hello]).await;
        assert_eq!(answer["pdus"][&hello.id], json!({}), "{answer}");
        go_on.send(()).expect("a server that waits");
    };
    let mut watch = alice.watch().await;
    tokio::join!(joining(&alice, &room.id, &[&remote]).ok(), said_meanwhile);
    let shown = watch.event(&room.id, &hello.id).await;
    assert_eq!(shown["content"], message("is anybody there?"));
}
