//! Invitations of users of whom a third-party identifier alone is known (F1).

use skerry_tests::{
    Request, Server, User, Value,
    identity::IdentityServer,
    json, path,
    peer::{Draft, PeerRoom},
    remote::Remote,
    unique,
};

both_hosts![
    who_is_not_known_is_invited_by_a_token,
    who_is_known_is_invited_at_once,
    f1_an_address_is_never_looked_up_in_the_clear,
    who_may_not_invite_asks_nobody,
    what_an_identity_server_refuses_is_refused,
    s_i3_what_an_identity_server_says_that_is_of_no_use_invites_nobody,
    who_turns_out_to_be_meant_is_invited_and_joins,
    a_user_of_another_server_turns_out_to_be_meant,
    a_user_turns_out_to_be_meant_by_a_user_of_another_server,
    f1_what_was_not_signed_for_the_user_invites_nobody,
    a_token_invites_once,
    nobody_is_invited_by_keys_that_are_not_valid_any_more,
    an_invitation_that_was_taken_back_invites_nobody,
    a_room_is_made_with_somebody_invited_by_address,
    a_client_joins_with_what_was_signed_for_its_user,
];

const EXCHANGE: &str = "/_matrix/federation/v1/exchange_third_party_invite";
const INVITATION: &str = "m.room.third_party_invite";

fn address() -> String {
    format!("{}@harbor.example", unique("sailor"))
}

fn inviting(user: &User, room: &str, body: &Value) -> Request {
    user.post(path(["rooms", room, "invite"])).json(body)
}

/// Invites an address that nobody has, and gives the token.
async fn invite(identity: &IdentityServer, user: &User, room: &str, address: &str) -> String {
    inviting(user, room, &identity.invite(address).0).ok().await;
    let invitations = invitations(user, room).await;
    invitations.last().and_then(|it| it["state_key"].as_str()).expect("a token").to_owned()
}

/// The invitations of a room, in their order.
async fn invitations(user: &User, room: &str) -> Vec<Value> {
    let mut state = user.all_state(room).await;
    state.retain(|it| it["type"] == INVITATION);
    state.sort_by_key(|it| it["origin_server_ts"].as_u64());
    state
}

/// A room with a name that alice has made.
async fn room_of(alice: &User) -> String {
    let options = json!({ "preset": "private_chat", "room_version": "11", "name": "Harbor" });
    alice.create_room(&options).await
}

fn exchanging(
    remote: &Remote,
    server: &Server,
    room: &str,
    (sender, target): (&str, &str),
    signed: &Value,
) -> Request {
    let third_party = json!({ "display_name": "x", "signed": signed });
    let content = json!({ "membership": "invite", "third_party_invite": third_party });
    let body = json!({ "type": "m.room.member", "room_id": room, "sender": sender,
        "state_key": target, "content": content });
    remote.put(server, &format!("{EXCHANGE}{}", path([room])), &body)
}

async fn who_is_not_known_is_invited_by_a_token(server: &Server) {
    let (identity, alice) = (IdentityServer::start(), User::register(server, "alice").await);
    let (room, address) = (room_of(&alice).await, address());
    let (body, token) = identity.invite(&address.to_uppercase());
    assert_eq!(inviting(&alice, &room, &body).ok().await, json!({}));
    let stored = identity.asked("store-invite").pop().expect("an invitation");
    assert_eq!(stored.headers["authorization"], [format!("Bearer {token}")]);
    let stored: Value = serde_json::from_slice(&stored.body).expect("JSON");
    for (field, expected) in [
        ("medium", "email"),
        ("address", &address),
        ("room_id", &room),
        ("sender", &alice.id),
        ("room_name", "Harbor"),
        ("room_join_rules", "invite"),
    ] {
        assert_eq!(stored[field], expected, "{stored}");
    }
    let invitations = invitations(&alice, &room).await;
    let [invitation] = &invitations[..] else { panic!("{invitations:?}") };
    let content = &invitation["content"];
    assert_eq!(
        (&content["display_name"], &invitation["sender"]),
        (&json!("s...@h..."), &json!(alice.id))
    );
    let keys = content["public_keys"].as_array().expect("keys");
    assert_eq!((keys.len(), &keys[0]["public_key"]), (2, &content["public_key"]));
    assert_eq!(keys[0]["key_validity_url"], content["key_validity_url"]);
    let all = json!(alice.all_state(&room).await).to_string();
    assert!(!all.contains(&address) && !all.contains(&token));
}

