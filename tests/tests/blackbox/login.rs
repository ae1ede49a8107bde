//! Sessions: password login, tokens and their refresh, logout, password change.

use skerry_tests::{Client, PASSWORD, Server, User, Value, json, path};
use std::time::Duration;
use tokio::time::Instant;

both_hosts![
    the_login_flows_offer_a_password,
    a_user_logs_in_by_localpart_and_by_full_id,
    a_wrong_password_and_an_unknown_user_look_the_same,
    an_unknown_login_type_is_refused,
    a_user_of_another_server_is_refused,
    each_login_is_a_new_device,
    logging_in_on_a_known_device_replaces_its_token,
    refresh_tokens_are_given_only_when_asked_for,
    a_refresh_gives_new_tokens_for_the_same_device,
    a_refresh_can_be_repeated_until_its_result_is_used,
    a_refresh_token_that_was_spent_ends_its_session,
    a_refresh_that_nobody_heard_of_ends_nothing,
    an_unknown_refresh_token_is_refused,
    logout_ends_one_session,
    logout_ends_the_refresh_token_too,
    logout_all_ends_every_session,
    a_token_of_a_session_that_ended_is_unknown_everywhere,
    a_password_change_needs_the_password,
    a_password_change_ends_other_sessions,
    a_password_change_can_keep_other_sessions,
    a_token_under_another_name_is_unknown,
    a_session_that_ends_is_refused_by_its_next_request,
    a_sync_that_waits_ends_with_its_session,
];

/// How long a poll waits when nothing happens, and far longer than it takes to be woken.
const POLL: Duration = Duration::from_secs(45);
const PROMPT: Duration = Duration::from_secs(20);

/// Characters of the random part, with which a token ends.
const SECRET_CHARS: usize = 43;

fn password_login(user: &str, password: &str) -> Value {
    json!({ "type": "m.login.password", "password": password,
        "identifier": { "type": "m.id.user", "user": user } })
}

async fn the_login_flows_offer_a_password(server: &Server) {
    let flows = Client::new(server.url()).get("/login").ok().await;
    let flows = flows["flows"].as_array().expect("flows");
    assert!(flows.iter().any(|flow| flow["type"] == "m.login.password"), "{flows:?}");
}

async fn a_user_logs_in_by_localpart_and_by_full_id(server: &Server) {
    let alice = User::register(server, "alice").await;
    for name in [alice.localpart(), &alice.id] {
        let again = User::log_in(server, name).await;
        assert_eq!(again.id, alice.id);
        assert_eq!(again.get("/account/whoami").ok().await["device_id"], again.device.as_str());
    }
}

/// S-A3: the answer must not tell which names exist.
async fn a_wrong_password_and_an_unknown_user_look_the_same(server: &Server) {
    let alice = User::register(server, "alice").await;
    let anyone = Client::new(server.url());
    let wrong = anyone.post("/login").json(&password_login(&alice.id, "wrong"));
    let unknown = anyone.post("/login").json(&password_login("@nobody-at-all:localhost", PASSWORD));
    let wrong = wrong.refused(403, "M_FORBIDDEN").await;
    assert_eq!(wrong, unknown.refused(403, "M_FORBIDDEN").await);
}

async fn an_unknown_login_type_is_refused(server: &Server) {
    let anyone = Client::new(server.url());
    let reply = anyone.post("/login").json(&json!({ "type": "m.login.nonsense" })).send().await;
    assert_eq!(reply.status, 400, "{reply}");
    reply.client_error();
}

async fn a_user_of_another_server_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let foreign = format!("@{}:elsewhere.example", alice.localpart());
    let login = Client::new(server.url()).post("/login").json(&password_login(&foreign, PASSWORD));
    login.refused(403, "M_FORBIDDEN").await;
}

async fn each_login_is_a_new_device(server: &Server) {
    let alice = User::register(server, "alice").await;
    let again = User::log_in(server, &alice.id).await;
    assert_ne!(alice.device, again.device);
    assert_ne!(alice.token, again.token);
    alice.get("/account/whoami").ok().await;
}

