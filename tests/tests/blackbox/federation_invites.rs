//! Invitations by other servers, to rooms that are here and to rooms that are not (T9a, T9c, T11).

use skerry_tests::{
    Host, Options, Server, Sync, User, Value, Watch, encode, events, json, path,
    peer::{Draft, PeerRoom},
    remote::{Remote, shown},
    unique,
};

both_hosts![
    an_invitation_of_another_server_is_shown_and_accepted,
    an_invitation_by_the_first_version_of_the_endpoint_is_shown,
    an_invitation_that_is_sent_again_is_shown_once,
    an_invitation_is_turned_down_by_way_of_whose_it_is,
    an_invitation_is_turned_down_though_nobody_is_there_to_hear_of_it,
    t9c_nothing_is_signed_but_an_invitation_of_a_user_of_ours,
    t9a_an_invitation_is_by_a_user_of_the_server_that_sends_it,
    t1d_no_more_is_kept_of_a_room_than_anybody_needs,
    a_room_of_version_12_shows_events_of_its_own,
    an_invitation_to_a_room_that_is_here_is_received_by_the_room,
    an_invitation_that_builds_on_what_is_missing_is_shown_at_once,
    who_has_left_a_room_with_all_others_is_invited_to_it_again,
    an_invitation_that_is_withdrawn_is_gone,
    t11_an_invitation_by_somebody_who_is_ignored_is_not_shown,
];

private_server![
    native_alone: Native => [
        an_invitation_outlives_a_restart,
        t11_how_often_somebody_is_invited_is_limited,
    ],
    worker_alone: Worker => [
        an_invitation_outlives_a_restart,
        t11_how_often_somebody_is_invited_is_limited,
    ],
];

const MAKE_JOIN: &str = "/_matrix/federation/v1/make_join/";
const SEND_JOIN: &str = "/_matrix/federation/v2/send_join/";

fn invited(sync: &Sync, room: &str) -> Option<Vec<Value>> {
    Some(events(&sync.room("invite", room)?.0["invite_state"]).to_vec())
}

/// Waits until the user is shown the invitation, and gives what it shows of the room.
async fn until_invited(watch: &mut Watch, room: &str) -> Vec<Value> {
    watch.until("the invitation", |sync| invited(sync, room)).await
}

/// Waits until the user is shown that it is over, and gives the event that says so.
async fn until_over(watch: &mut Watch, room: &str) -> Value {
    let over = |sync: &Sync| Some(sync.room("leave", room)?.timeline().to_vec());
    let timeline = watch.until("the end", over).await;
    assert_eq!(timeline.len(), 1, "{timeline:?}");
    timeline[0].clone()
}

/// Whether the user is shown the invitation now.
async fn is_invited(user: &User, room: &str) -> bool {
    invited(&user.sync().get().await, room).is_some()
}

/// A room of another server, and an invitation of Alice to it that she has seen.
pub(super) async fn with_invitation(
    server: &Server,
    version: &str,
) -> (Remote, PeerRoom, User, Watch) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut watch = alice.watch().await;
    let mut room = PeerRoom::create(&remote.peer, version, &[]);
    let invite = room.add(Draft::member(&remote.peer.user("carol"), &alice.id, "invite"));
    remote.inviting(server, &room, &invite).ok().await;
    until_invited(&mut watch, &room.id).await;
    (remote, room, alice, watch)
}