async fn who_is_known_is_invited_at_once(server: &Server) {
    let (identity, remote) = (IdentityServer::start(), Remote::start());
    remote.sign_invites();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = room_of(&alice).await;
    for user in [&bob.id, &remote.peer.user("carol")] {
        let address = address();
        identity.bind(&address, user);
        inviting(&alice, &room, &identity.invite(&address).0).ok().await;
        assert_eq!(alice.membership_in(&room, user).await, "invite");
    }
    assert_eq!(remote.invites().len(), 1);
    assert!(identity.asked("store-invite").is_empty());
    assert!(invitations(&alice, &room).await.is_empty());
    bob.join(&room).await;
}

async fn f1_an_address_is_never_looked_up_in_the_clear(server: &Server) {
    let (identity, alice) = (IdentityServer::start(), User::register(server, "alice").await);
    let (room, address) = (room_of(&alice).await, address());
    identity.bind(&address, &User::register(server, "bob").await.id);
    inviting(&alice, &room, &identity.invite(&address).0).ok().await;
    let asked = identity.asked("");
    assert!(asked.iter().all(|it| !it.text().contains(&address) && !it.path.contains(&address)));
    // One that would want it so is told nothing.
    let known = identity.asked("lookup").len();
    identity.answer("hash_details", |_| {
        (200, json!({ "lookup_pepper": "salty", "algorithms": ["none"] }))
    });
    inviting(&alice, &room, &identity.invite(&address).0).refused(502, "M_UNKNOWN").await;
    assert_eq!(identity.asked("lookup").len(), known);
}

async fn who_may_not_invite_asks_nobody(server: &Server) {
    let identity = IdentityServer::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[]).await;
    let (body, _) = identity.invite(&address());
    inviting(&bob, &room, &body).refused(403, "M_FORBIDDEN").await;
    bob.join(&room).await;
    let mut levels = alice.state(&room, "m.room.power_levels", "").ok().await;
    levels["invite"] = json!(50);
    alice.set_state(&room, "m.room.power_levels", "", &levels).await;
    inviting(&bob, &room, &body).refused(403, "M_FORBIDDEN").await;
    for (field, value) in [
        ("id_server", "https://id.example"),
        ("id_server", "id.example/x"),
        ("id_server", ""),
        ("medium", "msisdn"),
        ("medium", "pigeon"),
        ("address", "nobody"),
        ("address", &format!("{}@x.y", "a".repeat(300))),
    ] {
        let mut body = body.clone();
        body[field] = json!(value);
        inviting(&alice, &room, &body).refused(400, "M_INVALID_PARAM").await;
    }
    assert!(identity.asked("").is_empty());
    // Nor is anybody asked who is not to be reached from here.
    for private in ["10.0.0.1", "[::1]", "169.254.169.254", "localhost.:1"] {
        let mut body = body.clone();
        body["id_server"] = json!(private);
        let reply = inviting(&alice, &room, &body).send().await;
        assert!([400, 502].contains(&reply.status), "{private}: {reply}");
    }
}

