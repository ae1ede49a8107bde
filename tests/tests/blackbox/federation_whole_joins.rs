//! What a join is answered with, read and written while it comes: large states, states without
//! members, answers that break off.

use super::federation_remote_joins::joining;
use skerry_tests::{
    Server, User, Value, encode, json, path,
    peer::{Draft, Peer, PeerRoom},
    remote::{Remote, Said, join_answer},
};
use std::collections::BTreeSet;

both_hosts![
    an_answer_is_understood_in_whatever_order_it_comes,
    an_answer_that_breaks_off_leaves_nothing_behind,
    a_large_state_is_taken_in_part_by_part,
    who_signs_with_keys_that_are_not_to_be_had_holds_nothing_up,
    a_state_without_members_is_asked_for_again,
    who_has_no_whole_state_does_not_help,
    a_server_that_does_without_members_is_given_the_others,
    heroes_of_a_room_without_a_name_are_not_left_out,
    all_is_given_to_whom_the_rest_would_be_hidden_from,
    a_large_state_is_given_part_by_part,
];

const SEND: &str = "/_matrix/federation/v2/send_join/";
const STATE: &str = "/_matrix/federation/v1/state/";

/// From now on a join is answered with this, whatever it is.
fn answer_with(remote: &Remote, path: &str, body: &str, breaks_off: bool) {
    let said = Said { status: 200, body: body.as_bytes().to_vec(), breaks_off };
    remote.say(path, move |_| said.clone());
}

async fn members(user: &User, room: &str) -> BTreeSet<String> {
    user.joined_members(room).await.into_iter().collect()
}