async fn an_invitation_of_another_server_is_shown_and_accepted(server: &Server) {
    for version in ["1", "6", "11", "12"] {
        let remote = Remote::start();
        let alice = User::register(server, "alice").await;
        let mut watch = alice.watch().await;
        let mut room = PeerRoom::create(&remote.peer, version, &[]);
        let carol = remote.peer.user("carol");
        let invite = room.add(Draft::member(&carol, &alice.id, "invite"));
        let answer = remote.inviting(server, &room, &invite).ok().await;
        let mut signed = answer["event"].clone();
        let signatures = signed["signatures"].as_object_mut().expect("signatures");
        assert!(signatures.remove("localhost").is_some(), "version {version}: {answer}");
        assert_eq!(signed, invite.pdu, "nothing but the signature is added");
        let state = until_invited(&mut watch, &room.id).await;
        let types: Vec<_> = state.iter().filter_map(|it| it["type"].as_str()).collect();
        assert_eq!(types, ["m.room.create", "m.room.join_rules", "m.room.member"]);
        assert_eq!(
            (&state[2]["sender"], &state[2]["state_key"]),
            (&json!(carol), &json!(alice.id))
        );
        assert!(state.iter().all(|it| it.get("signatures").is_none()), "{state:?}");
        // Nobody but the inviter's server is known to be in the room.
        remote.open(&room);
        alice.join(&room.id).await;
        let joined = |it: &Sync| {
            let is_left_out = it.room("invite", &room.id).is_none();
            it.joined(&room.id).filter(|_| is_left_out).map(drop)
        };
        alice.sync().until("the room", joined).await;
        assert_eq!((remote.asked(MAKE_JOIN).len(), remote.asked(SEND_JOIN).len()), (1, 1));
    }
}

async fn an_invitation_by_the_first_version_of_the_endpoint_is_shown(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut watch = alice.watch().await;
    let mut room = PeerRoom::create(&remote.peer, "2", &[]);
    let mut invite = room.add(Draft::member(&remote.peer.user("carol"), &alice.id, "invite"));
    let target = format!("/_matrix/federation/v1/invite{}", path([&room.id, &invite.id]));
    invite.pdu["unsigned"] = json!({ "invite_room_state": shown(&room) });
    invite.pdu["origin"] = json!(remote.peer.name);
    let refused = remote.put(server, &target, &invite.pdu).refused(400, "M_INVALID_PARAM").await;
    assert!(refused.get("event").is_none(), "what was not signed was added: {refused}");
    let carol = remote.peer.user("carol");
    let named = Draft::member(&carol, &alice.id, "invite").with("origin", json!(remote.peer.name));
    let mut invite = room.add(named);
    let target = format!("/_matrix/federation/v1/invite{}", path([&room.id, &invite.id]));
    invite.pdu["unsigned"] = json!({ "invite_room_state": shown(&room) });
    let answer = remote.put(server, &target, &invite.pdu).ok().await;
    assert_eq!(answer[0], 200, "{answer}");
    assert!(answer[1]["event"]["signatures"]["localhost"].is_object(), "{answer}");
    assert_eq!(until_invited(&mut watch, &room.id).await.len(), 3);
}

async fn an_invitation_that_is_sent_again_is_shown_once(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut watch = alice.watch().await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let invite = room.add(Draft::member(&remote.peer.user("carol"), &alice.id, "invite"));
    for _ in 0..2 {
        remote.inviting(server, &room, &invite).ok().await;
    }
    until_invited(&mut watch, &room.id).await;
    remote.inviting(server, &room, &invite).ok().await;
    let next = alice.sync().since(&watch.since).get().await;
    assert!(next.is_empty(), "{}", next.json);
    // What was turned down stays so, until she is invited anew.
    alice.leave(&room.id).await;
    remote.inviting(server, &room, &invite).ok().await;
    assert!(!is_invited(&alice, &room.id).await);
    let anew = room.add(Draft::member(&remote.peer.user("carol"), &alice.id, "invite"));
    remote.inviting(server, &room, &anew).ok().await;
    assert!(is_invited(&alice, &room.id).await);
}

