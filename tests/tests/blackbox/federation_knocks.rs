//! Users of this server who knock on rooms of other servers (T9c).

use skerry_tests::{
    Request, Server, Sync, User, Value, encode, events, json, path,
    peer::{Draft, PeerRoom},
    remote::Remote,
};

both_hosts![
    a_knock_on_a_room_of_another_server_is_shown_and_answered,
    a_room_is_knocked_on_by_an_alias_of_another_server,
    another_server_is_asked_where_one_does_not_help,
    what_is_shown_of_a_room_by_others_is_left_out,
    a_knock_is_retracted,
    a_knock_that_is_refused_is_gone,
    what_another_server_refuses_is_refused,
    a_reason_is_as_short_as_in_a_room_that_is_here,
    t9c_nothing_is_signed_but_the_knock_that_was_asked_for,
];

const MAKE: &str = "/_matrix/federation/v1/make_knock/";

/// A room that is knocked on.
fn closed(remote: &Remote, version: &str) -> PeerRoom {
    let mut room = PeerRoom::create(&remote.peer, version, &[]);
    let rule = json!({ "join_rule": "knock" });
    room.add(Draft::state(&remote.peer.user("carol"), "m.room.join_rules", "", rule));
    room
}

fn knocking(user: &User, room: &str, via: &[&Remote]) -> Request {
    let via: Vec<_> = via.iter().map(|it| format!("via={}", encode(&it.peer.name))).collect();
    let body = json!({ "reason": "let me in" });
    user.post(format!("/knock{}?{}", path([room]), via.join("&"))).json(&body)
}

fn knocked(sync: &Sync, room: &str) -> Option<Vec<Value>> {
    Some(events(&sync.room("knock", room)?.0["knock_state"]).to_vec())
}

async fn has_knocked(user: &User, room: &str) -> bool {
    knocked(&user.sync().get().await, room).is_some()
}

async fn a_knock_on_a_room_of_another_server_is_shown_and_answered(server: &Server) {
    for version in ["7", "12"] {
        let remote = Remote::start();
        let mut room = closed(&remote, version);
        remote.hear_knocks(&room);
        let alice = User::register(server, "alice").await;
        let mut watch = alice.watch().await;
        let answer = knocking(&alice, &room.id, &[&remote]).ok().await;
        assert_eq!(answer, json!({ "room_id": room.id }));
        let sent = remote.sent("knock").pop().expect("a knock");
        let content = &sent["content"];
        assert_eq!(
            (&content["membership"], &content["reason"]),
            (&json!("knock"), &json!("let me in"))
        );
        let knock = room.follow(&sent);
        let state = watch.until("the knock", |it| knocked(it, &room.id)).await;
        let types: Vec<_> = state.iter().filter_map(|it| it["type"].as_str()).collect();
        assert_eq!(types, ["m.room.create", "m.room.join_rules", "m.room.member"]);
        // Whoever knocks twice has knocked.
        knocking(&alice, &room.id, &[&remote]).ok().await;
        // She is let in.
        let invite = room.add(Draft::member(&remote.peer.user("carol"), &alice.id, "invite"));
        assert!(invite.auth().contains(&knock.id));
        remote.inviting(server, &room, &invite).ok().await;
        let invited = |it: &Sync| it.room("invite", &room.id).map(drop);
        watch.until("the invitation", invited).await;
        assert!(!has_knocked(&alice, &room.id).await);
        remote.open(&room);
        alice.join(&room.id).await;
    }
}

async fn a_room_is_knocked_on_by_an_alias_of_another_server(server: &Server) {
    let remote = Remote::start();
    let room = closed(&remote, "11");
    remote.hear_knocks(&room);
    let found = json!({ "room_id": room.id, "servers": [remote.peer.name] });
    remote.answer("/_matrix/federation/v1/query/directory", move |_| (200, found.clone()));
    let alice = User::register(server, "alice").await;
    let alias = format!("#harbor:{}", remote.peer.name);
    let answer = knocking(&alice, &alias, &[]).ok().await;
    assert_eq!(answer["room_id"], room.id.as_str());
    assert!(has_knocked(&alice, &room.id).await);
    let absent = "#nowhere:localhost:1";
    knocking(&alice, absent, &[]).refused(404, "M_NOT_FOUND").await;
}

async fn another_server_is_asked_where_one_does_not_help(server: &Server) {
    let (remote, silent) = (Remote::start(), Remote::start());
    let room = closed(&remote, "11");
    remote.hear_knocks(&room);
    let alice = User::register(server, "alice").await;
    knocking(&alice, &room.id, &[&silent, &remote]).ok().await;
    assert_eq!((silent.asked(MAKE).len(), remote.asked(MAKE).len()), (1, 1));
    let nowhere = "!IUKuRJRBXO3Z1kQ8GFD1nqyOWjqOWYgdJ4CjMbkmvvA";
    knocking(&alice, nowhere, &[]).refused(404, "M_NOT_FOUND").await;
    let by_absent = format!("/knock{}?via=localhost:1", path([nowhere]));
    alice.post(by_absent).json(&json!({})).refused(404, "M_NOT_FOUND").await;
}

