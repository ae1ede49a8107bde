//! Events that other servers ask for by their IDs alone (T15a), and what servers ask that know the
//! first version of an endpoint alone.

use skerry_tests::{
    Client, Reply, Request, Server, User, Value, encode, json, path,
    peer::{Draft, PeerRoom},
    remote::Remote,
};

both_hosts![
    an_event_is_read_by_its_id,
    an_event_of_a_room_that_was_read_lately_is_read_by_its_id,
    t15a_an_outsider_reads_no_event_by_its_id,
    t15a_who_has_left_reads_no_later_event_by_its_id,
    a_join_and_a_leave_of_the_first_version_are_answered_in_an_array,
];

const V1: &str = "/_matrix/federation/v1";

fn event(remote: &Remote, server: &Server, id: &str) -> Request {
    remote.get(server, &format!("{V1}/event/{}", encode(id)))
}

/// Asks until it is answered: a server is looked for in the rooms in which it is given events, and
/// of those it hears a moment later.
async fn until_ok(remote: &Remote, server: &Server, id: &str) -> Value {
    loop {
        let reply: Reply = event(remote, server, id).send().await;
        match reply.status {
            200 => return reply.json,
            _ => drop(reply.refused(404, "M_NOT_FOUND")),
        }
    }
}

/// A public room of Alice's that a user of the remote server has joined.
async fn shared(remote: &Remote, server: &Server) -> (User, PeerRoom) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "preset": "public_chat" })).await;
    let mut room = PeerRoom::of(&remote.peer, &alice, &room).await;
    let join = room.add(Draft::join(&remote.peer.user("carol")));
    room.accept(server, &[&join]).await;
    (alice, room)
}

async fn an_event_is_read_by_its_id(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let said = alice.say(&room.id, "hello").await;
    let known = room.read(&alice, &said).await;
    let answer = until_ok(&remote, server, &said).await;
    assert_eq!(answer["origin"], server.name());
    assert!(answer["origin_server_ts"].is_u64(), "{answer}");
    assert_eq!(answer["pdus"], json!([known.pdu]));
    let create = room.state("m.room.create", "");
    assert_eq!(until_ok(&remote, server, &create.id).await["pdus"], json!([create.pdu]));
    event(&remote, server, "$nothing").refused(404, "M_NOT_FOUND").await;
}

async fn an_event_of_a_room_that_was_read_lately_is_read_by_its_id(server: &Server) {
    let remote = Remote::start();
    let (_, room) = shared(&remote, server).await;
    let end = room.end();
    let query = format!("?event_id={}", encode(&end.id));
    remote.get(server, &format!("{V1}/state_ids{}{query}", path([&room.id]))).ok().await;
    let answer = event(&remote, server, &end.id).ok().await;
    assert_eq!(answer["pdus"], json!([end.pdu]));
}

async fn t15a_an_outsider_reads_no_event_by_its_id(server: &Server) {
    let (member, outsider, denied) = (Remote::start(), Remote::start(), Remote::start_at_address());
    let (alice, mut room) = shared(&member, server).await;
    let join = room.signed_by(&denied.peer, Draft::join(&denied.peer.user("dave")));
    let peers = [&member.peer, &denied.peer];
    room.hand_with(server, "live", &[&join], json!([]), &peers).await;
    let said = alice.say(&room.id, "hello").await;
    until_ok(&member, server, &said).await;
    until_ok(&denied, server, &said).await;
    let acl = json!({ "allow": ["*"], "deny": ["127.0.0.1"] });
    alice.set_state(&room.id, "m.room.server_acl", "", &acl).await;
    for remote in [&outsider, &denied] {
        let refused = event(remote, server, &said).refused(404, "M_NOT_FOUND").await;
        let unknown = event(remote, server, "$nothing").refused(404, "M_NOT_FOUND").await;
        assert_eq!(refused, unknown, "the same as of an event that does not exist");
    }
}

async fn t15a_who_has_left_reads_no_later_event_by_its_id(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let before = alice.say(&room.id, "before").await;
    room.read(&alice, &before).await;
    let carol = remote.peer.user("carol");
    let leave = room.add(Draft::member(&carol, &carol, "leave"));
    room.accept(server, &[&leave]).await;
    let after = alice.say(&room.id, "after").await;
    let query = format!("?event_id={}", encode(&before));
    remote.get(server, &format!("{V1}/state_ids{}{query}", path([&room.id]))).ok().await;
    event(&remote, server, &before).ok().await;
    event(&remote, server, &after).refused(404, "M_NOT_FOUND").await;
}

async fn a_join_and_a_leave_of_the_first_version_are_answered_in_an_array(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "preset": "public_chat", "room_version": "2" })).await;
    let mut known = PeerRoom::of(&remote.peer, &alice, &room).await;
    let carol = remote.peer.user("carol");
    for action in ["join", "leave"] {
        let query = if action == "join" { "?ver=1&ver=2" } else { "" };
        let make = format!("{V1}/make_{action}{}{query}", path([&room, &carol]));
        let made = remote.get(server, &make).ok().await;
        let event = known.complete(&made["event"]);
        let path = format!("{V1}/send_{action}{}", path([&room, &event.id]));
        let unsigned = Client::new(server.url()).put(&path).json(&event.pdu);
        unsigned.refused(401, "M_UNAUTHORIZED").await;
        let answer = remote.put(server, &path, &event.pdu).ok().await;
        let (status, body) = (&answer[0], &answer[1]);
        assert_eq!(*status, 200, "{answer}");
        match action {
            "join" => {
                let (state, chain) = (&body["state"], &body["auth_chain"]);
                let count = |it: &Value| it.as_array().map_or(0, Vec::len);
                assert!(count(state) > 4 && count(chain) > 2, "{answer}");
            }
            _ => assert_eq!(*body, json!({})),
        }
        let outsider = Remote::start();
        let refused = outsider.put(server, &path, &event.pdu);
        refused.refused(403, "M_FORBIDDEN").await;
    }
    let members = alice.get(path(["rooms", &room, "joined_members"])).ok().await;
    assert!(members["joined"].get(&carol).is_none(), "{members}");
}
