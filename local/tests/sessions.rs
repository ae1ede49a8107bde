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
use serde_json::{Value, json};
use skerry::{
    api::{self, Cx},
    bootstrap::bootstrap,
    ports::{Clock, Offline, Ports, Sql as _},
    server::{Config, Registration},
    store::global::{accounts, tokens},
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
const PASSWORD: &str = "correct horse battery";

/// A clock that stands still until it is moved.
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct House {
    _directory: TempDir,
    clock: Arc<TestClock>,
    sqlite: Arc<Sqlite>,
    router: Router,
    cx: Cx,
}

impl House {
    async fn new(registration: Registration) -> (Self, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Arc::new(Sqlite::open(directory.path()).await.unwrap());
        store::migrate(&*sqlite).await.unwrap();
        let clock = Arc::new(TestClock(AtomicU64::new(1_000_000)));
        let config = Config {
            registration,
            registration_token_hash: None,
            public_base_url: None,
            access_token_lifetime_ms: LIFETIME_MS,
            private_servers: Vec::new(),
        };
        let name = "example.org".try_into().unwrap();
        let (server, first_token) =
            bootstrap(&*sqlite, &*clock, &SystemRandom, name, config).await.unwrap();
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
            objects: Arc::new(LocalObjects(registry)),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            http: Arc::new(Offline),
            dns: Arc::new(Offline),
        };
        let cx = Cx { ports, server };
        (Self { _directory: directory, clock, sqlite, router: api::router(), cx }, first_token)
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
async fn a_login_that_overlaps_a_password_change_gets_no_session() {
    let house = House::open().await;
    let alice = house.register("alice").await;
    let user_id = alice["user_id"].as_str().unwrap().try_into().unwrap();
    let caller = skerry::messages::Caller { user_id, device_id: "D".into() };
    let account = accounts::find(&*house.sqlite, &caller.user_id).await.unwrap().unwrap();
    let checked = account.password_hash.unwrap();
    let change = accounts::update_password(&caller.user_id, "another hash");
    house.sqlite.batch(vec![change]).await.unwrap();
    let session = tokens::NewSession {
        caller: &caller,
        access_hash: "access",
        refresh_hash: Some("refresh"),
        expires_at_ms: None,
    };
    let batch = tokens::insert_session(&session, &checked);
    let returned = house.sqlite.batch(batch).await.unwrap();
    assert!(returned.last().unwrap().is_empty());
    assert!(tokens::find_access_token(&*house.sqlite, "access").await.unwrap().is_none());
    assert!(tokens::find_refresh_token(&*house.sqlite, "refresh").await.unwrap().is_none());
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
        let user_id = name.try_into().unwrap();
        let account = accounts::find(&*house.sqlite, user_id).await.unwrap();
        admins += u32::from(account.is_some_and(|it| it.is_admin));
    }
    assert_eq!(admins, 1);
}