async fn an_invitation_is_turned_down_by_way_of_whose_it_is(server: &Server) {
    for version in ["1", "12"] {
        let (remote, room, alice, mut watch) = with_invitation(server, version).await;
        remote.let_go(&room);
        let leave = alice.post(path(["rooms", &room.id, "leave"]));
        leave.json(&json!({ "reason": "no time" })).ok().await;
        let sent = remote.sent("leave").pop().expect("a leave");
        let content = json!({ "membership": "leave", "reason": "no time" });
        assert_eq!((&sent["content"], &sent["sender"]), (&content, &json!(alice.id)));
        assert!(sent["signatures"]["localhost"].is_object(), "{sent}");
        let end = until_over(&mut watch, &room.id).await;
        assert_eq!((&end["content"], &end["sender"]), (&content, &json!(alice.id)));
        assert!(!is_invited(&alice, &room.id).await);
        // Whoever repeats the request has left.
        alice.leave(&room.id).await;
        let next = alice.sync().since(&watch.since).get().await;
        assert!(next.is_empty(), "{}", next.json);
        alice.post(path(["rooms", &room.id, "forget"])).ok().await;
        alice.post(path(["rooms", &room.id, "leave"])).refused(403, "M_FORBIDDEN").await;
    }
}

async fn an_invitation_is_turned_down_though_nobody_is_there_to_hear_of_it(server: &Server) {
    let (remote, room, alice, mut watch) = with_invitation(server, "11").await;
    remote.answer("/_matrix/federation/v1/make_leave/", |_| {
        (403, json!({ "errcode": "M_FORBIDDEN", "error": "stay" }))
    });
    alice.leave(&room.id).await;
    until_over(&mut watch, &room.id).await;
    let (remote, room, alice, mut watch) = with_invitation(server, "11").await;
    drop(remote);
    alice.leave(&room.id).await;
    until_over(&mut watch, &room.id).await;
    assert!(!is_invited(&alice, &room.id).await);
}

async fn t9c_nothing_is_signed_but_an_invitation_of_a_user_of_ours(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let remote = Remote::start();
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let carol = remote.peer.user("carol");
    let invite = || Draft::member(&carol, &alice.id, "invite");
    let third = json!({ "membership": "invite", "third_party_invite": { "display_name": "a" } });
    let others = [
        Draft::member(&carol, &alice.id, "join"),
        Draft::member(&carol, &alice.id, "leave"),
        Draft::member(&carol, &alice.id, "ban"),
        Draft::member(&carol, &remote.peer.user("dave"), "invite"),
        Draft::member(&carol, "alice", "invite"),
        Draft::message(&carol, "never said"),
        Draft::state(&carol, "m.room.name", &alice.id, json!({ "membership": "invite" })),
        Draft::state(&carol, "m.room.member", &alice.id, third),
        invite().with("room_id", json!("!elsewhere:localhost")),
        invite().with("prev_events", json!(vec!["$x"; 21])),
        invite().with("depth", json!("deep")),
    ];
    let refuse = async |room: &PeerRoom, event: &skerry_tests::peer::Event, code: &str| {
        let reply = remote.inviting(server, room, event).send().await;
        let body = reply.refused(400, code);
        assert!(body.get("event").is_none(), "{body}");
    };
    for other in others {
        let event = room.stray(other);
        refuse(&room, &event, "M_INVALID_PARAM").await;
    }
    // What was changed after it was signed, another ID, the words of another room's version.
    let event = room.stray(invite());
    let altered = event.altered(|pdu| pdu["content"]["displayname"] = json!("not said"));
    refuse(&room, &altered, "M_INVALID_PARAM").await;
    let mut misnamed = event.clone();
    misnamed.id = room.stray(invite()).id;
    refuse(&room, &misnamed, "M_INVALID_PARAM").await;
    let mut newer = room.clone();
    "99".clone_into(&mut newer.version);
    refuse(&newer, &event, "M_INCOMPATIBLE_ROOM_VERSION").await;
    for user in [&alice, &bob] {
        assert!(!is_invited(user, &room.id).await);
    }
    let nobody = format!("@{}:localhost", unique("nobody"));
    let event = room.stray(Draft::member(&carol, &nobody, "invite"));
    remote.inviting(server, &room, &event).refused(404, "M_NOT_FOUND").await;
}

