//! Tokens by which others are told who somebody is.

use skerry_tests::{Client, Request, Server, User, Value, encode, json, path};

both_hosts![
    a_token_tells_whose_it_is_and_nothing_else,
    a_token_is_made_for_oneself,
    who_has_no_token_is_told_nothing,
    the_token_of_a_closed_account_tells_nothing,
];

fn making(user: &User, of: &str) -> Request {
    user.post(path(["user", of, "openid", "request_token"])).json(&json!({}))
}

fn userinfo(server: &Server, token: &str) -> Request {
    let path = format!("/_matrix/federation/v1/openid/userinfo?access_token={}", encode(token));
    Client::new(server.url()).get(path)
}

fn text(made: &Value) -> &str {
    made["access_token"].as_str().expect("a token")
}

async fn a_token_tells_whose_it_is_and_nothing_else(server: &Server) {
    let alice = User::register(server, "alice").await;
    let made = making(&alice, &alice.id).ok().await;
    let token = text(&made);
    let expected = json!({ "access_token": token, "token_type": "Bearer",
        "matrix_server_name": server.name(), "expires_in": 3600 });
    assert_eq!(made, expected);
    for _ in 0..2 {
        assert_eq!(userinfo(server, token).ok().await, json!({ "sub": alice.id }));
    }
    let other = making(&alice, &alice.id).ok().await;
    assert_ne!(text(&other), token);
    assert_eq!(userinfo(server, text(&other)).ok().await, json!({ "sub": alice.id }));
    assert_eq!(userinfo(server, token).ok().await, json!({ "sub": alice.id }));
    // It is no access token, and an access token is none of these.
    let with_it = Client::new(server.url()).with_token(token);
    with_it.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    userinfo(server, &alice.token).refused(401, "M_UNKNOWN_TOKEN").await;
}

async fn a_token_is_made_for_oneself(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    making(&bob, &alice.id).refused(403, "M_FORBIDDEN").await;
    let anyone = Client::new(server.url());
    let path = path(["user", &alice.id, "openid", "request_token"]);
    anyone.post(path).json(&json!({})).refused(401, "M_MISSING_TOKEN").await;
}

async fn who_has_no_token_is_told_nothing(server: &Server) {
    let alice = User::register(server, "alice").await;
    let made = making(&alice, &alice.id).ok().await;
    let token = text(&made);
    let end = token.len() - 1;
    let altered = format!("{}{}", &token[..end], if token.ends_with('A') { 'B' } else { 'A' });
    for unknown in [&*altered, "", "sko_", &token[..end], &format!("{token}A")] {
        userinfo(server, unknown).refused(401, "M_UNKNOWN_TOKEN").await;
    }
    let path = "/_matrix/federation/v1/openid/userinfo";
    Client::new(server.url()).get(path).refused(400, "M_MISSING_PARAM").await;
}

async fn the_token_of_a_closed_account_tells_nothing(server: &Server) {
    let alice = User::register(server, "alice").await;
    let made = making(&alice, &alice.id).ok().await;
    let close = alice.post("/account/deactivate");
    close.uia(json!({}), alice.password_auth()).await.ok();
    userinfo(server, text(&made)).refused(401, "M_UNKNOWN_TOKEN").await;
    making(&alice, &alice.id).refused(401, "M_UNKNOWN_TOKEN").await;
}
