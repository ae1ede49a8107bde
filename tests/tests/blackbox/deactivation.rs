//! Deactivating an account.

use super::federation_invites::with_invitation;
use skerry_tests::{Client, PASSWORD, Server, User, json, path};

both_hosts![
    deactivation_needs_the_password,
    a_deactivated_account_has_no_session_and_no_login,
    a_deactivated_name_is_never_free_again,
    a_deactivated_account_turns_its_invitations_down,
];

async fn deactivate(alice: &User) {
    let body = json!({});
    let reply = alice.post("/account/deactivate").uia(body, alice.password_auth()).await;
    let result = reply.ok();
    let unbind = result["id_server_unbind_result"].as_str().expect("an unbind result");
    assert!(["success", "no-support"].contains(&unbind), "{result}");
}

/// S-B3
async fn deactivation_needs_the_password(server: &Server) {
    let alice = User::register(server, "alice").await;
    let challenge = alice.post("/account/deactivate").send().await;
    assert_eq!(challenge.status, 401, "{challenge}");
    assert!(challenge.json["flows"].is_array(), "{challenge}");
    let wrong = json!({ "type": "m.login.password", "password": "wrong",
        "identifier": { "type": "m.id.user", "user": alice.id } });
    let refusal = alice.post("/account/deactivate").uia(json!({}), wrong).await;
    refusal.refused(401, "M_FORBIDDEN");
    alice.get("/account/whoami").ok().await;
}

/// S-B3
async fn a_deactivated_account_has_no_session_and_no_login(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    deactivate(&alice).await;
    alice.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    phone.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    // Nobody is told that it ever was: the answer is that of an account that never existed.
    let nobody = skerry_tests::unique("nobody");
    let login = |user: &str, password: &str| {
        let identifier = json!({ "type": "m.id.user", "user": user });
        let body = json!({ "type": "m.login.password", "password": password,
            "identifier": identifier });
        alice.post("/login").json(&body)
    };
    let unknown = login(&nobody, "wrong").refused(403, "M_FORBIDDEN").await;
    for password in [PASSWORD, "wrong"] {
        assert_eq!(login(&alice.id, password).refused(403, "M_FORBIDDEN").await, unknown);
    }
}

/// T7: whoever took the name over would be taken for its first owner.
async fn a_deactivated_name_is_never_free_again(server: &Server) {
    let alice = User::register(server, "alice").await;
    deactivate(&alice).await;
    let anyone = Client::new(server.url());
    let body = json!({ "username": alice.localpart(), "password": PASSWORD });
    anyone.post("/register").json(&body).refused(400, "M_USER_IN_USE").await;
}

async fn a_deactivated_account_turns_its_invitations_down(server: &Server) {
    let bob = User::register(server, "bob").await;
    let room = bob.private_room(&[]).await;
    let (remote, elsewhere, alice, _) = with_invitation(server, "11").await;
    remote.let_go(&elsewhere);
    bob.post(path(["rooms", &room, "invite"])).json(&json!({ "user_id": alice.id })).ok().await;
    deactivate(&alice).await;
    let mut watch = bob.watch().await;
    let left = |it: &skerry_tests::Sync| {
        let timeline = it.joined(&room)?.timeline().to_vec();
        timeline.iter().any(|it| it["content"]["membership"] == "leave").then_some(())
    };
    if bob.membership_in(&room, &alice.id).await != "leave" {
        watch.until("the room here", left).await;
    }
    let leave = remote.until("/_matrix/federation/v2/send_leave/", |_| true).await;
    let leave: skerry_tests::Value = serde_json::from_slice(&leave.body).expect("an event");
    assert_eq!((&leave["sender"], &leave["state_key"]), (&json!(alice.id), &json!(alice.id)));
    assert_eq!(leave["content"], json!({ "membership": "leave" }));
}
