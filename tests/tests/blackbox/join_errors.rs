//! What is said where a join of a restricted room fails, on both sides.

use crate::federation_remote_joins::joining;
use ruma::RoomVersionId;
use skerry_tests::{
    Request, Server, User, Value, json, path,
    peer::{Draft, PeerRoom},
    remote::{Asked, Remote, join_answer},
    unique,
};

both_hosts![
    a_server_that_cannot_know_who_is_admitted_says_so,
    a_server_that_can_invite_nobody_says_so,
    what_other_servers_say_of_a_join_is_passed_on,
    who_cannot_be_let_in_here_is_let_in_elsewhere,
];

const MAKE: &str = "/_matrix/federation/v1/make_join/";
const SEND: &str = "/_matrix/federation/v2/send_join/";

fn make(remote: &Remote, server: &Server, room: &str) -> Request {
    let carol = remote.peer.user("carol");
    let path = format!("{MAKE}{}?ver=11", path([room, &carol]).trim_start_matches('/'));
    remote.get(server, &path)
}

/// The user in the path of a question for an event.
fn user_of(asked: &Asked) -> String {
    let path = asked.path.split('?').next().unwrap_or_default();
    let user = path.rsplit('/').next().unwrap_or_default();
    user.replace("%40", "@").replace("%3A", ":")
}

/// A room that admits the members of another one.
async fn admitting(alice: &User, from: &str) -> String {
    let allow = json!([{ "type": "m.room_membership", "room_id": from }]);
    let rule = json!({ "join_rule": "restricted", "allow": allow });
    let rule = json!({ "type": "m.room.join_rules", "content": rule });
    alice.create_room(&json!({ "room_version": "11", "initial_state": [rule] })).await
}

async fn a_server_that_cannot_know_who_is_admitted_says_so(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let room = admitting(&alice, "!nowhere:elsewhere.example").await;
    make(&remote, server, &room).refused(400, "M_UNABLE_TO_AUTHORISE_JOIN").await;
}

async fn a_server_that_can_invite_nobody_says_so(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let club = alice.create_room(&json!({ "preset": "public_chat" })).await;
    let mut known = PeerRoom::of(&remote.peer, &alice, &club).await;
    let join = known.add(Draft::join(&remote.peer.user("carol")));
    known.accept(server, &[&join]).await;
    let room = admitting(&alice, &club).await;
    make(&remote, server, &room).ok().await;
    let levels = json!({ "users": { (alice.id.as_str()): 50 }, "invite": 75 });
    alice.set_state(&room, "m.room.power_levels", "", &levels).await;
    make(&remote, server, &room).refused(400, "M_UNABLE_TO_GRANT_JOIN").await;
}

async fn what_other_servers_say_of_a_join_is_passed_on(server: &Server) {
    let alice = User::register(server, "alice").await;
    let codes =
        ["M_UNABLE_TO_AUTHORISE_JOIN", "M_UNABLE_TO_GRANT_JOIN", "M_INCOMPATIBLE_ROOM_VERSION"];
    for code in codes {
        let remote = Remote::start();
        let refusal = json!({ "errcode": code, "error": "no", "room_version": "77" });
        remote.answer(MAKE, move |_| (400, refusal.clone()));
        let room = format!("!{}:{}", unique("room"), remote.peer.name);
        let refused = joining(&alice, &room, &[&remote]).refused(400, code).await;
        let version = refused.get("room_version");
        let is_told = code == "M_INCOMPATIBLE_ROOM_VERSION";
        assert_eq!(version, is_told.then_some(&json!("77")), "{refused}");
    }
}

async fn who_cannot_be_let_in_here_is_let_in_elsewhere(server: &Server) {
    let remote = Remote::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let club = alice.private_room(&[&bob]).await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let carol = remote.peer.user("carol");
    room.let_in(server, &alice).await;
    let levels = json!({ "users": { (carol.as_str()): 100 }, "invite": 50 });
    let allow = json!([{ "type": "m.room_membership", "room_id": club }]);
    let rule = json!({ "join_rule": "restricted", "allow": allow });
    let levels = room.add(Draft::state(&carol, "m.room.power_levels", "", levels));
    let rule = room.add(Draft::state(&carol, "m.room.join_rules", "", rule));
    room.accept(server, &[&levels, &rule]).await;
    // While nobody else is asked who can help.
    joining(&bob, &room.id, &[]).refused(400, "M_UNABLE_TO_GRANT_JOIN").await;
    let mut known = room.clone();
    let member = room.state("m.room.member", &carol).id;
    remote.answer(MAKE, move |asked| {
        let user = user_of(asked);
        let content = json!({ "membership": "join", "join_authorised_via_users_server": carol });
        let join = || Draft::state(&user, "m.room.member", &user, content.clone());
        let mut auth: Vec<_> = known.clone().stray(join()).auth();
        auth.push(member.clone());
        (200, json!({ "room_version": "11", "event": known.prepare(join().auth(auth)) }))
    });
    let (whole, peer) = (join_answer(&room), remote.peer.clone());
    remote.answer(SEND, move |asked| {
        let event: Value = serde_json::from_slice(&asked.body).expect("an event");
        let mut whole = whole.clone();
        whole["event"] = peer.sign(&event, &RoomVersionId::V11.rules().expect("rules"));
        (200, whole)
    });
    joining(&bob, &room.id, &[]).ok().await;
    assert_eq!(alice.membership_of(&room.id, &bob).await, "join");
}