/// S-A4
async fn logging_in_on_a_known_device_replaces_its_token(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut body = password_login(&alice.id, PASSWORD);
    body["device_id"] = json!(alice.device);
    let session = Client::new(server.url()).post("/login").json(&body).ok().await;
    assert_eq!(session["device_id"], alice.device.as_str());
    alice.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    let again = User::from_session(&alice, &session);
    let devices = again.get("/devices").ok().await;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
}

/// A session with a refresh token.
async fn refreshable(alice: &User) -> Value {
    let mut body = password_login(&alice.id, PASSWORD);
    body["refresh_token"] = json!(true);
    let session = alice.post("/login").json(&body).ok().await;
    assert!(session["refresh_token"].is_string(), "{session}");
    session
}

async fn refresh(anyone: &Client, token: &Value) -> Value {
    anyone.post("/refresh").json(&json!({ "refresh_token": token })).ok().await
}

async fn refresh_tokens_are_given_only_when_asked_for(server: &Server) {
    let alice = User::register(server, "alice").await;
    let login = alice.post("/login").json(&password_login(&alice.id, PASSWORD)).ok().await;
    assert!(login.get("refresh_token").is_none(), "{login}");
    let session = refreshable(&alice).await;
    assert!(session["expires_in_ms"].as_u64().is_some_and(|it| it > 0), "{session}");
}

/// S-A4
async fn a_refresh_gives_new_tokens_for_the_same_device(server: &Server) {
    let alice = User::register(server, "alice").await;
    let session = refreshable(&alice).await;
    let anyone = Client::new(server.url());
    let renewed = refresh(&anyone, &session["refresh_token"]).await;
    assert_ne!(renewed["access_token"], session["access_token"]);
    assert_ne!(renewed["refresh_token"], session["refresh_token"]);
    let user = anyone.with_token(renewed["access_token"].as_str().expect("a token"));
    let whoami = user.get("/account/whoami").ok().await;
    assert_eq!(whoami["device_id"], session["device_id"]);
    // Using the new token proved that it arrived, which ends the old refresh token.
    let replay =
        anyone.post("/refresh").json(&json!({ "refresh_token": session["refresh_token"] }));
    replay.refused(401, "M_UNKNOWN_TOKEN").await;
}

async fn a_refresh_can_be_repeated_until_its_result_is_used(server: &Server) {
    let alice = User::register(server, "alice").await;
    let session = refreshable(&alice).await;
    let anyone = Client::new(server.url());
    refresh(&anyone, &session["refresh_token"]).await;
    let second = refresh(&anyone, &session["refresh_token"]).await;
    let user = anyone.with_token(second["access_token"].as_str().expect("a token"));
    assert_eq!(user.get("/account/whoami").ok().await["device_id"], session["device_id"]);
}

async fn try_refresh(anyone: &Client, session: &Value) {
    let request =
        anyone.post("/refresh").json(&json!({ "refresh_token": session["refresh_token"] }));
    request.refused(401, "M_UNKNOWN_TOKEN").await;
}

/// S-A4: either who shows it has stolen it, or whoever used it.
async fn a_refresh_token_that_was_spent_ends_its_session(server: &Server) {
    let alice = User::register(server, "alice").await;
    let anyone = Client::new(server.url());
    let first = refreshable(&alice).await;
    let second = refresh(&anyone, &first["refresh_token"]).await;
    let third = refresh(&anyone, &second["refresh_token"]).await;
    let user =
        |session: &Value| anyone.with_token(session["access_token"].as_str().expect("a token"));
    user(&third).get("/account/whoami").ok().await;
    try_refresh(&anyone, &first).await;
    user(&third).get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    user(&third).get("/joined_rooms").refused(401, "M_UNKNOWN_TOKEN").await;
    try_refresh(&anyone, &third).await;
    // Other sessions are not concerned.
    alice.get("/account/whoami").ok().await;
    let devices = alice.get("/devices").ok().await;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
}

