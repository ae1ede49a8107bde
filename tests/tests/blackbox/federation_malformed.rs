//! Servers that answer what is asked of them with anything but an answer (S-I3): a client is told
//! that the other server did not help, and nothing of it is kept.

use skerry_tests::{
    Reply, Server, User, Value, encode, json, message, path,
    peer::{Draft, PeerRoom},
    remote::{Asked, Remote, in_a_day_ms, join_answer},
    unique,
};

both_hosts![
    s_i3_what_clients_ask_of_other_servers_fails_softly,
    s_i3_what_is_no_http_fails_softly,
    s_i3_a_join_is_made_of_nothing_malformed,
    s_i3_a_join_takes_no_malformed_event_for_state,
    s_i3_a_knock_is_made_of_nothing_malformed,
    s_i3_an_invitation_is_ended_whatever_its_server_answers,
    s_i3_an_invitation_needs_a_signature_that_is_one,
    s_i3_what_a_room_misses_is_filled_with_nothing_malformed,
    s_i3_history_is_filled_with_nothing_malformed,
    s_i3_events_are_sent_whatever_is_answered,
    s_i3_keys_that_are_malformed_sign_nothing,
];

const V1: &str = "/_matrix/federation/v1";
const V2: &str = "/_matrix/federation/v2";
const KEYS: &str = "/_matrix/key/v2/server";

/// A wrong answer.
#[derive(Clone, Debug)]
enum Flawed {
    /// JSON of another form.
    Json(Value),
    /// A body that is no JSON, or none that can be read.
    Body(Vec<u8>),
    /// Something else than an HTTP response.
    Bytes(Vec<u8>),
}

impl Flawed {
    /// From now on questions whose paths begin so are answered so.
    fn give(&self, remote: &Remote, path: &str) {
        match self.clone() {
            Self::Json(json) => remote.answer(path, move |_| (200, json.clone())),
            Self::Body(body) => {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
                );
                let bytes = [head.into_bytes(), body].concat();
                remote.answer_bytes(path, move |_| bytes.clone());
            }
            Self::Bytes(bytes) => remote.answer_bytes(path, move |_| bytes.clone()),
        }
    }

    /// As much of it as helps whoever reads that a test failed.
    fn shown(&self) -> String {
        format!("{self:?}").chars().take(200).collect()
    }
}

/// Bodies that are no object of JSON.
fn bodies() -> Vec<Flawed> {
    let deep = |open: &str| open.repeat(50_000);
    let texts = [
        "",
        "null",
        "3",
        "\"x\"",
        "[]",
        "{",
        "{\"a\"",
        "<html></html>",
        "{}{}",
        "{\"a\":1e999}",
        "{\"a\":\"\\ud800\"}",
        "\u{feff}{}",
    ];
    let texts = texts.iter().map(|it| it.as_bytes().to_vec());
    let others = [
        vec![0xff, 0xfe, 0x00],
        deep("[").into_bytes(),
        deep("{\"a\":").into_bytes(),
        format!("{{\"a\":{}}}", "9".repeat(10_000)).into_bytes(),
    ];
    texts.chain(others).map(Flawed::Body).collect()
}

/// An answer of which these fields are not what they should be.
fn forms(honest: &Value, fields: &[&str]) -> Vec<Flawed> {
    let wrong = [
        json!(null),
        json!(-1),
        json!("x"),
        json!([]),
        json!({}),
        json!([null]),
        json!([{}]),
        json!(["x", 3, [[]]]),
        json!({ "a": { "b": [] } }),
    ];
    let mut found = vec![Flawed::Json(json!({}))];
    for field in fields {
        let mut without = honest.clone();
        without.as_object_mut().expect("an object").remove(*field);
        found.push(Flawed::Json(without));
        for wrong in wrong.iter().filter(|it| **it != honest[*field]) {
            let mut flawed = honest.clone();
            flawed[*field] = wrong.clone();
            found.push(Flawed::Json(flawed));
        }
    }
    found
}

