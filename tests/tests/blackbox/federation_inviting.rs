//! Users of other servers who are invited to rooms of this one (T9c, T15b).

use skerry_tests::{
    Request, Server, User, Value, json, path,
    peer::{Peer, PeerRoom, event_id},
    remote::{Asked, Remote},
    unique,
};

both_hosts![
    a_user_of_another_server_is_invited,
    an_old_server_is_asked_as_it_understands,
    what_the_other_server_refuses_is_refused,
    s_i3_an_answer_that_does_not_sign_the_invitation_invites_nobody,
    who_may_not_invite_asks_no_server,
    a_membership_event_of_a_client_invites_as_well,
    a_room_is_made_with_users_of_other_servers_invited,
    t15b_an_invitation_that_is_withdrawn_is_told_to_whom_it_was_for,
    a_user_of_another_server_turns_an_invitation_down,
    a_user_of_another_server_who_has_knocked_is_invited_or_refused,
];

const INVITE: &str = "/_matrix/federation/v2/invite/";
const SEND: &str = "/_matrix/federation/v1/send/";

fn inviting(user: &User, room: &str, target: &str) -> Request {
    user.post(path(["rooms", room, "invite"])).json(&json!({ "user_id": target }))
}

/// The membership events of a user that a server was sent.
fn told(remote: &Remote, user: &str) -> Vec<Value> {
    let body = |it: &Asked| serde_json::from_slice::<Value>(&it.body).expect("JSON");
    let transactions = remote.asked(SEND);
    let pdus = transactions.iter().filter_map(|it| body(it)["pdus"].as_array().cloned());
    pdus.flatten().filter(|it| it["state_key"] == user).collect()
}

async fn a_user_of_another_server_is_invited(server: &Server) {
    for version in ["1", "11", "12"] {
        let (remote, third) = (Remote::start(), Remote::start());
        remote.sign_invites();
        remote.accept_transactions();
        third.accept_transactions();
        let alice = User::register(server, "alice").await;
        let options = json!({ "preset": "public_chat", "room_version": version, "name": "Pier" });
        let room = alice.create_room(&options).await;
        third.enter(server, &alice, &room, &third.peer.user("erin")).await;
        let carol = remote.peer.user("carol");
        let body = json!({ "user_id": carol, "reason": "welcome" });
        alice.post(path(["rooms", &room, "invite"])).json(&body).ok().await;
        let asked = remote.invites().pop().expect("an invitation");
        assert_eq!(asked["room_version"], version);
        let content = json!({ "membership": "invite", "reason": "welcome" });
        assert_eq!(
            (&asked["event"]["content"], &asked["event"]["sender"]),
            (&content, &json!(alice.id))
        );
        let shown = asked["invite_room_state"].as_array().expect("state");
        for kind in ["m.room.create", "m.room.name", "m.room.member"] {
            assert!(shown.iter().any(|it| it["type"] == kind), "{kind}: {asked}");
        }
        assert!(shown.iter().all(|it| it["signatures"].is_object()), "{asked}");
        assert_eq!(alice.membership_in(&room, &carol).await, "invite");
        // The others get it with both signatures; who is not in the room gets nothing more.
        third.until(SEND, |it| it.text().contains(&carol)).await;
        let invite = told(&third, &carol).pop().expect("the invitation");
        let signers: Vec<_> =
            invite["signatures"].as_object().expect("signatures").keys().cloned().collect();
        assert_eq!(signers, ["localhost".to_owned(), remote.peer.name.clone()]);
        assert!(remote.asked(SEND).is_empty(), "version {version}");
        // Accepting it is joining.
        remote.enter(server, &alice, &room, &carol).await;
        assert_eq!(alice.membership_in(&room, &carol).await, "join");
        inviting(&alice, &room, &carol).refused(403, "M_FORBIDDEN").await;
    }
}

async fn an_old_server_is_asked_as_it_understands(server: &Server) {
    const OLD: &str = "/_matrix/federation/v1/invite/";
    let alice = User::register(server, "alice").await;
    for (version, is_asked) in [("1", true), ("2", true), ("6", false)] {
        let remote = Remote::start();
        let peer = remote.peer.clone();
        let room = alice.create_room(&json!({ "room_version": version, "name": "Pier" })).await;
        let rules = PeerRoom::of(&peer, &alice, &room).await.rules;
        remote.answer(OLD, move |asked| {
            let event: Value = serde_json::from_slice(&asked.body).expect("JSON");
            (200, json!([200, { "event": peer.sign(&event, &rules) }]))
        });
        let carol = remote.peer.user("carol");
        let reply = inviting(&alice, &room, &carol).send().await;
        assert_eq!(reply.status, if is_asked { 200 } else { 502 }, "version {version}: {reply}");
        let asked = remote.asked(OLD);
        assert_eq!(asked.len(), usize::from(is_asked), "version {version}");
        let Some(asked) = asked.first() else { continue };
        assert_eq!(alice.membership_in(&room, &carol).await, "invite");
        let event: Value = serde_json::from_slice(&asked.body).expect("JSON");
        assert!(event["unsigned"]["invite_room_state"].is_array(), "{event}");
    }
}