async fn an_answer_is_understood_in_whatever_order_it_comes(server: &Server) {
    let remote = Remote::start();
    let dave = remote.peer.user("dave");
    let room_of = || PeerRoom::create(&remote.peer, "11", &[("dave", 0)]);
    let texts: [fn(&Value) -> String; 4] = [
        |it| format!(r#"{{"state":{},"auth_chain":{}}}"#, it["state"], it["auth_chain"]),
        |it| {
            let (chain, state) = (&it["auth_chain"], &it["state"]);
            format!(
                r#"{{"x":{{"state":[3]}},"members_omitted":false,"auth_chain":{chain},"y":"]","state":{state},"z":1}}"#
            )
        },
        |it| serde_json::to_string_pretty(it).expect("JSON"),
        |it| {
            let (chain, state) = (&it["auth_chain"], &it["state"]);
            format!(r#"{{"event":null,"auth_chain":{chain},"stat\u0065":{state},"servers":[]}} "#)
        },
    ];
    for text in texts {
        let (alice, room) = (User::register(server, "alice").await, room_of());
        remote.open(&room);
        answer_with(&remote, SEND, &text(&join_answer(&room)), false);
        joining(&alice, &room.id, &[&remote]).ok().await;
        assert!(members(&alice, &room.id).await.contains(&dave));
    }
}

async fn an_answer_that_breaks_off_leaves_nothing_behind(server: &Server) {
    let alice = User::register(server, "alice").await;
    let remote = Remote::start();
    let room = PeerRoom::create(&remote.peer, "11", &[("dave", 0)]);
    remote.open(&room);
    let whole = join_answer(&room).to_string();
    let twice = whole.replacen('{', r#"{"state":[],"#, 1);
    let missing = whole.replacen("auth_chain", "auth_cha1n", 1);
    let bad = whole.replacen(r#""members_omitted":false"#, r#""members_omitted":"no""#, 1);
    let answers = [
        (&whole[..1], true),
        (&whole[..whole.len() / 2], true),
        (&whole[..whole.len() / 2], false),
        (&whole[..whole.len() - 1], false),
        (&whole[..whole.len() - 1], true),
        // All of it has come, but not the end of the body.
        (&whole, true),
        (&format!("{whole}{{}}"), false),
        (&twice, false),
        (&missing, false),
        (&bad, false),
        ("", false),
    ];
    for (text, breaks_off) in answers {
        answer_with(&remote, SEND, text, breaks_off);
        let refused = joining(&alice, &room.id, &[&remote]).refused(502, "M_UNKNOWN").await;
        alice.state(&room.id, "m.room.create", "").refused(403, "M_FORBIDDEN").await;
        assert!(refused.to_string().len() < 400, "{refused}");
    }
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    assert!(members(&alice, &room.id).await.contains(&remote.peer.user("dave")));
}

/// More than one part by number, and by bytes.
async fn a_large_state_is_taken_in_part_by_part(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let names: Vec<_> = (0..1_100).map(|it| format!("m{it}")).collect();
    let named: Vec<_> = names.iter().map(|it| (it.as_str(), 0)).collect();
    let mut room = PeerRoom::create(&remote.peer, "11", &named);
    let carol = remote.peer.user("carol");
    for berth in 0..60 {
        let content = json!({ "ship": "a".repeat(50_000) });
        room.add(Draft::state(&carol, "org.example.berth", &format!("{berth}"), content));
    }
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    assert_eq!(members(&alice, &room.id).await.len(), 1_102);
    for berth in [0, 59] {
        let found = alice.state(&room.id, "org.example.berth", &format!("{berth}")).ok().await;
        assert_eq!(found["ship"].as_str().map(str::len), Some(50_000));
    }
}

async fn who_signs_with_keys_that_are_not_to_be_had_holds_nothing_up(server: &Server) {
    let (remote, silent) = (Remote::start(), Remote::start_without_keys());
    let absent = Peer::new("localhost:1");
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[("dave", 0)]);
    for peer in [&silent.peer, &absent] {
        let join = room.signed_by(peer, Draft::join(&peer.user("erin")));
        room.follow(&join.pdu);
    }
    room.add(Draft::join(&remote.peer.user("frank")));
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    let names = ["carol", "dave", "frank"].map(|it| remote.peer.user(it));
    let expected = names.into_iter().chain([alice.id.clone()]).collect();
    assert_eq!(members(&alice, &room.id).await, expected);
}

/// The answer to a join without members, wherever it says so.
fn without_members(room: &PeerRoom, says_so_first: bool) -> String {
    let whole = join_answer(room);
    let state = whole["state"].as_array().expect("events").iter();
    let state: Vec<_> = state.filter(|it| it["type"] != "m.room.member").collect();
    let (state, chain) = (json!(state), &whole["auth_chain"]);
    let omitted = format!(r#""members_omitted":true,"servers_in_room":["{}"]"#, room.peer.name);
    match says_so_first {
        true => format!(r#"{{{omitted},"state":{state},"auth_chain":{chain}}}"#),
        false => format!(r#"{{"state":{state},"auth_chain":{chain},{omitted}}}"#),
    }
}

async fn a_state_without_members_is_asked_for_again(server: &Server) {
    for says_so_first in [true, false] {
        let remote = Remote::start();
        let alice = User::register(server, "alice").await;
        let room = PeerRoom::create(&remote.peer, "11", &[("dave", 0)]);
        remote.open(&room);
        answer_with(&remote, SEND, &without_members(&room, says_so_first), false);
        let whole = join_answer(&room);
        let state = json!({ "pdus": whole["state"], "auth_chain": whole["auth_chain"] });
        remote.answer(STATE, move |_| (200, state.clone()));
        joining(&alice, &room.id, &[&remote]).ok().await;
        assert!(members(&alice, &room.id).await.contains(&remote.peer.user("dave")));
        let asked = remote.asked(SEND).pop().expect("a join");
        assert!(!asked.path.contains("omit_members"), "{}", asked.path);
        // The state before the join.
        let join: Value = serde_json::from_slice(&asked.body).expect("an event");
        let join = room.clone().follow(&join).id;
        let asked = remote.asked(STATE).pop().expect("a question");
        assert!(asked.path.ends_with(&format!("?event_id={}", encode(&join))), "{}", asked.path);
    }
}

async fn who_has_no_whole_state_does_not_help(server: &Server) {
    let (remote, other) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let room = PeerRoom::create(&remote.peer, "11", &[("dave", 0)]);
    for server in [&remote, &other] {
        server.open(&room);
    }
    answer_with(&remote, SEND, &without_members(&room, false), false);
    joining(&alice, &room.id, &[&remote]).refused(502, "M_UNKNOWN").await;
    alice.state(&room.id, "m.room.create", "").refused(403, "M_FORBIDDEN").await;
    joining(&alice, &room.id, &[&remote, &other]).ok().await;
    assert!(members(&alice, &room.id).await.contains(&remote.peer.user("dave")));
    assert_eq!((remote.asked(SEND).len(), other.asked(SEND).len()), (2, 1));
}

/// Has `@carol` join a room of this server, and gives what her server is answered: the room as it
/// knows it then, and the answer.
async fn join(
    remote: &Remote,
    server: &Server,
    (alice, room): (&User, &str),
    query: &str,
) -> (PeerRoom, Value) {
    let carol = remote.peer.user("carol");
    let mut known = PeerRoom::of(&remote.peer, alice, room).await;
    let make = format!("/_matrix/federation/v1/make_join{}?ver=11", path([room, &carol]));
    let made = remote.get(server, &make).ok().await;
    let event = known.complete(&made["event"]);
    let send = format!("/_matrix/federation/v2/send_join{}{query}", path([room, &event.id]));
    let answer = remote.put(server, &send, &event.pdu).ok().await;
    (known, answer)
}

fn keys_of(events: &Value) -> BTreeSet<(String, String)> {
    let text = |it: &Value| it.as_str().expect("text").to_owned();
    let events = events.as_array().expect("events").iter();
    events.map(|it| (text(&it["type"]), text(&it["state_key"]))).collect()
}

fn members_in(events: &Value) -> BTreeSet<String> {
    let keys = keys_of(events).into_iter();
    keys.filter(|it| it.0 == "m.room.member").map(|it| it.1).collect()
}

/// A state and its auth chain authorize themselves.
fn is_closed(known: &PeerRoom, answer: &Value) -> bool {
    let ids = |of: &str| known.ids(&answer[of]).into_iter();
    let all: BTreeSet<_> = ids("state").chain(ids("auth_chain")).collect();
    all.iter()
        .chain([&known.end().id])
        .all(|it| known.event(it).auth().iter().all(|it| all.contains(it)))
}

async fn a_server_that_does_without_members_is_given_the_others(server: &Server) {
    let remote = Remote::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let options = json!({ "preset": "public_chat", "room_version": "11", "name": "Harbor" });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    let mut was_there = BTreeSet::new();
    for (query, is_reduced) in [
        ("?omit_members=true", true),
        ("?omit_members=false", false),
        ("", false),
        ("?omit_members=true", true),
    ] {
        let (known, answer) = join(&remote, server, (&alice, &room), query).await;
        assert_eq!(answer["members_omitted"], is_reduced, "{answer}");
        // What the user was before authorizes the join.
        let before = was_there.clone();
        was_there.insert(remote.peer.user("carol"));
        assert!(is_closed(&known, &answer), "{answer}");
        assert!(keys_of(&answer["state"]).contains(&("m.room.name".to_owned(), String::new())));
        let ids = |of: &str| -> BTreeSet<_> { known.ids(&answer[of]).into_iter().collect() };
        let is_said_twice = !ids("state").is_disjoint(&ids("auth_chain"));
        assert_eq!(is_said_twice, !is_reduced, "{answer}");
        match is_reduced {
            true => {
                assert_eq!(members_in(&answer["state"]), before);
                let mut servers = answer["servers_in_room"].as_array().expect("servers").clone();
                servers.sort_by_key(ToString::to_string);
                assert_eq!(servers, ["localhost"], "{answer}");
            }
            false => {
                assert!(members_in(&answer["state"]).contains(&bob.id), "{answer}");
                assert!(answer.get("servers_in_room").is_none(), "{answer}");
            }
        }
        // The rest is there for the asking.
        let before = known.end().prev().remove(0);
        let query = format!("{}?event_id={}", path([&room]), encode(&before));
        let ids =
            remote.get(server, &format!("/_matrix/federation/v1/state_ids{query}")).ok().await;
        assert!(!ids["pdu_ids"].as_array().expect("IDs").is_empty());
        remote.ask_for(server, "leave", &mut known.clone(), &remote.peer.user("carol")).await.ok();
    }
}

async fn heroes_of_a_room_without_a_name_are_not_left_out(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let options = json!({ "preset": "public_chat", "room_version": "11" });
    let room = alice.create_room(&options).await;
    let full = |answer: &Value| answer["members_omitted"] == false;
    let (known, answer) = join(&remote, server, (&alice, &room), "?omit_members=true").await;
    assert!(full(&answer), "there is nobody but a hero: {answer}");
    assert_eq!(members_in(&answer["state"]), BTreeSet::from([alice.id.clone()]));
    remote.ask_for(server, "leave", &mut known.clone(), &remote.peer.user("carol")).await.ok();
    for _ in 0..7 {
        User::register(server, "bob").await.join(&room).await;
    }
    let (known, answer) = join(&remote, server, (&alice, &room), "?omit_members=true").await;
    assert!(!full(&answer), "{answer}");
    let mut members = members_in(&answer["state"]);
    assert!(members.remove(&remote.peer.user("carol")), "what she was before: {answer}");
    assert_eq!(members.len(), 5, "{answer}");
    assert!(is_closed(&known, &answer), "{answer}");
}

async fn all_is_given_to_whom_the_rest_would_be_hidden_from(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let hidden = json!({ "type": "m.room.history_visibility",
        "content": { "history_visibility": "joined" } });
    let options = json!({ "preset": "public_chat", "room_version": "11", "name": "Harbor",
        "initial_state": [hidden] });
    let room = alice.create_room(&options).await;
    let (_, answer) = join(&remote, server, (&alice, &room), "?omit_members=true").await;
    assert_eq!(answer["members_omitted"], false, "{answer}");
    assert!(members_in(&answer["state"]).contains(&alice.id), "{answer}");
}

/// More than a room gives at a time.
async fn a_large_state_is_given_part_by_part(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let options = json!({ "preset": "public_chat", "room_version": "11" });
    let room = alice.create_room(&options).await;
    for berth in 0..60 {
        let content = json!({ "ship": "a".repeat(50_000) });
        alice.set_state(&room, "org.example.berth", &format!("{berth}"), &content).await;
    }
    let (known, answer) = join(&remote, server, (&alice, &room), "").await;
    assert!(is_closed(&known, &answer));
    let berths = keys_of(&answer["state"]).into_iter().filter(|it| it.0 == "org.example.berth");
    assert_eq!(berths.count(), 60);
    // Servers that do not know the second version are answered the same within an array.
    let event = known.end();
    let first = format!("/_matrix/federation/v1/send_join{}", path([&room, &event.id]));
    let answered = remote.put(server, &first, &event.pdu).ok().await;
    assert_eq!(answered, json!([200, answer]));
    let state = format!("{STATE}{}?event_id={}", encode(&room), encode(&event.id));
    let state = remote.get(server, &state).ok().await;
    assert_eq!(state["pdus"], answer["state"]);
    // What authorizes the join itself is not among that.
    let chain = answer["auth_chain"].as_array().expect("events");
    let chain_of_state = state["auth_chain"].as_array().expect("events");
    assert!(chain_of_state.iter().all(|it| chain.contains(it)), "{state}");
}