async fn what_is_shown_of_a_room_by_others_is_left_out(server: &Server) {
    let remote = Remote::start();
    let room = closed(&remote, "12");
    remote.hear_knocks(&room);
    let rule = room.state("m.room.join_rules", "");
    let forged = rule.altered(|it| it["signatures"][&remote.peer.name]["ed25519:1"] = json!("x"));
    let stripped = json!({ "type": "m.room.name", "state_key": "", "content": {},
        "sender": remote.peer.user("carol") });
    let create = room.state("m.room.create", "").pdu;
    let shown = json!({ "knock_room_state": [forged.pdu, stripped, create] });
    remote.answer("/_matrix/federation/v1/send_knock/", move |_| (200, shown.clone()));
    let alice = User::register(server, "alice").await;
    knocking(&alice, &room.id, &[&remote]).ok().await;
    let state = knocked(&alice.sync().get().await, &room.id).expect("the knock");
    let types: Vec<_> = state.iter().filter_map(|it| it["type"].as_str()).collect();
    assert_eq!(types, ["m.room.create", "m.room.member"]);
}

async fn a_knock_is_retracted(server: &Server) {
    let remote = Remote::start();
    let mut room = closed(&remote, "11");
    remote.hear_knocks(&room);
    let alice = User::register(server, "alice").await;
    knocking(&alice, &room.id, &[&remote]).ok().await;
    room.follow(&remote.sent("knock").pop().expect("a knock"));
    remote.let_go(&room);
    alice.leave(&room.id).await;
    let sent = remote.sent("leave").pop().expect("a leave");
    assert_eq!(sent["content"]["membership"], "leave");
    assert!(!has_knocked(&alice, &room.id).await);
}

async fn a_knock_that_is_refused_is_gone(server: &Server) {
    for membership in ["leave", "ban"] {
        let remote = Remote::start();
        let mut room = closed(&remote, "11");
        remote.hear_knocks(&room);
        let alice = User::register(server, "alice").await;
        let mut watch = alice.watch().await;
        knocking(&alice, &room.id, &[&remote]).ok().await;
        room.follow(&remote.sent("knock").pop().expect("a knock"));
        let refusal = room.add(Draft::member(&remote.peer.user("carol"), &alice.id, membership));
        // What another server signs in her name says nothing.
        let other = Remote::start();
        let carol = remote.peer.user("carol");
        let forged = room.signed_by(&other.peer, Draft::member(&carol, &alice.id, membership));
        other.send(server, &[&forged]).await;
        assert!(has_knocked(&alice, &room.id).await);
        remote.send(server, &[&refusal]).await;
        watch.until("the refusal", |it| it.room("leave", &room.id).map(drop)).await;
        assert!(!has_knocked(&alice, &room.id).await);
    }
}

async fn what_another_server_refuses_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let cases = [
        (json!({ "errcode": "M_FORBIDDEN", "error": "banned" }), 403, 403, "M_FORBIDDEN"),
        (
            json!({ "errcode": "M_INCOMPATIBLE_ROOM_VERSION", "error": "x", "room_version": "99" }),
            400,
            400,
            "M_INCOMPATIBLE_ROOM_VERSION",
        ),
        (json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "x" }), 401, 502, "M_UNKNOWN"),
        (json!({ "room_version": "99", "event": {} }), 200, 400, "M_INCOMPATIBLE_ROOM_VERSION"),
        (json!({ "room_version": "11", "event": [] }), 200, 502, "M_UNKNOWN"),
    ];
    for (body, status, expected, code) in cases {
        let remote = Remote::start();
        let room = closed(&remote, "11");
        remote.hear_knocks(&room);
        remote.answer(MAKE, move |_| (status, body.clone()));
        knocking(&alice, &room.id, &[&remote]).refused(expected, code).await;
        assert!(!has_knocked(&alice, &room.id).await);
        assert!(remote.sent("knock").is_empty());
    }
}

async fn a_reason_is_as_short_as_in_a_room_that_is_here(server: &Server) {
    let remote = Remote::start();
    let mut room = closed(&remote, "11");
    remote.hear_knocks(&room);
    let alice = User::register(server, "alice").await;
    let via = encode(&remote.peer.name);
    let body = json!({ "reason": "x".repeat(2_001) });
    let knock = alice.post(format!("/knock{}?via={via}", path([&room.id]))).json(&body);
    knock.refused(413, "M_TOO_LARGE").await;
    let invite = room.add(Draft::member(&remote.peer.user("carol"), &alice.id, "invite"));
    remote.inviting(server, &room, &invite).ok().await;
    let leave = alice.post(path(["rooms", &room.id, "leave"])).json(&body);
    leave.refused(413, "M_TOO_LARGE").await;
    assert!(alice.sync().get().await.room("invite", &room.id).is_some());
}

async fn t9c_nothing_is_signed_but_the_knock_that_was_asked_for(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let remote = Remote::start();
    let room = closed(&remote, "11");
    remote.hear_knocks(&room);
    let others = [
        Draft::member(&alice.id, &alice.id, "join"),
        Draft::member(&alice.id, &alice.id, "leave"),
        Draft::member(&bob.id, &bob.id, "knock"),
        Draft::member(&alice.id, &bob.id, "knock"),
        Draft::message(&alice.id, "never said"),
        Draft::member(&alice.id, &alice.id, "knock").with("room_id", json!("!other:localhost")),
    ];
    for other in others {
        let event = room.clone().prepare(other);
        let answer = json!({ "room_version": "11", "event": event });
        remote.answer(MAKE, move |_| (200, answer.clone()));
        knocking(&alice, &room.id, &[&remote]).refused(502, "M_UNKNOWN").await;
    }
    assert!(remote.sent("knock").is_empty(), "nothing was signed");
    assert!(!has_knocked(&alice, &room.id).await);
}