/// All of these.
fn flaws(honest: &Value, fields: &[&str]) -> Vec<Flawed> {
    bodies().into_iter().chain(forms(honest, fields)).collect()
}

/// What is no HTTP response, or none that ends.
fn no_http() -> Vec<Flawed> {
    let head = "HTTP/1.1 200 OK\r\n";
    let texts = [
        String::new(),
        "SSH-2.0-nonsense\r\n\r\n".to_owned(),
        format!("{head}Content-Length: 100\r\n\r\n{{}}"),
        format!("{head}Content-Length: 99999999999999999999\r\n\r\n{{}}"),
        format!("{head}Content-Length: 1000000000000\r\n\r\n{{}}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nZZ\r\n{{}}\r\n0\r\n\r\n"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{{}}"),
        format!("{head}X: {}\r\nContent-Length: 2\r\n\r\n{{}}", "x".repeat(1 << 20)),
        "HTTP/1.1 302 Found\r\nLocation: https://localhost:1/\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        format!("{head}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}"),
    ];
    texts.into_iter().map(|it| Flawed::Bytes(it.into_bytes())).collect()
}

/// Asserts that a client was told what it may be told: that another server did not help.
fn assert_soft(reply: &Reply, flawed: &Flawed) {
    let is_soft = reply.status < 500 || reply.status == 502;
    assert!(is_soft, "{reply} after {}", flawed.shown());
    if reply.status != 200 {
        assert!(reply.errcode().starts_with("M_"), "{reply} after {}", flawed.shown());
        assert!(reply.errcode() != "M_UNKNOWN_TOKEN", "{reply}");
    }
}

/// Has a server answer questions in each of these ways, and asks what leads to them.
async fn each(
    remote: &Remote,
    question: &str,
    flaws: Vec<Flawed>,
    ask: impl AsyncFn() -> Reply,
) -> Vec<(Flawed, Reply)> {
    let mut replies = Vec::new();
    for flawed in flaws {
        let before = remote.asked(question).len();
        flawed.give(remote, question);
        let reply = ask().await;
        assert_soft(&reply, &flawed);
        assert!(remote.asked(question).len() > before, "{question} was not asked: {reply}");
        replies.push((flawed, reply));
    }
    replies
}

/// Asserts that all were refused.
fn assert_refused(replies: &[(Flawed, Reply)]) {
    for (flawed, reply) in replies {
        assert_ne!(reply.status, 200, "{reply} after {}", flawed.shown());
    }
}

async fn s_i3_what_clients_ask_of_other_servers_fails_softly(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let name = encode(&remote.peer.name);
    let there = format!("!{}:{}", unique("room"), remote.peer.name);
    let profile = json!({ "displayname": "Carol" });
    let directory = json!({ "room_id": there, "servers": [remote.peer.name] });
    let rooms = json!({ "chunk": [], "total_room_count_estimate": 0, "next_batch": "x" });
    let tree = json!({ "room": { "room_id": there, "num_joined_members": 1, "children_state": [],
        "world_readable": false, "guest_can_join": false }, "children": [],
        "inaccessible_children": [] });
    let questions = [
        (
            "query/profile",
            profile,
            vec!["displayname"],
            path(["profile", &remote.peer.user("carol")]),
        ),
        (
            "query/directory",
            directory,
            vec!["room_id", "servers"],
            path(["directory", "room", &format!("#harbor:{}", remote.peer.name)]),
        ),
        (
            "publicRooms",
            rooms,
            vec!["chunk", "next_batch", "total_room_count_estimate"],
            format!("/publicRooms?server={name}"),
        ),
        (
            "hierarchy/",
            tree,
            vec!["room", "children"],
            format!("/_matrix/client/v1{}?via={name}", path(["room_summary", &there])),
        ),
    ];
    for (question, honest, fields, asked) in questions {
        let question = format!("{V1}/{question}");
        each(&remote, &question, flaws(&honest, &fields), async || alice.get(&asked).send().await)
            .await;
    }
}