async fn t9a_an_invitation_is_by_a_user_of_the_server_that_sends_it(server: &Server) {
    let (remote, other) = (Remote::start(), Remote::start());
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let victim = other.peer.user("victim");
    for sender in [&victim, &bob.id] {
        let forged = room.stray(Draft::member(sender, &alice.id, "invite"));
        remote.inviting(server, &room, &forged).refused(400, "M_INVALID_PARAM").await;
    }
    // By the right user, signed by another server or by nobody.
    let carol = remote.peer.user("carol");
    let forged = room.signed_by(&other.peer, Draft::member(&carol, &alice.id, "invite"));
    remote.inviting(server, &room, &forged).refused(400, "M_INVALID_PARAM").await;
    let unsigned = forged.altered(|pdu| pdu["signatures"] = json!({}));
    remote.inviting(server, &room, &unsigned).refused(400, "M_INVALID_PARAM").await;
    // What another server has signed, sent by one that has found it.
    let invite = room.stray(Draft::member(&carol, &alice.id, "invite"));
    other.inviting(server, &room, &invite).refused(400, "M_INVALID_PARAM").await;
    assert!(!is_invited(&alice, &room.id).await);
}

async fn t1d_no_more_is_kept_of_a_room_than_anybody_needs(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let invite = room.add(Draft::member(&remote.peer.user("carol"), &alice.id, "invite"));
    let topic = |key: usize, size: usize| {
        json!({ "type": "m.room.topic", "state_key": key.to_string(),
            "sender": "@carol:elsewhere", "content": { "topic": "x".repeat(size) } })
    };
    let many: Vec<_> = (0..1_000).map(|it| topic(it, 1)).collect();
    for shown in [json!(many), json!([topic(0, 1_000_000)])] {
        let inviting = remote.inviting_with(server, &room, &invite, shown);
        inviting.refused(413, "M_TOO_LARGE").await;
    }
    assert!(!is_invited(&alice, &room.id).await);
    // Of what is of no use the rest is shown.
    let shown = json!([topic(1, 1), { "type": "m.room.name" }, {}]);
    remote.inviting_with(server, &room, &invite, shown).ok().await;
    let shown = invited(&alice.sync().get().await, &room.id).expect("the invitation");
    assert_eq!(shown.len(), 2, "{shown:?}");
}

async fn a_room_of_version_12_shows_events_of_its_own(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "12", &[]);
    let invite = room.add(Draft::member(&remote.peer.user("carol"), &alice.id, "invite"));
    let create = room.state("m.room.create", "").pdu;
    let rule = room.state("m.room.join_rules", "");
    let of_another = PeerRoom::create(&remote.peer, "12", &[]);
    let forged = rule.altered(|it| it["signatures"][&remote.peer.name]["ed25519:1"] = json!("x"));
    let stripped = json!({ "type": "m.room.name", "state_key": "", "content": {},
        "sender": remote.peer.user("carol") });
    let refused = [
        json!([]),
        json!([rule.pdu]),
        json!([create, of_another.state("m.room.join_rules", "").pdu]),
        json!([of_another.state("m.room.create", "").pdu]),
        json!([create, forged.pdu]),
        json!([create, stripped]),
    ];
    for shown in refused {
        let inviting = remote.inviting_with(server, &room, &invite, shown);
        inviting.refused(400, "M_INVALID_PARAM").await;
    }
    assert!(!is_invited(&alice, &room.id).await);
    remote.inviting(server, &room, &invite).ok().await;
    assert!(is_invited(&alice, &room.id).await);
}