async fn what_an_identity_server_refuses_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = room_of(&alice).await;
    let cases = [
        ("hash_details", 401, "M_UNAUTHORIZED", 502, "M_UNKNOWN"),
        // A client that reads this logs out.
        ("hash_details", 401, "M_UNKNOWN_TOKEN", 502, "M_UNKNOWN"),
        ("hash_details", 403, "M_TERMS_NOT_SIGNED", 403, "M_TERMS_NOT_SIGNED"),
        ("lookup", 403, "M_TERMS_NOT_SIGNED", 403, "M_TERMS_NOT_SIGNED"),
        ("lookup", 400, "M_INVALID_PEPPER", 502, "M_UNKNOWN"),
        ("store-invite", 400, "M_THREEPID_IN_USE", 403, "M_THREEPID_IN_USE"),
        ("store-invite", 500, "M_UNKNOWN", 502, "M_UNKNOWN"),
    ];
    for (path, status, code, expected_status, expected) in cases {
        let identity = IdentityServer::start();
        let body = json!({ "errcode": code, "error": "no" });
        identity.answer(path, move |_| (status, body.clone()));
        let (body, _) = identity.invite(&address());
        inviting(&alice, &room, &body).refused(expected_status, expected).await;
        assert!(identity.asked("lookup").len() <= 2, "nobody is asked for ever");
    }
    let mut gone = IdentityServer::start().invite(&address()).0;
    inviting(&alice, &room, &gone).refused(502, "M_UNKNOWN").await;
    gone["id_server"] = json!("nowhere.invalid");
    inviting(&alice, &room, &gone).refused(502, "M_UNKNOWN").await;
    assert!(invitations(&alice, &room).await.is_empty());
}

/// S-I3
async fn s_i3_what_an_identity_server_says_that_is_of_no_use_invites_nobody(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = room_of(&alice).await;
    let key = |key: &str, url: &str| json!({ "public_key": key, "key_validity_url": url });
    let good = key("VXuGitF39UH5iRfvbIknlvlAVKgD1BsLDMvBf0pmp7c", "https://id.example/isvalid");
    let stored = |token: &str, keys: &[&Value], name: &str| json!({ "token": token, "public_keys": keys, "display_name": name });
    let answers = [
        json!({}),
        json!([]),
        stored("", &[&good, &good], "a"),
        stored("a b", &[&good, &good], "a"),
        stored(&"a".repeat(256), &[&good, &good], "a"),
        stored("a", &[], "a"),
        stored("a", &[&good, &key("AAAA", "https://id.example/")], "a"),
        stored("a", &[&good, &key("VXuGitF39UH5iRfvbIknlvlAVKgD1BsLDMvBf0pmp7c", "x")], "a"),
        stored("a", &[&good, &good], &"a".repeat(70_000)),
    ];
    for answer in answers {
        let identity = IdentityServer::start();
        identity.answer("store-invite", move |_| (200, answer.clone()));
        let (body, _) = identity.invite(&address());
        inviting(&alice, &room, &body).refused(502, "M_UNKNOWN").await;
    }
    let identity = IdentityServer::start();
    identity.answer("lookup", |_| (200, json!({ "mappings": [] })));
    let (body, _) = identity.invite(&address());
    inviting(&alice, &room, &body).refused(502, "M_UNKNOWN").await;
    assert!(invitations(&alice, &room).await.is_empty());
}

async fn who_turns_out_to_be_meant_is_invited_and_joins(server: &Server) {
    let identity = IdentityServer::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    for by_itself in [false, true] {
        let (room, address) = (room_of(&alice).await, address());
        let token = invite(&identity, &alice, &room, &address).await;
        let signed = match by_itself {
            true => identity.sign_itself(&bob.id, &token),
            false => identity.sign(&bob.id, &token),
        };
        let mut watch = bob.watch().await;
        let invites = [(&*room, &*alice.id, &signed)];
        IdentityServer::tell(server, &address, &bob.id, &invites).ok().await;
        watch.until("the invitation", |it| it.room("invite", &room).map(|_| ())).await;
        let member = alice.state(&room, "m.room.member", &bob.id).ok().await;
        let third_party = json!({ "display_name": "s...@h...", "signed": signed });
        let expected = json!({ "membership": "invite", "third_party_invite": third_party });
        assert_eq!(member, expected);
        // It is told again where the answer did not arrive.
        let before = alice.state_ids(&room).await;
        IdentityServer::tell(server, &address, &bob.id, &invites).ok().await;
        assert_eq!(alice.state_ids(&room).await, before);
        bob.join(&room).await;
        IdentityServer::tell(server, &address, &bob.id, &invites).ok().await;
        assert_eq!(alice.membership_in(&room, &bob.id).await, "join");
    }
}

