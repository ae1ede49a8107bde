//! How tokens end: by time, by a refresh, by what is done to the account; and what is none.

use http::{Method, StatusCode};
use ruma::UserId;
use serde_json::{Value, json};
use skerry::ports::Stmt;

use super::house::{House, LIFETIME_MS, PASSWORD};

#[tokio::test]
async fn an_expired_token_is_a_soft_logout_until_it_is_refreshed() {
    let house = House::open().await;
    house.register("alice").await;
    let session = house.log_in("alice").await;
    assert_eq!(session["expires_in_ms"], LIFETIME_MS);
    house.pass(LIFETIME_MS - 1);
    assert_eq!(house.whoami(&session["access_token"]).await, (200, false));
    house.pass(1);
    assert_eq!(house.whoami(&session["access_token"]).await, (401, true));
    let (_, renewed) = house.refresh(&session["refresh_token"]).await;
    assert_eq!(house.whoami(&renewed["access_token"]).await, (200, false));
    assert_eq!(house.whoami(&session["access_token"]).await, (401, false));
}

#[tokio::test]
async fn a_session_without_refresh_tokens_does_not_expire() {
    let house = House::open().await;
    let session = house.register("alice").await;
    house.pass(1_000 * LIFETIME_MS);
    assert_eq!(house.whoami(&session["access_token"]).await, (200, false));
}

#[tokio::test]
async fn what_a_refresh_replaces_is_valid_until_the_new_is_used() {
    let house = House::open().await;
    house.register("alice").await;
    let first = house.log_in("alice").await;
    let (_, lost) = house.refresh(&first["refresh_token"]).await;
    let (_, second) = house.refresh(&first["refresh_token"]).await;
    assert_eq!(house.whoami(&first["access_token"]).await, (200, false));
    // Using the new refresh token proves that it arrived, as using the new access token would.
    let (_, third) = house.refresh(&second["refresh_token"]).await;
    let refused = async |session: &Value| {
        let (status, reply) = house.refresh(&session["refresh_token"]).await;
        assert_eq!((status.as_u16(), &reply["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")));
    };
    refused(&lost).await;
    assert_eq!(house.whoami(&first["access_token"]).await.0, 401);
    assert_eq!(house.whoami(&lost["access_token"]).await.0, 401);
    assert_eq!(house.whoami(&second["access_token"]).await, (200, false));
    assert_eq!(house.whoami(&third["access_token"]).await, (200, false));
    assert_eq!(house.whoami(&second["access_token"]).await.0, 401);
    let (status, fourth) = house.refresh(&third["refresh_token"]).await;
    assert_eq!(status, StatusCode::OK);
    // One that was spent ends the session, whoever shows it.
    refused(&second).await;
    assert_eq!(house.whoami(&third["access_token"]).await.0, 401);
    refused(&fourth).await;
}

/// What got no answer may have been carried out last, and either answer may be the one that
/// arrives.
#[tokio::test]
async fn the_answer_of_a_repeated_refresh_that_is_used_first_is_good() {
    for uses_first in [true, false] {
        let house = House::open().await;
        house.register("alice").await;
        let session = house.log_in("alice").await;
        let (_, one) = house.refresh(&session["refresh_token"]).await;
        let (_, two) = house.refresh(&session["refresh_token"]).await;
        let (used, other) = if uses_first { (one, two) } else { (two, one) };
        assert_eq!(house.whoami(&used["access_token"]).await, (200, false));
        assert_eq!(house.whoami(&other["access_token"]).await.0, 401);
        assert_eq!(house.whoami(&session["access_token"]).await.0, 401);
        assert_eq!(house.refresh(&used["refresh_token"]).await.0, StatusCode::OK);
    }
}