async fn an_invitation_to_a_room_that_is_here_is_received_by_the_room(server: &Server) {
    let remote = Remote::start();
    remote.accept_transactions();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[]).await;
    let carol = remote.peer.user("carol");
    let mut known = remote.enter(server, &alice, &room, &carol).await;
    // She has not the power to invite.
    let levels = json!({ "invite": 50 });
    let levels = alice.set_state(&room, "m.room.power_levels", "", &levels).await;
    known.read(&alice, &levels).await;
    let invite = known.stray(Draft::member(&carol, &bob.id, "invite"));
    let refused = remote.inviting(server, &known, &invite).refused(403, "M_FORBIDDEN").await;
    assert!(refused.get("event").is_none(), "{refused}");
    assert!(!is_invited(&bob, &room).await);
    let levels = json!({ "users": { (&*carol): 50 }, "invite": 50 });
    let levels = alice.set_state(&room, "m.room.power_levels", "", &levels).await;
    known.read(&alice, &levels).await;
    let mut watch = bob.watch().await;
    let invite = known.add(Draft::member(&carol, &bob.id, "invite"));
    remote.inviting(server, &known, &invite).ok().await;
    until_invited(&mut watch, &room).await;
    alice.is_shown(&room, &invite.id, &json!({ "membership": "invite" })).await;
    // It comes again as all events do.
    remote.send(server, &[&invite]).await;
    let next = bob.sync().since(&watch.since).get().await;
    assert!(next.is_empty(), "{}", next.json);
    bob.join(&room).await;
    // Who is in the room is not invited.
    let invite = known.stray(Draft::member(&carol, &bob.id, "invite"));
    remote.inviting(server, &known, &invite).refused(403, "M_FORBIDDEN").await;
}

async fn an_invitation_that_builds_on_what_is_missing_is_shown_at_once(server: &Server) {
    let remote = Remote::start();
    remote.accept_transactions();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[]).await;
    let carol = remote.peer.user("carol");
    let mut known = remote.enter(server, &alice, &room, &carol).await;
    let levels = json!({ "users": { (&*carol): 50 } });
    let levels = alice.set_state(&room, "m.room.power_levels", "", &levels).await;
    known.read(&alice, &levels).await;
    let missing = known.add(Draft::message(&carol, "not sent yet"));
    let invite = known.add(Draft::member(&carol, &bob.id, "invite"));
    let mut watch = bob.watch().await;
    remote.inviting(server, &known, &invite).ok().await;
    until_invited(&mut watch, &room).await;
    assert_eq!(alice.membership_in(&room, &bob.id).await, "");
    remote.send(server, &[&missing]).await;
    alice.is_shown(&room, &invite.id, &json!({ "membership": "invite" })).await;
    assert!(is_invited(&bob, &room).await);
    bob.join(&room).await;
    assert_eq!(alice.membership_in(&room, &bob.id).await, "join");
}

async fn who_has_left_a_room_with_all_others_is_invited_to_it_again(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let carol = remote.peer.user("carol");
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    remote.open(&room);
    let joining =
        alice.post(format!("/join{}?via={}", path([&room.id]), encode(&remote.peer.name)));
    joining.ok().await;
    room.follow(&remote.sent("join").pop().expect("a join"));
    alice.leave(&room.id).await;
    let left = remote.until("/_matrix/federation/v1/send/", |it| it.text().contains("leave")).await;
    let left: Value = serde_json::from_slice(&left.body).expect("JSON");
    room.follow(&left["pdus"][0]);
    let mut watch = alice.watch().await;
    // Withdrawn, turned down, accepted.
    let invite = room.add(Draft::member(&carol, &alice.id, "invite"));
    remote.inviting(server, &room, &invite).ok().await;
    until_invited(&mut watch, &room.id).await;
    let kick = room.add(Draft::member(&carol, &alice.id, "leave"));
    remote.send(server, &[&kick]).await;
    watch.until("the end", |it| it.room("leave", &room.id).map(drop)).await;
    let invite = room.add(Draft::member(&carol, &alice.id, "invite"));
    remote.inviting(server, &room, &invite).ok().await;
    until_invited(&mut watch, &room.id).await;
    remote.let_go(&room);
    alice.leave(&room.id).await;
    watch.until("the end", |it| it.room("leave", &room.id).map(drop)).await;
    room.follow(&remote.sent("leave").pop().expect("a leave"));
    let invite = room.add(Draft::member(&carol, &alice.id, "invite"));
    remote.inviting(server, &room, &invite).ok().await;
    until_invited(&mut watch, &room.id).await;
    remote.open(&room);
    alice.join(&room.id).await;
    watch.until("the room", |it| it.joined(&room.id).map(drop)).await;
    assert_eq!(alice.membership_in(&room.id, &alice.id).await, "join");
}

