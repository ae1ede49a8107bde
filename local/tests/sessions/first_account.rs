//! Registration tokens: the first account is the admin, and a use that is reserved is not lost.

use std::sync::{Arc, atomic::AtomicU64};

use http::StatusCode;
use ruma::UserId;
use serde_json::json;
use skerry::{
    bootstrap::{FirstToken, FirstTokenOutcome, bootstrap},
    messages::{
        secret::Secret,
        user::{GetAccount, Register},
    },
    ports::{Clock as _, Stmt},
    server::{Config, Registration},
    store::global::registration_tokens::{self, RESERVATION_MS},
};
use skerry_local::{machine::SystemRandom, sqlite::Sqlite, store};

use super::house::{House, PASSWORD, TestClock, config};

#[tokio::test]
async fn the_first_token_makes_one_admin() {
    let (house, token) = House::new(Registration::Token).await;
    let token = token.unwrap();
    let register = async |name: &str| {
        let auth = json!({ "type": "m.login.registration_token", "token": token });
        let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
        house.post("/register", &body).await.0
    };
    // Of several at once, one gets the last use.
    let (first, second) = tokio::join!(register("alice"), register("bob"));
    let mut statuses = [first, second];
    statuses.sort();
    assert_eq!(statuses[0], StatusCode::OK);
    assert_ne!(statuses[1], StatusCode::OK);
    assert_ne!(register("carol").await, StatusCode::OK);
    let mut admins = 0;
    for name in ["@alice:example.org", "@bob:example.org"] {
        let user_id: &UserId = name.try_into().unwrap();
        let account = house.cx.ports.objects.ask(user_id, GetAccount {}).await.unwrap();
        admins += u32::from(account.is_some_and(|it| it.is_admin));
    }
    assert_eq!(admins, 1);
}

/// The use that somebody reserved who never came is free again, and only then.
#[tokio::test]
async fn a_reservation_whose_account_never_came_to_be_is_free_again() {
    let (house, token) = House::new(Registration::Token).await;
    let token = token.unwrap();
    let global = &*house.cx.ports.global;
    let ghost = "@ghost:example.org".try_into().unwrap();
    let hash = skerry_core::token::hash(&token);
    let reserve = registration_tokens::reserve(&hash, ghost, house.cx.ports.clock.now_ms());
    global.batch(vec![reserve]).await.unwrap();
    let register = async |name: &str| {
        let auth = json!({ "type": "m.login.registration_token", "token": token });
        let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
        house.post("/register", &body).await.0.as_u16()
    };
    house.pass(RESERVATION_MS - 1);
    assert_eq!(register("alice").await, 401);
    house.pass(1);
    assert_eq!(register("alice").await, 200);
    // The use is spent by an account that is there, also where that was not recorded in time.
    let spent = Stmt::new("SELECT 1 FROM registration_token_uses WHERE is_spent = 1");
    while global.row(spent.clone()).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let forget = Stmt::new("UPDATE registration_token_uses SET is_spent = 0");
    global.batch(vec![forget]).await.unwrap();
    house.pass(RESERVATION_MS);
    assert_eq!(register("bob").await, 403);
}

/// The name that a use was reserved for may be registered by another request. Then the use, and the
/// place of the first account, are not that account's.
#[tokio::test]
async fn a_reservation_for_a_name_that_others_registered_is_free_again() {
    let (house, token) = House::new(Registration::Token).await;
    let token = token.unwrap();
    let ghost: &UserId = "@ghost:example.org".try_into().unwrap();
    let hash = skerry_core::token::hash(&token);
    let reserve = registration_tokens::reserve(&hash, ghost, house.cx.ports.clock.now_ms());
    house.cx.ports.global.batch(vec![reserve]).await.unwrap();
    let by_others = Register {
        password: Secret::new(PASSWORD.to_owned()),
        is_admin: false,
        reservation: None,
        session: None,
        address: None,
    };
    house.cx.ports.objects.ask(ghost, by_others).await.unwrap();
    house.pass(RESERVATION_MS);
    let auth = json!({ "type": "m.login.registration_token", "token": token });
    let body = json!({ "username": "alice", "password": PASSWORD, "auth": auth });
    assert_eq!(house.post("/register", &body).await.0, StatusCode::OK);
}