async fn a_user_of_another_server_turns_out_to_be_meant(server: &Server) {
    let (identity, remote) = (IdentityServer::start(), Remote::start());
    remote.sign_invites();
    let (alice, carol) = (User::register(server, "alice").await, remote.peer.user("carol"));
    let (room, address) = (room_of(&alice).await, address());
    let token = invite(&identity, &alice, &room, &address).await;
    let signed = identity.sign(&carol, &token);
    let users = (&*alice.id, &*carol);
    exchanging(&remote, server, &room, users, &signed).ok().await;
    assert_eq!(alice.membership_in(&room, &carol).await, "invite");
    let invite = remote.invites().pop().expect("an invitation");
    let third_party = &invite["event"]["content"]["third_party_invite"];
    assert_eq!(*third_party, json!({ "display_name": "s...@h...", "signed": signed }));
    exchanging(&remote, server, &room, users, &signed).ok().await;
    assert_eq!(remote.invites().len(), 1, "once");
    remote.enter(server, &alice, &room, &carol).await;
    assert_eq!(alice.membership_in(&room, &carol).await, "join");
}

async fn a_user_turns_out_to_be_meant_by_a_user_of_another_server(server: &Server) {
    let (identity, remote) = (IdentityServer::start(), Remote::start());
    let bob = User::register(server, "bob").await;
    let carol = remote.peer.user("carol");
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let signed = identity.sign(&bob.id, "abc");
    let address = address();
    let invites = [(&*room.id, &*carol, &signed)];
    // It is not there: the identity server is to tell it again.
    remote.answer(EXCHANGE, |_| (500, json!({ "errcode": "M_UNKNOWN", "error": "later" })));
    IdentityServer::tell(server, &address, &bob.id, &invites).refused(502, "M_UNKNOWN").await;
    remote.answer(EXCHANGE, |_| (403, json!({ "errcode": "M_FORBIDDEN", "error": "no" })));
    IdentityServer::tell(server, &address, &bob.id, &invites).refused(403, "M_FORBIDDEN").await;
    remote.answer(EXCHANGE, |_| (200, json!({})));
    IdentityServer::tell(server, &address, &bob.id, &invites).ok().await;
    let asked = remote.asked(EXCHANGE).pop().expect("a question");
    let asked: Value = serde_json::from_slice(&asked.body).expect("JSON");
    for (field, expected) in [
        ("type", "m.room.member"),
        ("room_id", &room.id),
        ("sender", &carol),
        ("state_key", &bob.id),
    ] {
        assert_eq!(asked[field], expected, "{asked}");
    }
    assert_eq!(asked["content"]["membership"], "invite");
    assert_eq!(asked["content"]["third_party_invite"]["signed"], signed);
    assert!(!asked.to_string().contains(&address), "{asked}");
    // The other server invites him.
    let third_party = json!({ "display_name": "b...", "signed": signed });
    let content = json!({ "membership": "invite", "third_party_invite": third_party });
    let invited = room.stray(Draft::state(&carol, "m.room.member", &bob.id, content.clone()));
    let answer = remote.inviting(server, &room, &invited).ok().await;
    assert!(answer["event"]["signatures"]["localhost"].is_object(), "{answer}");
    bob.sync().until("the invitation", |it| it.room("invite", &room.id).map(|_| ())).await;
    // What was signed for somebody else is no invitation of his.
    let mut other = content;
    other["third_party_invite"]["signed"] = identity.sign(&carol, "abc");
    let other = room.stray(Draft::state(&carol, "m.room.member", &bob.id, other));
    remote.inviting(server, &room, &other).refused(400, "M_INVALID_PARAM").await;
}