async fn an_invitation_that_is_withdrawn_is_gone(server: &Server) {
    let (remote, mut room, alice, mut watch) = with_invitation(server, "11").await;
    let (carol, dave) = (remote.peer.user("carol"), remote.peer.user("dave"));
    let invite = room.state("m.room.member", &alice.id);
    // By somebody else, of somebody else, or without a word of what it ends.
    let unrelated = Draft::member(&carol, &alice.id, "leave");
    let unrelated = unrelated.auth(vec![room.state("m.room.create", "").id]);
    let others = [
        room.stray(Draft::member(&dave, &alice.id, "leave")),
        room.stray(unrelated),
        room.signed_by(&Remote::start().peer, Draft::member(&carol, &alice.id, "leave")),
    ];
    for other in &others {
        remote.send(server, &[other]).await;
        assert!(is_invited(&alice, &room.id).await, "{}", other.pdu);
    }
    let kick = room.add(Draft::member(&carol, &alice.id, "leave"));
    assert!(kick.auth().contains(&invite.id));
    remote.send(server, &[&kick]).await;
    let end = until_over(&mut watch, &room.id).await;
    assert_eq!((&end["event_id"], &end["sender"]), (&json!(kick.id), &json!(carol)));
    assert!(!is_invited(&alice, &room.id).await);
    remote.send(server, &[&kick]).await;
    let next = alice.sync().since(&watch.since).get().await;
    assert!(next.is_empty(), "{}", next.json);
}

async fn t11_an_invitation_by_somebody_who_is_ignored_is_not_shown(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let carol = remote.peer.user("carol");
    let data = path(["user", &alice.id, "account_data", "m.ignored_user_list"]);
    alice.put(data).json(&json!({ "ignored_users": { (&*carol): {} } })).ok().await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let invite = room.add(Draft::member(&carol, &alice.id, "invite"));
    remote.inviting(server, &room, &invite).ok().await;
    assert!(!is_invited(&alice, &room.id).await);
}

async fn an_invitation_outlives_a_restart(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (remote, room, alice, watch) = with_invitation(&server, "11").await;
    server.restart();
    let alice = alice.at(&server);
    assert!(is_invited(&alice, &room.id).await);
    let next = alice.sync().since(&watch.since).get().await;
    assert!(next.is_empty(), "it was shown before: {}", next.json);
    alice.leave(&room.id).await;
    server.restart();
    let alice = alice.at(&server);
    assert!(!is_invited(&alice, &room.id).await);
    let next = alice.sync().since(&watch.since).get().await;
    let left = next.room("leave", &room.id).expect("the room that was left");
    assert_eq!(left.timeline()[0]["content"], json!({ "membership": "leave" }));
    let joining =
        alice.post(format!("/join{}?via={}", path([&room.id]), encode(&remote.peer.name)));
    remote.open(&room);
    joining.ok().await;
}

async fn t11_how_often_somebody_is_invited_is_limited(host: Host) {
    let rate_limits = "off, invited=1/h:3".to_owned();
    let server = Server::start(host, Options { rate_limits, ..Options::default() });
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let inviting = async |user: &User| {
        let remote = Remote::start();
        let mut room = PeerRoom::create(&remote.peer, "11", &[]);
        let invite = room.add(Draft::member(&remote.peer.user("carol"), &user.id, "invite"));
        remote.inviting(&server, &room, &invite).send().await
    };
    for _ in 0..3 {
        inviting(&alice).await.ok();
    }
    inviting(&alice).await.refused(429, "M_LIMIT_EXCEEDED");
    inviting(&bob).await.ok();
    let shown = alice.sync().get().await;
    assert_eq!(shown.json["rooms"]["invite"].as_object().expect("rooms").len(), 3);
}