/// A client whose answer got lost asks again; the tokens that it never saw are nobody's.
async fn a_refresh_that_nobody_heard_of_ends_nothing(server: &Server) {
    let alice = User::register(server, "alice").await;
    let anyone = Client::new(server.url());
    let first = refreshable(&alice).await;
    let lost = refresh(&anyone, &first["refresh_token"]).await;
    let second = refresh(&anyone, &first["refresh_token"]).await;
    let user = anyone.with_token(second["access_token"].as_str().expect("a token"));
    user.get("/account/whoami").ok().await;
    try_refresh(&anyone, &lost).await;
    user.get("/account/whoami").ok().await;
    refresh(&anyone, &second["refresh_token"]).await;
}

async fn an_unknown_refresh_token_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    for token in ["invented", &alice.token] {
        let request = alice.post("/refresh").json(&json!({ "refresh_token": token }));
        request.refused(401, "M_UNKNOWN_TOKEN").await;
    }
}

async fn logout_ends_one_session(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    // The specification sends no body here.
    phone.post("/logout").no_body().ok().await;
    let refusal = phone.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    assert_ne!(refusal["soft_logout"], true, "the device is gone: {refusal}");
    let devices = alice.get("/devices").ok().await;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
}

/// S-A4
async fn logout_ends_the_refresh_token_too(server: &Server) {
    let alice = User::register(server, "alice").await;
    let session = refreshable(&alice).await;
    User::from_session(&alice, &session).post("/logout").ok().await;
    let request =
        alice.post("/refresh").json(&json!({ "refresh_token": session["refresh_token"] }));
    request.refused(401, "M_UNKNOWN_TOKEN").await;
}

async fn logout_all_ends_every_session(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let session = refreshable(&alice).await;
    alice.post("/logout/all").no_body().ok().await;
    for user in [&alice, &phone, &User::from_session(&alice, &session)] {
        user.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    }
    let fresh = User::log_in(server, &alice.id).await;
    let devices = fresh.get("/devices").ok().await;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
}

/// S-A4
async fn a_token_of_a_session_that_ended_is_unknown_everywhere(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    alice.post("/logout").ok().await;
    for request in [
        alice.get("/sync"),
        alice.get("/joined_rooms"),
        alice.get("/devices"),
        alice.post("/createRoom"),
        alice.post("/logout"),
        alice.messages(&room, "b"),
        alice.sending(&room, "m.room.message", &json!({})),
    ] {
        request.refused(401, "M_UNKNOWN_TOKEN").await;
    }
}

/// S-A4
async fn a_password_change_needs_the_password(server: &Server) {
    let alice = User::register(server, "alice").await;
    let body = json!({ "new_password": "another long password 7" });
    let challenge = alice.post("/account/password").json(&body).send().await;
    assert_eq!(challenge.status, 401, "{challenge}");
    let offered = challenge.json["flows"].to_string();
    assert!(offered.contains("m.login.password"), "{challenge}");

    let wrong = password_login(&alice.id, "wrong");
    let refusal = alice.post("/account/password").uia(body.clone(), wrong).await;
    let refusal = refusal.refused(401, "M_FORBIDDEN");
    assert!(refusal["flows"].is_array(), "another attempt is possible: {refusal}");
    assert!(refusal["session"].is_string(), "{refusal}");
    let mallory = User::register(server, "mallory").await;
    let foreign = alice.post("/account/password").uia(body, mallory.password_auth()).await;
    assert!([401, 403].contains(&foreign.status), "another user's password: {foreign}");
    User::log_in(server, &alice.id).await;
}

async fn change_password(alice: &User, body: Value) {
    alice.post("/account/password").uia(body, alice.password_auth()).await.ok();
}