/// A server that speaks so is left alone for a while: each is another one.
async fn s_i3_what_is_no_http_fails_softly(server: &Server) {
    let alice = User::register(server, "alice").await;
    for flawed in no_http() {
        let remote = Remote::start();
        let carol = path(["profile", &remote.peer.user("carol")]);
        let question = format!("{V1}/query/profile");
        let ask = async || alice.get(&carol).send().await;
        each(&remote, &question, vec![flawed.clone()], ask).await;
        let remote = Remote::start();
        let join = joining(&remote, &format!("!{}:{}", unique("room"), remote.peer.name));
        let ask = async || alice.post(&join).send().await;
        let question = format!("{V1}/make_join/");
        assert_refused(&each(&remote, &question, vec![flawed], ask).await);
    }
}

fn joining(remote: &Remote, room: &str) -> String {
    format!("/join{}?via={}", path([room]), encode(&remote.peer.name))
}

/// Asserts that nothing of a room is here.
async fn is_not_here(alice: &User, room: &str) {
    alice.state(room, "m.room.create", "").refused(403, "M_FORBIDDEN").await;
    let sync = alice.sync().filter(&json!({ "room": { "include_leave": true } })).get().await;
    for section in ["join", "invite", "knock", "leave"] {
        assert!(sync.room(section, room).is_none(), "{section}: {}", sync.json);
    }
}

async fn s_i3_a_join_is_made_of_nothing_malformed(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    // What allowed this one is no part of the state: the auth chain is needed.
    let carol = remote.peer.user("carol");
    let levels = json!({ "users": { &carol: 100 }, "ban": 60 });
    room.add(Draft::state(&carol, "m.room.power_levels", "", levels));
    let join = joining(&remote, &room.id);
    let ask = async || alice.post(&join).send().await;
    let event = room.clone().prepare(Draft::join(&alice.id));
    let made = json!({ "room_version": "11", "event": event });
    let replies =
        each(&remote, &format!("{V1}/make_join/"), flaws(&made, &["room_version", "event"]), ask)
            .await;
    assert_refused(&replies);
    // Of the event, too.
    let fields = ["type", "sender", "state_key", "room_id", "prev_events", "auth_events", "depth"];
    let events = forms(&made["event"], &fields).into_iter().map(|it| match it {
        Flawed::Json(event) => Flawed::Json(json!({ "room_version": "11", "event": event })),
        other => other,
    });
    let is_well_formed = |it: &Flawed| {
        matches!(it, Flawed::Json(it)
        if it["event"]["prev_events"] == json!([]) || it["event"]["auth_events"] == json!([]))
    };
    let events: Vec<_> = events.filter(|it| !is_well_formed(it)).collect();
    assert_refused(&each(&remote, &format!("{V1}/make_join/"), events, ask).await);
    is_not_here(&alice, &room.id).await;
    remote.open(&room);
    let answer = join_answer(&room);
    let question = format!("{V2}/send_join/");
    let replies = each(&remote, &question, flaws(&answer, &["state", "auth_chain"]), ask).await;
    assert_refused(&replies);
    is_not_here(&alice, &room.id).await;
    remote.open(&room);
    alice.post(&join).ok().await;
    alice.state(&room.id, "m.room.create", "").ok().await;
}

/// What is left out of a state is not in it; without what everything builds on there is none.
async fn s_i3_a_join_takes_no_malformed_event_for_state(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let question = format!("{V2}/send_join/");
    let kinds = ["m.room.create", "m.room.member", "m.room.power_levels", "m.room.join_rules"];
    for kind in kinds.into_iter().chain(["m.room.history_visibility"]) {
        for field in ["auth_events", "signatures", "sender", "type", "room_id", "content"] {
            let room = PeerRoom::create(&remote.peer, "11", &[]);
            remote.open(&room);
            let mut answer = join_answer(&room);
            let events = answer["state"].as_array_mut().expect("events").iter_mut();
            let wrong = events.filter(|it| it["type"] == kind);
            wrong.for_each(|it| it[field] = json!([[3]]));
            let join = joining(&remote, &room.id);
            let ask = async || alice.post(&join).send().await;
            let (flawed, reply) =
                each(&remote, &question, vec![Flawed::Json(answer)], ask).await.remove(0);
            if reply.status == 200 {
                assert!(kind != "m.room.create", "{reply} after {}", flawed.shown());
                let state = alice.all_state(&room.id).await;
                let is_wrong = |it: &Value| it["type"] == kind && it["sender"] != alice.id.as_str();
                let is_redacted = |it: &Value| field == "content" && it["content"][0].is_null();
                assert!(
                    state.iter().all(|it| !is_wrong(it) || is_redacted(it)),
                    "{kind} {field}: {state:?}"
                );
            } else {
                is_not_here(&alice, &room.id).await;
            }
        }
    }
}

