//! Users of other servers who join, leave and knock by way of this one.

use skerry_tests::{
    Request, Server, User, Value, json, message, path,
    peer::{Draft, Event, PeerRoom},
    remote::Remote,
};
use std::collections::BTreeSet;

both_hosts![
    a_user_of_another_server_joins,
    a_join_that_is_sent_again_is_answered_alike,
    t15c_who_may_not_join_is_refused,
    t15c_a_room_that_keeps_a_server_out_knows_nothing_of_it,
    t15c_nothing_but_a_join_is_sent_as_one,
    t9a_a_server_asks_for_its_own_users,
    a_server_that_does_not_know_the_room_version_is_told_it,
    a_restricted_room_is_joined_in_the_name_of_a_member,
    t9c_nobody_is_vouched_for_who_is_not_admitted,
    a_user_of_another_server_leaves,
    a_user_of_another_server_knocks,
    a_room_that_nobody_here_is_in_is_not_joined_by_way_of_us,
];

const V1: &str = "/_matrix/federation/v1";
const V2: &str = "/_matrix/federation/v2";

/// Asks for the event by which a user of the remote server would join, leave or knock.
fn make(remote: &Remote, server: &Server, action: &str, room: &str, user: &str) -> Request {
    let versions = ["1", "2", "6", "9", "10", "11", "12"].map(|it| format!("ver={it}")).join("&");
    let query = if action == "leave" { String::new() } else { format!("?{versions}") };
    let path = format!("{V1}/make_{action}{}{query}", path([room, user]));
    remote.get(server, &path)
}

/// Sends such an event, signed.
fn send(remote: &Remote, server: &Server, action: &str, room: &str, event: &Event) -> Request {
    let version = if action == "knock" { V1 } else { V2 };
    let path = format!("{version}/send_{action}{}", path([room, &event.id]));
    remote.put(server, &path, &event.pdu)
}

/// Has a user of the remote server join: the room as that server knows it, and the answer.
async fn join(remote: &Remote, server: &Server, alice: &User, room: &str) -> (PeerRoom, Value) {
    let carol = remote.peer.user("carol");
    let mut known = PeerRoom::of(&remote.peer, alice, room).await;
    let made = make(remote, server, "join", room, &carol).ok().await;
    let event = known.complete(&made["event"]);
    let answer = send(remote, server, "join", room, &event).ok().await;
    (known, answer)
}

async fn a_user_of_another_server_joins(server: &Server) {
    let remote = Remote::start();
    for version in ["2", "10", "12"] {
        let alice = User::register(server, "alice").await;
        let options = json!({ "preset": "public_chat", "room_version": version });
        let room = alice.create_room(&options).await;
        let newest = alice.say(&room, "hello").await;
        let made = make(&remote, server, "join", &room, &remote.peer.user("carol")).ok().await;
        assert_eq!(made["room_version"], version);
        let event = &made["event"];
        assert_eq!(event["content"], json!({ "membership": "join" }), "{made}");
        assert!(event.get("signatures").is_none() && event.get("hashes").is_none(), "{made}");
        let (mut known, answer) = join(&remote, server, &alice, &room).await;
        assert_eq!(known.end().prev(), [newest]);
        let mut state: Vec<_> = alice.all_state(&room).await;
        state.retain(|it| it["state_key"] != remote.peer.user("carol"));
        let state: BTreeSet<_> =
            state.iter().filter_map(|it| it["event_id"].as_str()).map(str::to_owned).collect();
        let given: BTreeSet<_> = known.ids(&answer["state"]).into_iter().collect();
        assert_eq!(given, state, "version {version}");
        let chain: BTreeSet<_> = known.ids(&answer["auth_chain"]).into_iter().collect();
        let auth: BTreeSet<_> = known.end().auth().into_iter().collect();
        assert!(chain.is_superset(&auth), "{chain:?} {auth:?}");
        // And they are in the room.
        let mut watch = alice.watch().await;
        let hello = known.add(Draft::message(&remote.peer.user("carol"), "hello back"));
        transaction(&remote, server, &[&hello]).await;
        let seen = watch.event(&room, &hello.id).await;
        assert_eq!(seen["content"], message("hello back"));
    }
}

async fn transaction(remote: &Remote, server: &Server, events: &[&Event]) {
    let pdus: Vec<_> = events.iter().map(|it| &it.pdu).collect();
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": pdus });
    let path = format!("{V1}/send{}", path([&skerry_tests::unique("txn")]));
    let answer = remote.put(server, &path, &body).ok().await;
    for event in events {
        assert_eq!(answer["pdus"][&event.id], json!({}), "{answer}");
    }
}

async fn a_join_that_is_sent_again_is_answered_alike(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    let (known, first) = join(&remote, server, &alice, &room).await;
    alice.say(&room, "meanwhile").await;
    let second = send(&remote, server, "join", &room, &known.end()).ok().await;
    assert_eq!(second, first);
}