/// What is remembered of tokens here is remembered for longer than any test takes.
#[tokio::test]
async fn a_token_that_ends_is_refused_at_once() {
    let house = House::open().await;
    let alice = house.register("alice").await;
    let (phone, tablet) = (house.log_in("alice").await, house.log_in("alice").await);
    let token = alice["access_token"].as_str().unwrap();
    let joined = async |session: &Value| {
        let token = session["access_token"].as_str().unwrap();
        house.ask(Method::GET, "/joined_rooms", token, &Value::Null).await.0.as_u16()
    };
    for session in [&alice, &phone, &tablet] {
        assert_eq!(joined(session).await, 200);
    }
    let auth = json!({ "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": "alice" } });
    let path = format!("/devices/{}", phone["device_id"].as_str().unwrap());
    let (status, _) = house.ask(Method::DELETE, &path, token, &json!({ "auth": auth })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((joined(&phone).await, joined(&tablet).await), (401, 200));
    let (_, renewed) = house.refresh(&tablet["refresh_token"]).await;
    assert_eq!(joined(&tablet).await, 200);
    assert_eq!(joined(&renewed).await, 200);
    assert_eq!(joined(&tablet).await, 401, "its successor was used");
    let (status, _) = house.ask(Method::POST, "/logout/all", token, &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((joined(&alice).await, joined(&renewed).await), (401, 401));
    // A sync is checked by the user's object itself, which is what ends the tokens.
    let (first, second) = (house.log_in("alice").await, house.log_in("alice").await);
    let sync = async |session: &Value| {
        let token = session["access_token"].as_str().unwrap();
        let (status, reply) = house.ask(Method::GET, "/sync", token, &Value::Null).await;
        (status.as_u16(), reply["soft_logout"] == true)
    };
    assert_eq!((sync(&first).await, sync(&second).await), ((200, false), (200, false)));
    let token = first["access_token"].as_str().unwrap();
    house.ask(Method::POST, "/logout", token, &json!({})).await;
    assert_eq!((sync(&first).await, sync(&second).await), ((401, false), (200, false)));
    let (_, renewed) = house.refresh(&second["refresh_token"]).await;
    assert_eq!(joined(&second).await, 200);
    assert_eq!(sync(&renewed).await, (200, false));
    assert_eq!((sync(&second).await, joined(&second).await), ((401, false), 401));
    house.pass(LIFETIME_MS);
    assert_eq!(sync(&renewed).await, (401, true));
}

/// A flood of questions about a token while it ends: no answer from before is remembered after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_overlaps_the_end_of_a_token_leaves_nothing_behind() {
    let house = House::open().await;
    house.register("alice").await;
    for _ in 0..10 {
        let session = house.log_in("alice").await;
        let token = session["access_token"].as_str().unwrap();
        let look =
            async || house.ask(Method::GET, "/joined_rooms", token, &Value::Null).await.0.as_u16();
        let looks = async {
            for _ in 0..20 {
                look().await;
            }
        };
        let end = async { house.ask(Method::POST, "/logout", token, &json!({})).await.0 };
        let ((), _, status) = tokio::join!(looks, look(), end);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(look().await, 401);
    }
}

#[tokio::test]
async fn what_is_no_token_of_the_user_it_names_is_unknown_and_makes_nothing() {
    let house = House::open().await;
    let alice = house.register("alice").await;
    house.register("bob").await;
    let token = alice["access_token"].as_str().unwrap();
    let (_, random) = token.split_at(token.len() - 43);
    let naming = |localpart: &str| {
        let user_id = format!("@{localpart}:example.org");
        let user_id: &UserId = user_id.as_str().try_into().unwrap();
        let made = skerry_core::token::TokenKind::Access.make(user_id, &[7; 32]);
        format!("{}{random}", made.split_at(made.len() - 43).0)
    };
    assert_eq!(naming("alice"), token);
    let refresh_token = house.log_in("alice").await["refresh_token"].as_str().unwrap().to_owned();
    let count = Stmt::new("SELECT COUNT(*) FROM objects");
    let before = house.cx.ports.global.row(count.clone()).await.unwrap();
    for text in [
        &*naming("bob"),
        &naming("nobody"),
        &refresh_token,
        "invented",
        "ska_",
        &token[..token.len() - 1],
        &format!("{token}x"),
        &token.to_uppercase(),
    ] {
        for path in ["/joined_rooms", "/account/whoami", "/sync"] {
            let (status, reply) = house.ask(Method::GET, path, text, &Value::Null).await;
            assert_eq!(status.as_u16(), 401, "{text} {path}: {reply}");
            assert_eq!(reply["errcode"], "M_UNKNOWN_TOKEN", "{text} {path}");
        }
        let (status, reply) = house.refresh(&json!(text)).await;
        let is_refresh_token = text == refresh_token;
        assert_eq!(status.as_u16(), if is_refresh_token { 200 } else { 401 }, "{text}: {reply}");
    }
    let after = house.cx.ports.global.row(count).await.unwrap();
    assert_eq!(before, after, "no object is made of what somebody invents");
}
