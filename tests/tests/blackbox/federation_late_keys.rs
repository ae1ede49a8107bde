//! Events of a room's state that cannot be verified when the room is joined (T2): what they would
//! decide waits for their keys, and is decided then as everywhere else.

use super::federation_remote_joins::{joining, sent_join};
use skerry_tests::{
    PATIENCE, Server, User, ids, json, path,
    peer::{Draft, Event, Peer, PeerRoom},
    remote::{Remote, in_a_day_ms},
};
use std::time::Duration;
use tokio::time::Instant;

both_hosts![
    who_was_joined_is_a_member_once_their_keys_are_there,
    what_was_to_be_forbidden_is_not_allowed_meanwhile,
    what_they_authorize_is_left_out_with_them,
    who_lies_about_them_gets_nothing_by_it,
];

const KEYS: &str = "/_matrix/key/v2/server";

/// From now on its keys are to be had.
fn publish(late: &Remote) {
    let peer = late.peer.clone();
    late.answer(KEYS, move |_| (200, peer.published(in_a_day_ms())));
    late.accept_transactions();
}

/// Sends events until the server is listened to: nobody looks at once for keys that were not there
/// a moment ago.
async fn send(late: &Remote, server: &Server, events: &[&Event]) {
    let begin = Instant::now();
    let pdus: Vec<_> = events.iter().map(|it| &it.pdu).collect();
    let body = json!({ "origin": late.peer.name, "origin_server_ts": 1, "pdus": pdus });
    while begin.elapsed() < PATIENCE {
        let path = format!("/_matrix/federation/v1/send/late{}", begin.elapsed().as_nanos());
        if late.put(server, &path, &body).send().await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{late:?} is not listened to");
}

async fn until_member(user: &User, room: &str, whom: &str, membership: &str) {
    let begin = Instant::now();
    while user.membership_in(room, whom).await != membership {
        assert!(begin.elapsed() < PATIENCE, "{whom} has not become {membership}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn who_was_joined_is_a_member_once_their_keys_are_there(server: &Server) {
    for version in ["1", "11", "12"] {
        let (remote, late) = (Remote::start(), Remote::start_without_keys());
        let erin = late.peer.user("erin");
        let alice = User::register(server, "alice").await;
        let mut room = PeerRoom::create(&remote.peer, version, &[("dave", 0)]);
        let joined = room.signed_by(&late.peer, Draft::join(&erin));
        room.follow(&joined.pdu);
        room.add(Draft::message(&remote.peer.user("carol"), "hello"));
        remote.open(&room);
        joining(&alice, &room.id, &[&remote]).ok().await;
        room.follow(&sent_join(&remote));
        assert_eq!(alice.membership_in(&room.id, &erin).await, "");
        // What they say now cannot be judged, and is not forgotten for that.
        let told = room.signed_by(&late.peer, Draft::message(&erin, "I was here before"));
        room.follow(&told.pdu);
        let after = room.add(Draft::message(&remote.peer.user("carol"), "so she was"));
        let mut watch = alice.watch().await;
        publish(&late);
        send(&late, server, &[&told]).await;
        remote.knows(&room);
        remote.send(server, &[&after]).await;
        let mut state = Vec::new();
        let mut left = vec![joined.id, told.id, after.id];
        watch
            .until("what they say, and who they are", |it| {
                let section = it.joined(&room.id)?;
                state.extend(ids(section.state()).into_iter().map(str::to_owned));
                let timeline = ids(section.timeline());
                left.retain(|it| !state.contains(it) && !timeline.contains(&&**it));
                left.is_empty().then_some(())
            })
            .await;
        assert_eq!(alice.membership_in(&room.id, &erin).await, "join");
    }
}

async fn what_was_to_be_forbidden_is_not_allowed_meanwhile(server: &Server) {
    let (remote, late) = (Remote::start(), Remote::start_without_keys());
    let (carol, mallory) = (remote.peer.user("carol"), remote.peer.user("mallory"));
    let erin = late.peer.user("erin");
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let before = room.end();
    // They are a moderator by what can be verified, and have banned somebody by what cannot.
    let levels = json!({ "users": { &carol: 100, &erin: 50, &alice.id: 50 } });
    room.add(Draft::state(&carol, "m.room.power_levels", "", levels));
    let joined = room.signed_by(&late.peer, Draft::join(&erin));
    room.follow(&joined.pdu);
    let banned = room.signed_by(&late.peer, Draft::member(&erin, &mallory, "ban"));
    room.follow(&banned.pdu);
    room.add(Draft::message(&carol, "good riddance"));
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    room.follow(&sent_join(&remote));
    assert_ne!(room.end().id, before.id);
    let auth = |kind: &str, key: &str| room.state(kind, key).id;
    let auth = vec![
        auth("m.room.create", ""),
        auth("m.room.power_levels", ""),
        auth("m.room.join_rules", ""),
    ];
    let join = room.stray(Draft::join(&mallory).auth(auth));
    remote.knows(&room);
    remote.send(server, &[&join]).await;
    assert_eq!(alice.membership_in(&room.id, &mallory).await, "");
    let invite = json!({ "user_id": mallory });
    let inviting = alice.post(path(["rooms", &room.id, "invite"])).json(&invite);
    inviting.refused(403, "M_FORBIDDEN").await;
    publish(&late);
    until_member(&alice, &room.id, &mallory, "ban").await;
    remote.send(server, &[&join]).await;
    alice.is_not_shown(&room.id, &join.id).await;
    assert_eq!(alice.membership_in(&room.id, &mallory).await, "ban");
}

async fn what_they_authorize_is_left_out_with_them(server: &Server) {
    let (remote, late) = (Remote::start(), Remote::start_without_keys());
    let (carol, frank) = (remote.peer.user("carol"), remote.peer.user("frank"));
    let erin = late.peer.user("erin");
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[("dave", 0)]);
    room.add(Draft::member(&carol, &alice.id, "invite"));
    room.add(Draft::member(&carol, &erin, "invite"));
    room.add(Draft::state(&carol, "m.room.join_rules", "", json!({ "join_rule": "invite" })));
    for draft in [Draft::join(&erin), Draft::member(&erin, &frank, "invite")] {
        let event = room.signed_by(&late.peer, draft);
        room.follow(&event.pdu);
    }
    let join = room.add(Draft::join(&frank));
    assert!(join.auth().len() > 3, "it names the invitation");
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    room.follow(&sent_join(&remote));
    assert_eq!(alice.membership_in(&room.id, &frank).await, "");
    assert_eq!(alice.membership_in(&room.id, &remote.peer.user("dave")).await, "join");
    publish(&late);
    until_member(&alice, &room.id, &frank, "join").await;
    until_member(&alice, &room.id, &erin, "join").await;
}

/// What is said to be of a server that never was decides nothing, and is forgotten in the end.
async fn who_lies_about_them_gets_nothing_by_it(server: &Server) {
    let remote = Remote::start();
    let (carol, dave) = (remote.peer.user("carol"), remote.peer.user("dave"));
    let nobody = Peer::new("localhost:1");
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[("dave", 0)]);
    let ghost = nobody.user("ghost");
    let levels = json!({ "users": { &carol: 100, &ghost: 100 } });
    let signed = [
        Draft::join(&ghost),
        Draft::member(&ghost, &dave, "ban"),
        Draft::state(&ghost, "m.room.name", "", json!({ "name": "Ours" })),
        Draft::state(&ghost, "m.room.topic", "", json!({ "topic": "whatever" })),
    ];
    room.add(Draft::state(&carol, "m.room.power_levels", "", levels));
    for draft in signed {
        let event = room.signed_by(&nobody, draft);
        room.follow(&event.pdu);
    }
    remote.open(&room);
    joining(&alice, &room.id, &[&remote]).ok().await;
    for (kind, key) in [("m.room.name", ""), ("m.room.topic", ""), ("m.room.member", &*ghost)] {
        alice.state(&room.id, kind, key).refused(404, "M_NOT_FOUND").await;
    }
    room.follow(&sent_join(&remote));
    // Whom they do not concern goes on as ever.
    let said = room.add(Draft::message(&carol, "go on"));
    remote.send(server, &[&said]).await;
    alice.sync().until_event(&room.id, &said.id).await;
    alice.say(&room.id, "I do").await;
}