async fn t15c_who_may_not_join_is_refused(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let carol = remote.peer.user("carol");
    let room = alice.private_room(&[]).await;
    make(&remote, server, "join", &room, &carol).refused(403, "M_FORBIDDEN").await;
    let mut known = PeerRoom::of(&remote.peer, &alice, &room).await;
    let forged = known.add(Draft::join(&carol));
    send(&remote, server, "join", &room, &forged).refused(403, "M_FORBIDDEN").await;
    alice.is_not_shown(&room, &forged.id).await;
    make(&remote, server, "leave", &room, &carol).refused(403, "M_FORBIDDEN").await;
    make(&remote, server, "knock", &room, &carol).refused(403, "M_FORBIDDEN").await;
    let nowhere = "!nowhere:localhost";
    make(&remote, server, "join", nowhere, &carol).refused(403, "M_FORBIDDEN").await;
    // Who is banned from a public room does not come back by this way either.
    let public = alice.public_room(&[]).await;
    let mut watch = alice.watch().await;
    let (known, _) = join(&remote, server, &alice, &public).await;
    watch.event(&public, &known.end().id).await;
    let ban = alice.post(path(["rooms", &public, "ban"])).json(&json!({ "user_id": carol }));
    ban.ok().await;
    make(&remote, server, "join", &public, &carol).refused(403, "M_FORBIDDEN").await;
}

async fn t15c_a_room_that_keeps_a_server_out_knows_nothing_of_it(server: &Server) {
    let remote = Remote::start_at_address();
    let alice = User::register(server, "alice").await;
    let carol = remote.peer.user("carol");
    let room = alice.public_room(&[]).await;
    let (mut known, _) = join(&remote, server, &alice, &room).await;
    let acl = json!({ "allow": ["*"], "allow_ip_literals": false });
    alice.set_state(&room, "m.room.server_acl", "", &acl).await;
    make(&remote, server, "join", &room, &remote.peer.user("dave"))
        .refused(403, "M_FORBIDDEN")
        .await;
    let late = known.add(Draft::message(&carol, "late"));
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [late.pdu] });
    remote.put(server, &format!("{V1}/send/1"), &body).ok().await;
    alice.is_not_shown(&room, &late.id).await;
    let state =
        format!("{V1}/state_ids{}?event_id={}", path([&room]), skerry_tests::encode(&late.id));
    remote.get(server, &state).refused(403, "M_FORBIDDEN").await;
}

async fn t15c_nothing_but_a_join_is_sent_as_one(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let carol = remote.peer.user("carol");
    let room = alice.public_room(&[]).await;
    let (mut known, _) = join(&remote, server, &alice, &room).await;
    let others = [
        known.stray(Draft::message(&carol, "no join")),
        known.stray(Draft::member(&carol, &carol, "leave")),
        known.stray(Draft::member(&carol, &remote.peer.user("dave"), "join")),
        known.stray(Draft::state(&carol, "m.room.topic", "", json!({ "topic": "x" }))),
    ];
    for event in &others {
        send(&remote, server, "join", &room, event).refused(400, "M_INVALID_PARAM").await;
    }
    let join = known.stray(Draft::join(&carol));
    for action in ["leave", "knock"] {
        send(&remote, server, action, &room, &join).refused(400, "M_INVALID_PARAM").await;
    }
    let mut misnamed = join.clone();
    misnamed.id = known.end().prev().remove(0);
    send(&remote, server, "join", &room, &misnamed).refused(400, "M_INVALID_PARAM").await;
    // A room of another ID.
    let elsewhere = alice.public_room(&[]).await;
    send(&remote, server, "join", &elsewhere, &join).refused(400, "M_BAD_JSON").await;
    // What was changed after it was signed: the redacted event has no display name to show.
    let altered = join.altered(|pdu| pdu["depth"] = json!(1));
    send(&remote, server, "join", &room, &altered).refused(400, "M_INVALID_PARAM").await;
}

async fn t9a_a_server_asks_for_its_own_users(server: &Server) {
    let (remote, other) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    let victim = other.peer.user("victim");
    for action in ["join", "leave", "knock"] {
        make(&remote, server, action, &room, &victim).refused(403, "M_FORBIDDEN").await;
        make(&remote, server, action, &room, &alice.id).refused(403, "M_FORBIDDEN").await;
    }
    let mut known = PeerRoom::of(&remote.peer, &alice, &room).await;
    let forged = known.stray(Draft::join(&victim));
    send(&remote, server, "join", &room, &forged).refused(403, "M_FORBIDDEN").await;
    // An own user's join that another server has signed.
    let forged = known.signed_by(&other.peer, Draft::join(&remote.peer.user("carol")));
    send(&remote, server, "join", &room, &forged).refused(400, "M_BAD_JSON").await;
    let left = alice.membership_of(&room, &alice).await;
    assert_eq!(left, "join");
}