/// F1
async fn f1_what_was_not_signed_for_the_user_invites_nobody(server: &Server) {
    let (identity, forger) = (IdentityServer::start(), IdentityServer::start());
    let (remote, other) = (Remote::start(), Remote::start());
    remote.sign_invites();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let (room, address) = (room_of(&alice).await, address());
    let token = invite(&identity, &alice, &room, &address).await;
    let carol = remote.peer.user("carol");
    let tell = |user: &str, sender: &str, signed: &Value| {
        IdentityServer::tell(server, &address, user, &[(&*room, sender, signed)])
    };
    let mut unsigned = identity.sign(&bob.id, &token);
    unsigned["signatures"] = json!({});
    let mut changed = identity.sign(&carol, &token);
    changed["mxid"] = json!(bob.id);
    let nobody = json!({ "mxid": bob.id });
    let forged = [
        forger.sign(&bob.id, &token),
        identity.sign(&bob.id, "another"),
        unsigned,
        changed,
        nobody,
        json!({}),
    ];
    for signed in &forged {
        tell(&bob.id, &alice.id, signed).refused(403, "M_FORBIDDEN").await;
        let users = (&*alice.id, &*carol);
        exchanging(&remote, server, &room, users, signed).refused(403, "M_FORBIDDEN").await;
    }
    let signed = identity.sign(&bob.id, &token);
    // In the name of somebody who has not invited.
    tell(&bob.id, &bob.id, &signed).refused(403, "M_FORBIDDEN").await;
    // To another server's user, to nobody, and by another server than the user's.
    tell(&carol, &alice.id, &signed).refused(403, "M_FORBIDDEN").await;
    let nobody = format!("@{}:localhost", unique("nobody"));
    tell(&nobody, &alice.id, &identity.sign(&nobody, &token)).refused(404, "M_NOT_FOUND").await;
    let signed = identity.sign(&carol, &token);
    let users = (&*alice.id, &*carol);
    exchanging(&other, server, &room, users, &signed).refused(403, "M_FORBIDDEN").await;
    // Where this server is not.
    let elsewhere = format!("!{}:localhost", unique("elsewhere"));
    let reply = exchanging(&remote, server, &elsewhere, users, &signed).send().await;
    assert!([403, 404].contains(&reply.status), "{reply}");
    let many = vec![(&*room, &*alice.id, &signed); 21];
    IdentityServer::tell(server, &address, &bob.id, &many).refused(413, "M_TOO_LARGE").await;
    for user in [&bob.id, &carol] {
        let state = alice.all_state(&room).await;
        assert!(state.iter().all(|it| it["state_key"] != user.as_str()), "{user}");
    }
    assert!(remote.invites().is_empty());
}

async fn a_token_invites_once(server: &Server) {
    let (identity, remote) = (IdentityServer::start(), Remote::start());
    remote.sign_invites();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let (room, address) = (room_of(&alice).await, address());
    let token = invite(&identity, &alice, &room, &address).await;
    let signed = identity.sign(&bob.id, &token);
    let tell = || IdentityServer::tell(server, &address, &bob.id, &[(&*room, &*alice.id, &signed)]);
    tell().ok().await;
    bob.join(&room).await;
    alice.on_member(&room, "kick", &bob).ok().await;
    tell().refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_in(&room, &bob.id).await, "leave");
    // Nor does it once he was invited otherwise.
    inviting(&alice, &room, &json!({ "user_id": bob.id })).ok().await;
    tell().refused(403, "M_FORBIDDEN").await;
    bob.join(&room).await;
    alice.on_member(&room, "ban", &bob).ok().await;
    tell().refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_in(&room, &bob.id).await, "ban");
    // Who is in the room already is not invited to it.
    let dora = User::register(server, "dora").await;
    inviting(&alice, &room, &json!({ "user_id": dora.id })).ok().await;
    dora.join(&room).await;
    let token = invite(&identity, &alice, &room, &address).await;
    let signed = identity.sign(&dora.id, &token);
    let invites = [(&*room, &*alice.id, &signed)];
    IdentityServer::tell(server, &address, &dora.id, &invites).refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_in(&room, &dora.id).await, "join");
}