async fn s_i3_a_knock_is_made_of_nothing_malformed(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let rule = json!({ "join_rule": "knock" });
    room.add(Draft::state(&remote.peer.user("carol"), "m.room.join_rules", "", rule));
    let knock = format!("/knock{}?via={}", path([&room.id]), encode(&remote.peer.name));
    let ask = async || alice.post(&knock).send().await;
    let event = room.clone().prepare(Draft::member(&alice.id, &alice.id, "knock"));
    let made = json!({ "room_version": "11", "event": event });
    let fields = ["room_version", "event"];
    assert_refused(&each(&remote, &format!("{V1}/make_knock/"), flaws(&made, &fields), ask).await);
    is_not_here(&alice, &room.id).await;
    remote.hear_knocks(&room);
    // It is known there, whatever is said of the room.
    let question = format!("{V1}/send_knock/");
    each(&remote, &question, bodies(), ask).await;
    is_not_here(&alice, &room.id).await;
}

async fn s_i3_an_invitation_is_ended_whatever_its_server_answers(server: &Server) {
    let remote = Remote::start();
    for question in ["make_leave", "send_leave"] {
        for flawed in flaws(&json!({ "room_version": "11", "event": {} }), &["event"]) {
            let alice = User::register(server, "alice").await;
            let mut room = PeerRoom::create(&remote.peer, "11", &[]);
            let carol = remote.peer.user("carol");
            let invite = room.add(Draft::member(&carol, &alice.id, "invite"));
            remote.inviting(server, &room, &invite).ok().await;
            remote.let_go(&room);
            let version = if question == "make_leave" { V1 } else { V2 };
            flawed.give(&remote, &format!("{version}/{question}/"));
            alice.leave(&room.id).await;
            let sync = alice.sync().get().await;
            assert!(sync.room("invite", &room.id).is_none(), "{}", flawed.shown());
        }
    }
}

async fn s_i3_an_invitation_needs_a_signature_that_is_one(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let room = alice.private_room(&[]).await;
    let carol = remote.peer.user("carol");
    let invite = path(["rooms", &room, "invite"]);
    let ask = async || alice.post(&invite).json(&json!({ "user_id": carol })).send().await;
    let question = format!("{V2}/invite/");
    let flaws = flaws(&json!({ "event": {} }), &["event"]);
    assert_refused(&each(&remote, &question, flaws, ask).await);
    assert_eq!(alice.membership_in(&room, &carol).await, "");
}