async fn a_server_that_does_not_know_the_room_version_is_told_it(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let options = json!({ "preset": "public_chat", "room_version": "11" });
    let room = alice.create_room(&options).await;
    for query in ["", "?ver=1&ver=10"] {
        let path = format!("{V1}/make_join{}{query}", path([&room, &remote.peer.user("carol")]));
        let refused = remote.get(server, &path).refused(400, "M_INCOMPATIBLE_ROOM_VERSION").await;
        assert_eq!(refused["room_version"], "11");
    }
}

/// A room that admits the members of another one, and that one.
async fn restricted(alice: &User) -> (String, String) {
    let club = alice.public_room(&[]).await;
    let allow = json!([{ "type": "m.room_membership", "room_id": club }]);
    let rule = json!({ "join_rule": "restricted", "allow": allow });
    let rule = json!({ "type": "m.room.join_rules", "content": rule });
    let options = json!({ "preset": "private_chat", "initial_state": [rule] });
    (alice.create_room(&options).await, club)
}

async fn a_restricted_room_is_joined_in_the_name_of_a_member(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let (room, club) = restricted(&alice).await;
    let carol = remote.peer.user("carol");
    make(&remote, server, "join", &room, &carol).refused(403, "M_FORBIDDEN").await;
    join(&remote, server, &alice, &club).await;
    let (known, answer) = join(&remote, server, &alice, &room).await;
    let content = &answer["event"]["content"];
    assert_eq!(content["join_authorised_via_users_server"], alice.id.as_str(), "{answer}");
    let signatures = answer["event"]["signatures"].as_object().expect("signatures");
    let mut signers: Vec<_> = signatures.keys().map(String::as_str).collect();
    signers.sort_unstable();
    assert_eq!(signers, ["localhost", remote.peer.name.as_str()]);
    alice.is_shown(&room, &known.end().id, content).await;
}

async fn t9c_nobody_is_vouched_for_who_is_not_admitted(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let (room, _) = restricted(&alice).await;
    let carol = remote.peer.user("carol");
    let mut known = PeerRoom::of(&remote.peer, &alice, &room).await;
    let content = json!({ "membership": "join", "join_authorised_via_users_server": alice.id });
    let mut auth = known.stray(Draft::join(&carol)).auth();
    auth.push(known.state("m.room.member", &alice.id).id);
    let forged = Draft::state(&carol, "m.room.member", &carol, content).auth(auth);
    let forged = known.stray(forged);
    let refused = send(&remote, server, "join", &room, &forged).refused(403, "M_FORBIDDEN").await;
    assert!(refused.get("event").is_none(), "{refused}");
    alice.is_not_shown(&room, &forged.id).await;
}

async fn a_user_of_another_server_leaves(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    let carol = remote.peer.user("carol");
    let (mut known, _) = join(&remote, server, &alice, &room).await;
    let made = make(&remote, server, "leave", &room, &carol).ok().await;
    let leave = known.complete(&made["event"]);
    assert_eq!(send(&remote, server, "leave", &room, &leave).ok().await, json!({}));
    assert_eq!(send(&remote, server, "leave", &room, &leave).ok().await, json!({}));
    alice.is_shown(&room, &leave.id, &json!({ "membership": "leave" })).await;
    make(&remote, server, "leave", &room, &carol).refused(403, "M_FORBIDDEN").await;
}

async fn a_user_of_another_server_knocks(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let options = json!({ "preset": "private_chat", "name": "Harbor", "initial_state": [rule] });
    let room = alice.create_room(&options).await;
    let carol = remote.peer.user("carol");
    let mut known = PeerRoom::of(&remote.peer, &alice, &room).await;
    let made = make(&remote, server, "knock", &room, &carol).ok().await;
    let knock = known.complete(&made["event"]);
    let answer = send(&remote, server, "knock", &room, &knock).ok().await;
    let shown = answer["knock_room_state"].as_array().expect("state").iter();
    let kinds: BTreeSet<_> = shown.clone().filter_map(|it| it["type"].as_str()).collect();
    assert!(kinds.contains("m.room.create") && kinds.contains("m.room.name"), "{answer}");
    assert!(shown.clone().all(|it| it["signatures"].is_object()), "{answer}");
    alice.is_shown(&room, &knock.id, &json!({ "membership": "knock" })).await;
    // Nothing else of the room is theirs.
    let state =
        format!("{V1}/state_ids{}?event_id={}", path([&room]), skerry_tests::encode(&knock.id));
    remote.get(server, &state).refused(403, "M_FORBIDDEN").await;
}

async fn a_room_that_nobody_here_is_in_is_not_joined_by_way_of_us(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    let (known, _) = join(&remote, server, &alice, &room).await;
    alice.leave(&room).await;
    let dave = remote.peer.user("dave");
    make(&remote, server, "join", &room, &dave).refused(404, "M_NOT_FOUND").await;
    send(&remote, server, "join", &room, &known.end()).refused(404, "M_NOT_FOUND").await;
}