/// C12: many processes start at once on an empty store, as at the edge, where each isolate is one.
/// One token is made, which none of them takes back, and one signing key.
#[tokio::test]
async fn c12_of_processes_that_start_at_once_one_makes_the_first_token() {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&directory.path().join("data")).await.unwrap();
    store::migrate(&sqlite).await.unwrap();
    let clock = TestClock(AtomicU64::new(1_000_000));
    let start = async || {
        let name = "example.org".try_into().unwrap();
        let config = config(Registration::Token);
        let started = bootstrap(&sqlite, &clock, &SystemRandom, name, config, FirstToken::Once);
        started.await.unwrap()
    };
    let starts = futures_util::future::join_all((0..8).map(|_| start())).await;
    let mut made = Vec::new();
    for (server, outcome) in &starts {
        assert_eq!(server.keys().current.id(), starts[0].0.keys().current.id());
        match outcome {
            FirstTokenOutcome::Made(token) => made.push(token),
            other => assert_eq!(*other, FirstTokenOutcome::MadeBefore),
        }
    }
    assert_eq!(made.len(), 1, "{starts:?}");
    let hash = skerry_core::token::hash(made[0]);
    let found = registration_tokens::find(&sqlite, &hash, clock.now_ms()).await.unwrap();
    assert!(found.is_some_and(|it| it.makes_admin), "the operator's log shows what works");
}

/// C12: as before, one start after the other.
#[tokio::test]
async fn c12_the_first_token_is_made_once_or_anew_by_each_start() {
    let (house, _) = House::new(Registration::Token).await;
    let (global, clock) = (&*house.cx.ports.global, &*house.clock);
    let start = async |first_token| {
        let (name, config) = (house.cx.server.name.clone(), house.cx.server.config.clone());
        let started = bootstrap(global, clock, &SystemRandom, name, config, first_token);
        started.await.unwrap().1
    };
    assert_eq!(start(FirstToken::Once).await, FirstTokenOutcome::MadeBefore);
    assert_eq!(start(FirstToken::Never).await, FirstTokenOutcome::NotWanted);
    let FirstTokenOutcome::Made(token) = start(FirstToken::EachStart).await else {
        panic!("a start makes a token")
    };
    let auth = json!({ "type": "m.login.registration_token", "token": token });
    let body = json!({ "username": "alice", "password": PASSWORD, "auth": auth });
    assert_eq!(house.post("/register", &body).await.0, StatusCode::OK);
    // The list of accounts, by which a start goes, is written behind the answer. A further token
    // makes no second admin.
    if let FirstTokenOutcome::Made(token) = start(FirstToken::EachStart).await {
        let auth = json!({ "type": "m.login.registration_token", "token": token });
        let body = json!({ "username": "bob", "password": PASSWORD, "auth": auth });
        assert_ne!(house.post("/register", &body).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_first_account_made_with_the_operators_token_is_the_admin() {
    let (mut house, _) = House::new(Registration::Token).await;
    let server = Arc::get_mut(&mut house.cx.server);
    assert!(server.is_none(), "the objects have it too");
    let config = Config {
        registration_token_hash: Some(skerry_core::token::hash("sesame")),
        ..house.cx.server.config.clone()
    };
    let (name, never) = (house.cx.server.name.clone(), FirstToken::Never);
    let clock = house.clock.clone();
    let started =
        bootstrap(&*house.cx.ports.global, &*clock, &SystemRandom, name, config, never).await;
    house.cx.server = Arc::new(started.unwrap().0);
    let register = async |name: &str| {
        let auth = json!({ "type": "m.login.registration_token", "token": "sesame" });
        let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
        let (status, reply) = house.post("/register", &body).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        let user_id: &UserId = reply["user_id"].as_str().unwrap().try_into().unwrap();
        house.cx.ports.objects.ask(user_id, GetAccount {}).await.unwrap().unwrap().is_admin
    };
    let (first, second) = tokio::join!(register("alice"), register("bob"));
    assert!(first != second, "of two at once, one is the first");
    assert!(!register("carol").await);
}