async fn s_i3_what_a_room_misses_is_filled_with_nothing_malformed(server: &Server) {
    let missing = format!("{V1}/get_missing_events/");
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let carol = remote.peer.user("carol");
    let questions = [
        ("get_missing_events", "events"),
        ("state_ids", "pdu_ids"),
        ("state", "pdus"),
        ("event_auth", "auth_chain"),
        ("event", "pdus"),
        ("backfill", "pdus"),
    ];
    let mut all = bodies();
    for (_, field) in questions {
        all.extend(forms(&json!({ field: null }), &[field]));
    }
    for flawed in all {
        let mut room = remote.in_room_of(&alice, server).await;
        let lost = room.add(Draft::message(&carol, "lost"));
        let waits = room.add(Draft::message(&carol, "waits"));
        for (question, _) in questions {
            flawed.give(&remote, &format!("{V1}/{question}/"));
        }
        let asked = |it: &Asked| it.path.contains(&room.id[1..]);
        remote.send(server, &[&waits]).await;
        remote.until(&missing, asked).await;
        remote.until(&format!("{V1}/state_ids/"), asked).await;
        alice.is_not_shown(&room.id, &waits.id).await;
        let said = alice.say(&room.id, "undisturbed").await;
        alice.is_shown(&room.id, &said, &message("undisturbed")).await;
        // It is asked for again.
        if matches!(flawed, Flawed::Json(ref it) if it["pdus"] == json!([{}])) {
            remote.knows(&room);
            let filled = alice.sync().until("what was lost", |sync| {
                let timeline = sync.joined(&room.id)?.timeline();
                timeline.iter().any(|it| it["event_id"] == waits.id.as_str()).then_some(())
            });
            filled.await;
            alice.is_shown(&room.id, &lost.id, &message("lost")).await;
        }
    }
}

async fn s_i3_history_is_filled_with_nothing_malformed(server: &Server) {
    let question = format!("{V1}/backfill/");
    let alice = User::register(server, "alice").await;
    for flawed in flaws(&json!({ "pdus": null }), &["pdus"]) {
        let remote = Remote::start();
        let mut room = PeerRoom::create(&remote.peer, "11", &[]);
        let old = room.add(Draft::message(&remote.peer.user("carol"), "old"));
        remote.open(&room);
        alice.post(joining(&remote, &room.id)).ok().await;
        let page = alice.messages(&room.id, "b");
        let ask = async || page.clone().send().await;
        let replies = each(&remote, &question, vec![flawed], ask).await;
        assert!(replies.iter().all(|(_, it)| it.status == 200), "{replies:?}");
        alice.event(&room.id, &old.id).refused(404, "M_NOT_FOUND").await;
    }
}

async fn s_i3_events_are_sent_whatever_is_answered(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    remote.accept_transactions();
    let room = alice.public_room(&[]).await;
    remote.enter(server, &alice, &room, &remote.peer.user("carol")).await;
    let question = format!("{V1}/send/");
    for flawed in flaws(&json!({ "pdus": null }), &["pdus"]) {
        flawed.give(&remote, &question);
        let text = unique("said");
        alice.say(&room, &text).await;
        let quoted = format!("\"{text}\"");
        remote.until(&question, |it| it.text().contains(&quoted)).await;
        // Whatever it makes of that answer, it goes on when the server shows that it is there.
        remote.accept_transactions();
        remote.send(server, &[]).await;
        let next = unique("next");
        alice.say(&room, &next).await;
        let quoted = format!("\"{next}\"");
        remote.until(&question, |it| it.text().contains(&quoted)).await;
    }
}

async fn s_i3_keys_that_are_malformed_sign_nothing(server: &Server) {
    let fields = ["server_name", "verify_keys", "valid_until_ts", "signatures"];
    let published = |remote: &Remote| {
        let honest = remote.peer.published(in_a_day_ms());
        let forms = forms(&honest, &fields).into_iter().map(|it| match it {
            // Signed all the same, where that can be.
            Flawed::Json(json) if json["signatures"] == honest["signatures"] => {
                let mut unsigned = json;
                unsigned.as_object_mut().expect("an object").remove("signatures");
                Flawed::Json(remote.peer.sign_json(&unsigned))
            }
            other => other,
        });
        bodies().into_iter().chain(forms).collect::<Vec<_>>()
    };
    let count = published(&Remote::start()).len();
    for number in 0..count {
        let remote = Remote::start();
        let flawed = published(&remote).swap_remove(number);
        flawed.give(&remote, KEYS);
        let rooms = format!("{V1}/publicRooms");
        let reply = remote.get(server, &rooms).send().await;
        assert_eq!((reply.status, reply.errcode()), (401, "M_UNAUTHORIZED"), "{}", flawed.shown());
        assert!(!remote.asked(KEYS).is_empty());
    }
}