async fn what_the_other_server_refuses_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.private_room(&[]).await;
    let cases = [
        (403, "M_FORBIDDEN", 403, "M_FORBIDDEN"),
        (403, "M_INVITE_BLOCKED", 403, "M_INVITE_BLOCKED"),
        (400, "M_INCOMPATIBLE_ROOM_VERSION", 400, "M_INCOMPATIBLE_ROOM_VERSION"),
        // What is wrong with the invitation is not the client's fault.
        (400, "M_INVALID_PARAM", 502, "M_UNKNOWN"),
        (400, "M_MISSING_PARAM", 502, "M_UNKNOWN"),
        (401, "M_UNKNOWN_TOKEN", 502, "M_UNKNOWN"),
        (500, "M_UNKNOWN", 502, "M_UNKNOWN"),
    ];
    for (status, code, expected_status, expected) in cases {
        let remote = Remote::start();
        remote.answer(INVITE, move |_| {
            (status, json!({ "errcode": code, "error": "no", "room_version": "11" }))
        });
        let carol = remote.peer.user("carol");
        inviting(&alice, &room, &carol).refused(expected_status, expected).await;
        assert_eq!(alice.membership_in(&room, &carol).await, "", "{code}");
    }
    inviting(&alice, &room, "@carol:localhost:1").refused(502, "M_UNKNOWN").await;
    // The room goes on.
    alice.say(&room, "alone").await;
}

/// What a server answers instead of its signature, given itself, another one and the event.
type Lie = fn(&Peer, &Peer, &Value) -> Value;

async fn s_i3_an_answer_that_does_not_sign_the_invitation_invites_nobody(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.private_room(&[]).await;
    let rules = PeerRoom::of(&Remote::start().peer, &alice, &room).await.rules;
    let lies: [(&str, Lie); 7] = [
        ("unsigned", |_, _, event| event.clone()),
        ("signed by another server", |_, other, event| other.sign_json(event)),
        ("a signature of something else", |remote, _, event| {
            let mut event = event.clone();
            let other = remote.sign_json(&json!({ "x": 1 }));
            event["signatures"][&remote.name] = other["signatures"][&remote.name].clone();
            event
        }),
        ("another event", |remote, _, event| {
            let mut event = event.clone();
            event["content"] = json!({ "membership": "join" });
            event["hashes"] = json!({ "sha256": "x" });
            remote.sign_json(&event)
        }),
        ("no event", |_, _, _| json!({})),
        ("no object", |_, _, _| json!([])),
        ("nothing", |_, _, _| json!(null)),
    ];
    for (name, lie) in lies {
        let (remote, other) = (Remote::start(), Remote::start());
        let carol = remote.peer.user("carol");
        let peers = (remote.peer.clone(), other.peer);
        remote.answer(INVITE, move |asked| {
            let asked: Value = serde_json::from_slice(&asked.body).expect("JSON");
            (200, json!({ "event": lie(&peers.0, &peers.1, &asked["event"]) }))
        });
        let reply = inviting(&alice, &room, &carol).send().await;
        assert_eq!((reply.status, reply.errcode()), (502, "M_UNKNOWN"), "{name}: {reply}");
        assert_eq!(alice.membership_in(&room, &carol).await, "", "{name}");
    }
    // What is answered beside the signature is nothing that anybody takes.
    let remote = Remote::start();
    let (carol, peer) = (remote.peer.user("carol"), remote.peer.clone());
    remote.answer(INVITE, move |asked| {
        let asked: Value = serde_json::from_slice(&asked.body).expect("JSON");
        let mut event = peer.sign(&asked["event"], &rules);
        event["content"]["displayname"] = json!("not said");
        event["unsigned"] = json!({ "x": 1 });
        (200, json!({ "event": event }))
    });
    inviting(&alice, &room, &carol).ok().await;
    let member = alice.state(&room, "m.room.member", &carol).ok().await;
    assert_eq!(member, json!({ "membership": "invite" }));
}

async fn who_may_not_invite_asks_no_server(server: &Server) {
    let remote = Remote::start();
    remote.sign_invites();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let carol = remote.peer.user("carol");
    let levels = json!({ "invite": 50 });
    alice.set_state(&room, "m.room.power_levels", "", &levels).await;
    inviting(&bob, &room, &carol).refused(403, "M_FORBIDDEN").await;
    let outsider = User::register(server, "outsider").await;
    inviting(&outsider, &room, &carol).refused(403, "M_FORBIDDEN").await;
    inviting(&alice, "!nowhere:localhost", &carol).refused(403, "M_FORBIDDEN").await;
    let ban = json!({ "user_id": carol });
    alice.post(path(["rooms", &room, "ban"])).json(&ban).ok().await;
    inviting(&alice, &room, &carol).refused(403, "M_FORBIDDEN").await;
    assert!(remote.invites().is_empty());
}