/// S-A4
async fn a_password_change_ends_other_sessions(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let session = refreshable(&alice).await;
    change_password(&alice, json!({ "new_password": "another long password 7" })).await;
    alice.get("/account/whoami").ok().await;
    phone.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    let request =
        alice.post("/refresh").json(&json!({ "refresh_token": session["refresh_token"] }));
    request.refused(401, "M_UNKNOWN_TOKEN").await;
    let old = alice.post("/login").json(&password_login(&alice.id, PASSWORD));
    old.refused(403, "M_FORBIDDEN").await;
    let new = alice.post("/login").json(&password_login(&alice.id, "another long password 7"));
    new.ok().await;
}

async fn a_password_change_can_keep_other_sessions(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let body = json!({ "new_password": "another long password 7", "logout_devices": false });
    change_password(&alice, body).await;
    phone.get("/account/whoami").ok().await;
    alice.get("/account/whoami").ok().await;
}

/// S-A4: a token is its user's and nobody else's, and what is none is unknown.
async fn a_token_under_another_name_is_unknown(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let start = |user: &User| user.token.len() - SECRET_CHARS;
    let (named, _) = bob.token.split_at(start(&bob));
    let (_, secret) = alice.token.split_at(start(&alice));
    let anyone = Client::new(server.url());
    let (cut, longer) = (&alice.token[..alice.token.len() - 1], format!("{}x", alice.token));
    let forged = format!("{named}{secret}");
    for token in ["invented", "ska_", cut, &longer, &forged, &alice.token.to_uppercase()] {
        let stranger = anyone.with_token(token);
        for request in [
            stranger.get("/account/whoami"),
            stranger.get("/joined_rooms"),
            stranger.get("/sync"),
            stranger.post("/logout"),
            stranger.post("/refresh").json(&json!({ "refresh_token": token })),
        ] {
            request.refused(401, "M_UNKNOWN_TOKEN").await;
        }
    }
    alice.get("/account/whoami").ok().await;
    bob.get("/account/whoami").ok().await;
}

/// S-A4: also one that was used a moment ago, and whichever way it ended.
async fn a_session_that_ends_is_refused_by_its_next_request(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sends = async |user: &User| {
        user.sending(&room, "m.room.message", &json!({ "msgtype": "m.text", "body": "x" }))
    };
    for way in WAYS_TO_END {
        let phone = User::log_in(server, &alice.id).await;
        sends(&phone).await.ok().await;
        end(&alice, &phone, way).await;
        sends(&phone).await.refused(401, "M_UNKNOWN_TOKEN").await;
        sends(&alice).await.ok().await;
    }
}

const WAYS_TO_END: [&str; 3] = ["logout", "device", "password"];

/// Ends the session of a phone: by itself, on another connection than it may wait on, or from the
/// device of the user that goes on.
async fn end(alice: &User, phone: &User, way: &str) {
    match way {
        "logout" => drop(phone.post("/logout").ok().await),
        "device" => {
            let request = alice.delete(path(["devices", &phone.device]));
            request.uia(json!({}), alice.password_auth()).await.ok();
        }
        _ => change_password(alice, json!({ "new_password": PASSWORD })).await,
    }
}

/// S-A4: nothing of what is sent after the end is given to whoever was waiting.
async fn a_sync_that_waits_ends_with_its_session(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for way in WAYS_TO_END {
        let phone = User::log_in(server, &alice.id).await;
        let before = alice.say(&room, "before").await;
        let sync = phone.sync().until_event(&room, &before).await;
        let poll = phone.get("/sync").query("since", sync.next_batch());
        let poll = async {
            let reply = poll.query("timeout", POLL.as_millis()).send().await;
            (reply, Instant::now())
        };
        let ending = async {
            // The poll has to be waiting; requests of the same user cannot tell, but take as long.
            phone.get("/account/whoami").ok().await;
            let started = Instant::now();
            end(&alice, &phone, way).await;
            alice.say(&room, "after the end").await;
            started
        };
        let ((reply, answered), started) = tokio::join!(poll, ending);
        let took = answered.saturating_duration_since(started);
        assert!(took < PROMPT, "{way}: answered after {took:?}: {reply}");
        assert!(!reply.text.contains("after the end"), "{way}: {reply}");
        reply.refused(401, "M_UNKNOWN_TOKEN");
    }
}