async fn nobody_is_invited_by_keys_that_are_not_valid_any_more(server: &Server) {
    let identity = IdentityServer::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let (room, address) = (room_of(&alice).await, address());
    let token = invite(&identity, &alice, &room, &address).await;
    let signed = identity.sign(&bob.id, &token);
    let tell = || IdentityServer::tell(server, &address, &bob.id, &[(&*room, &*alice.id, &signed)]);
    // It does not say: later it may.
    identity.answer("pubkey/", |_| (500, json!({ "errcode": "M_UNKNOWN", "error": "later" })));
    tell().refused(502, "M_UNKNOWN").await;
    identity.answer("pubkey/", |_| (200, json!({ "valid": "perhaps" })));
    tell().refused(502, "M_UNKNOWN").await;
    identity.answer("pubkey/", |_| (200, json!({ "valid": false })));
    tell().refused(403, "M_FORBIDDEN").await;
    assert!(!identity.asked("pubkey/ephemeral/isvalid?public_key=").is_empty());
    identity.answer("pubkey/", |_| (200, json!({ "valid": true })));
    tell().ok().await;
    assert_eq!(alice.membership_in(&room, &bob.id).await, "invite");
}

async fn an_invitation_that_was_taken_back_invites_nobody(server: &Server) {
    let identity = IdentityServer::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let (room, address) = (room_of(&alice).await, address());
    let token = invite(&identity, &alice, &room, &address).await;
    alice.set_state(&room, INVITATION, &token, &json!({})).await;
    let signed = identity.sign(&bob.id, &token);
    let invites = [(&*room, &*alice.id, &signed)];
    IdentityServer::tell(server, &address, &bob.id, &invites).refused(403, "M_FORBIDDEN").await;
}

async fn a_room_is_made_with_somebody_invited_by_address(server: &Server) {
    let (identity, silent) = (IdentityServer::start(), IdentityServer::start());
    silent.answer("", |_| (500, json!({ "errcode": "M_UNKNOWN", "error": "no" })));
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let known = address();
    identity.bind(&known, &bob.id);
    let invites =
        [identity.invite(&address()).0, silent.invite(&address()).0, identity.invite(&known).0];
    // Who could not be invited is to be seen in the room.
    let room = alice.create_room(&json!({ "invite_3pid": invites })).await;
    assert_eq!(invitations(&alice, &room).await.len(), 1);
    assert_eq!(alice.membership_in(&room, &bob.id).await, "invite");
    let many = vec![&invites[0]; 11];
    alice
        .post("/createRoom")
        .json(&json!({ "invite_3pid": many }))
        .refused(400, "M_BAD_JSON")
        .await;
}

async fn a_client_joins_with_what_was_signed_for_its_user(server: &Server) {
    let identity = IdentityServer::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let (room, address) = (room_of(&alice).await, address());
    let token = invite(&identity, &alice, &room, &address).await;
    let join = |signed: &Value| {
        let body = json!({ "third_party_signed": signed });
        bob.post(path(["rooms", &room, "join"])).json(&body)
    };
    let forged = IdentityServer::start().sign_join(&alice.id, &bob.id, &token);
    join(&forged).refused(403, "M_FORBIDDEN").await;
    let other = identity.sign_join(&alice.id, &alice.id, &token);
    join(&other).refused(403, "M_FORBIDDEN").await;
    let signed = identity.sign_join(&alice.id, &bob.id, &token);
    join(&signed).ok().await;
    join(&signed).ok().await;
    assert_eq!(alice.membership_in(&room, &bob.id).await, "join");
}
