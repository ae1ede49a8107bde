//! Sessions over the router and a real database, on a clock that the test moves: expiry, soft
//! logout, refresh, and what a login may not overlap.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and indexing JSON cannot panic"
)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, body::Body};
use http::{Method, Request, StatusCode, header};
use ruma::UserId;
use serde_json::{Value, json};
use skerry::{
    api::{self, Cx},
    bootstrap::{FirstToken, FirstTokenOutcome, bootstrap},
    messages::user::GetAccount,
    ports::{Clock, Offline, Ports, Stmt},
    server::{Config, Registration},
    store::global::registration_tokens::{self, RESERVATION_MS},
};
use skerry_local::{
    machine::SystemRandom,
    registry::{LocalObjects, Registry},
    sqlite::Sqlite,
    store,
};
use tempfile::TempDir;
use tower::ServiceExt as _;

const LIFETIME_MS: u64 = 60_000;
/// Longer than any test: nothing is right because it was forgotten.
const CACHE_MS: u64 = 1_000_000_000_000;
const PASSWORD: &str = "correct horse battery";

/// A clock that stands still until it is moved.
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn config(registration: Registration) -> Config {
    Config {
        registration,
        registration_token_hash: None,
        public_base_url: None,
        access_token_lifetime_ms: LIFETIME_MS,
        private_servers: Vec::new(),
        session_cache_ms: CACHE_MS,
    }
}

struct House {
    _directory: TempDir,
    clock: Arc<TestClock>,
    router: Router,
    cx: Cx,
}

impl House {
    async fn new(registration: Registration) -> (Self, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Arc::new(Sqlite::open(directory.path()).await.unwrap());
        store::migrate(&*sqlite).await.unwrap();
        let clock = Arc::new(TestClock(AtomicU64::new(1_000_000)));
        let config = config(registration);
        let name = "example.org".try_into().unwrap();
        let each_start = FirstToken::EachStart;
        let (server, first_token) =
            bootstrap(&*sqlite, &*clock, &SystemRandom, name, config, each_start).await.unwrap();
        let first_token = match first_token {
            FirstTokenOutcome::Made(token) => Some(token),
            _ => None,
        };
        let server = Arc::new(server);
        let registry = Registry::new(
            sqlite.clone(),
            clock.clone(),
            Arc::new(Offline),
            Arc::new(Offline),
            server.clone(),
        )
        .await
        .unwrap();
        let ports = Ports {
            global: sqlite.clone(),
            sessions: registry.sessions(),
            filters: Arc::default(),
            objects: Arc::new(LocalObjects(registry)),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            http: Arc::new(Offline),
            dns: Arc::new(Offline),
        };
        let cx = Cx { ports, server };
        (Self { _directory: directory, clock, router: api::router(), cx }, first_token)
    }

    async fn open() -> Self {
        Self::new(Registration::Open).await.0
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::new(Body::from(body.to_string()));
        *request.method_mut() = method;
        *request.uri_mut() = format!("/_matrix/client/v3{path}").parse().unwrap();
        request.extensions_mut().insert(self.cx.clone());
        if !token.is_empty() {
            let value = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, "", body).await
    }

    async fn register(&self, name: &str) -> Value {
        let auth = json!({ "type": "m.login.dummy" });
        let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
        let (status, reply) = self.post("/register", &body).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        reply
    }

    async fn log_in(&self, name: &str) -> Value {
        let identifier = json!({ "type": "m.id.user", "user": name });
        let body = json!({ "type": "m.login.password", "identifier": identifier,
            "password": PASSWORD, "refresh_token": true });
        let (status, reply) = self.post("/login", &body).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        reply
    }

    async fn refresh(&self, token: &Value) -> (StatusCode, Value) {
        self.post("/refresh", &json!({ "refresh_token": token })).await
    }

    /// The status of a request with this access token, and whether it is a soft logout.
    async fn whoami(&self, token: &Value) -> (u16, bool) {
        let token = token.as_str().unwrap();
        let (status, reply) = self.ask(Method::GET, "/account/whoami", token, &Value::Null).await;
        (status.as_u16(), reply["soft_logout"] == true)
    }

    fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }
}

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
    assert_eq!(house.whoami(&lost["access_token"]).await.0, 401, "it was replaced unseen");
    // Using the new refresh token proves that it arrived, as using the new access token would.
    let (_, third) = house.refresh(&second["refresh_token"]).await;
    for token in [&first["refresh_token"], &lost["refresh_token"]] {
        let (status, reply) = house.refresh(token).await;
        assert_eq!((status.as_u16(), &reply["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")));
    }
    assert_eq!(house.whoami(&first["access_token"]).await.0, 401);
    assert_eq!(house.whoami(&second["access_token"]).await, (200, false));
    assert_eq!(house.whoami(&third["access_token"]).await, (200, false));
    assert_eq!(house.whoami(&second["access_token"]).await.0, 401);
    let (status, _) = house.refresh(&second["refresh_token"]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _) = house.refresh(&third["refresh_token"]).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_for_authentication_ends_and_fits_one_operation() {
    let house = House::open().await;
    let alice = house.register("alice").await;
    let token = alice["access_token"].as_str().unwrap();
    let ask =
        async |path: &'static str, body: Value| house.ask(Method::POST, path, token, &body).await;
    let auth = |session: &Value| {
        json!({ "type": "m.login.password", "password": PASSWORD, "session": session,
            "identifier": { "type": "m.id.user", "user": "alice" } })
    };
    let body = json!({ "new_password": "another long password", "logout_devices": false });
    let with = |auth: Value| {
        let mut body = body.clone();
        body["auth"] = auth;
        body
    };
    let (_, challenge) = ask("/account/password", body.clone()).await;
    let session = &challenge["session"];
    let (status, _) = ask("/account/deactivate", json!({ "auth": auth(session) })).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "another operation");
    house.pass(2 * 60 * 60 * 1000);
    let (status, reply) = ask("/account/password", with(auth(session))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "too late: {reply}");
    let (status, reply) = ask("/account/password", with(auth(&reply["session"]))).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
}

#[tokio::test]
async fn what_is_answered_to_authentication_data() {
    let house = House::open().await;
    let alice = house.register("alice").await;
    house.register("bob").await;
    let token = alice["access_token"].as_str().unwrap();
    let password = |user: &str, password: &str| {
        json!({ "type": "m.login.password", "password": password,
            "identifier": { "type": "m.id.user", "user": user } })
    };
    let by_mail = json!({ "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": "a@b.c" } });
    let cases = [
        ("nothing", Value::Null, 401, None),
        ("an acknowledged fallback", json!({ "session": "x" }), 401, Some("M_FORBIDDEN")),
        ("another stage", json!({ "type": "m.login.dummy" }), 401, Some("M_UNRECOGNIZED")),
        ("an unknown stage", json!({ "type": "org.x" }), 401, Some("M_UNRECOGNIZED")),
        ("half the data", json!({ "type": "m.login.password" }), 400, Some("M_MISSING_PARAM")),
        ("no object", json!("m.login.password"), 400, Some("M_BAD_JSON")),
        ("a wrong password", password("alice", "wrong"), 401, Some("M_FORBIDDEN")),
        ("another user", password("bob", PASSWORD), 401, Some("M_FORBIDDEN")),
        ("another server's user", password("@alice:x", PASSWORD), 401, Some("M_FORBIDDEN")),
        ("an address", by_mail, 401, Some("M_FORBIDDEN")),
        ("the full ID", password("@alice:example.org", PASSWORD), 200, None),
        ("the localpart", password("alice", PASSWORD), 200, None),
    ];
    for (name, auth, expected, errcode) in cases {
        let body = json!({ "devices": ["OTHER"], "auth": auth });
        let (status, reply) = house.ask(Method::POST, "/delete_devices", token, &body).await;
        assert_eq!(status.as_u16(), expected, "{name}: {reply}");
        assert_eq!(reply["errcode"].as_str(), errcode, "{name}: {reply}");
        if expected == 401 {
            assert_eq!(reply["flows"], json!([{ "stages": ["m.login.password"] }]), "{name}");
            assert!(reply["session"].is_string(), "{name}");
        }
    }
}

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

/// C12: many processes start at once on an empty store, as at the edge, where each isolate is one.
/// One token is made, which none of them takes back, and one signing key.
#[tokio::test]
async fn c12_of_processes_that_start_at_once_one_makes_the_first_token() {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(directory.path()).await.unwrap();
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
        assert_eq!(server.signing_key.id(), starts[0].0.signing_key.id());
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