async fn a_membership_event_of_a_client_invites_as_well(server: &Server) {
    let remote = Remote::start();
    remote.sign_invites();
    let alice = User::register(server, "alice").await;
    let room = alice.private_room(&[]).await;
    let carol = remote.peer.user("carol");
    let content = json!({ "membership": "invite", "org.example": "kept",
        "join_authorised_via_users_server": alice.id });
    let event = alice.set_state(&room, "m.room.member", &carol, &content).await;
    let member = alice.event(&room, &event).ok().await;
    let kept = json!({ "membership": "invite", "org.example": "kept" });
    assert_eq!((&member["content"], &member["state_key"]), (&kept, &json!(carol)));
    assert_eq!(remote.invites().len(), 1);
}

async fn a_room_is_made_with_users_of_other_servers_invited(server: &Server) {
    let (remote, refusing) = (Remote::start(), Remote::start());
    remote.sign_invites();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let (carol, dave) = (remote.peer.user("carol"), remote.peer.user("dave"));
    let absent = [refusing.peer.user("erin"), "@frank:localhost:1".to_owned()];
    let invite = json!([bob.id, carol, dave, absent[0], absent[1]]);
    let options = json!({ "preset": "private_chat", "is_direct": true, "invite": invite });
    let room = alice.create_room(&options).await;
    for user in [&bob.id, &carol, &dave] {
        let member = alice.state(&room, "m.room.member", user).ok().await;
        assert_eq!((&member["membership"], &member["is_direct"]), (&json!("invite"), &json!(true)));
    }
    for user in &absent {
        assert_eq!(alice.membership_in(&room, user).await, "");
    }
    remote.enter(server, &alice, &room, &carol).await;
    remote.accept_transactions();
    alice.say(&room, "hello").await;
    remote.until(SEND, |it| it.text().contains("hello")).await;
}

async fn t15b_an_invitation_that_is_withdrawn_is_told_to_whom_it_was_for(server: &Server) {
    for action in ["kick", "ban"] {
        let remote = Remote::start();
        remote.sign_invites();
        remote.accept_transactions();
        let alice = User::register(server, "alice").await;
        let room = alice.private_room(&[]).await;
        let carol = remote.peer.user("carol");
        inviting(&alice, &room, &carol).ok().await;
        alice.say(&room, "not for her").await;
        let body = json!({ "user_id": carol, "reason": "a mistake" });
        alice.post(path(["rooms", &room, action])).json(&body).ok().await;
        remote.until(SEND, |it| it.text().contains("a mistake")).await;
        alice.say(&room, "nor this").await;
        // Whatever comes after it would have come before this.
        let other = alice.public_room(&[]).await;
        remote.enter(server, &alice, &other, &carol).await;
        alice.say(&other, "but this is").await;
        remote.until(SEND, |it| it.text().contains("but this is")).await;
        let sent: String = remote.asked(SEND).iter().map(Asked::text).collect();
        assert!(!sent.contains("not for her") && !sent.contains("nor this"), "{sent}");
        let invite = remote.invites().pop().expect("an invitation");
        let ends = told(&remote, &carol);
        let end = ends.iter().find(|it| it["room_id"] == room.as_str()).expect("the end");
        let rules = PeerRoom::of(&remote.peer, &alice, &room).await.rules;
        let invite = event_id(&invite["event"], &rules);
        assert!(end["auth_events"].as_array().expect("auth").contains(&json!(invite)), "{end}");
    }
}

async fn a_user_of_another_server_turns_an_invitation_down(server: &Server) {
    let remote = Remote::start();
    remote.sign_invites();
    let alice = User::register(server, "alice").await;
    let room = alice.private_room(&[]).await;
    let carol = remote.peer.user("carol");
    inviting(&alice, &room, &carol).ok().await;
    let mut known = PeerRoom::of(&remote.peer, &alice, &room).await;
    remote.ask_for(server, "leave", &mut known, &carol).await.ok();
    assert_eq!(alice.membership_in(&room, &carol).await, "leave");
}

async fn a_user_of_another_server_who_has_knocked_is_invited_or_refused(server: &Server) {
    let remote = Remote::start();
    remote.sign_invites();
    remote.accept_transactions();
    let alice = User::register(server, "alice").await;
    let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let options = json!({ "preset": "private_chat", "initial_state": [rule] });
    let room = alice.create_room(&options).await;
    let (carol, dave) = (remote.peer.user("carol"), remote.peer.user("dave"));
    for user in [&carol, &dave] {
        let mut known = PeerRoom::of(&remote.peer, &alice, &room).await;
        remote.ask_for(server, "knock", &mut known, user).await.ok();
        assert_eq!(alice.membership_in(&room, user).await, "knock");
    }
    let reason = unique("not-you");
    let body = json!({ "user_id": dave, "reason": reason });
    alice.post(path(["rooms", &room, "kick"])).json(&body).ok().await;
    remote.until(SEND, |it| it.text().contains(&reason)).await;
    inviting(&alice, &room, &carol).ok().await;
    assert_eq!(alice.membership_in(&room, &carol).await, "invite");
    remote.enter(server, &alice, &room, &carol).await;
    assert_eq!(alice.membership_in(&room, &carol).await, "join");
}
