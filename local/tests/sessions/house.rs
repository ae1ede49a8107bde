//! The router, the objects and the global store over SQLite, on a clock that the test moves.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, body::Body};
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use skerry::{
    api::{self, Cx},
    bootstrap::{FirstToken, FirstTokenOutcome, bootstrap},
    limiters::OneProcess,
    ports::{Clock, Offline, Ports},
    server::{Config, Presence, Registration},
};
use skerry_core::rate_limits::RateLimits;
use skerry_local::{
    machine::SystemRandom,
    registry::{LocalObjects, Registry},
    sqlite::Sqlite,
    store,
};
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) const LIFETIME_MS: u64 = 60_000;
/// Longer than any test: nothing is right because it was forgotten.
const CACHE_MS: u64 = 1_000_000_000_000;
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A clock that stands still until it is moved.
pub(crate) struct TestClock(pub(crate) AtomicU64);

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How the server is configured.
pub(crate) fn config(registration: Registration) -> Config {
    Config {
        registration,
        registration_token_hash: None,
        public_base_url: None,
        access_token_lifetime_ms: LIFETIME_MS,
        private_servers: Vec::new(),
        encryption_by_default: skerry_core::create_room::EncryptionByDefault::default(),
        notaries: Vec::new(),
        presence: Presence::Off,
        limit_profile: false,
        session_cache_ms: CACHE_MS,
        rate_limits: RateLimits::off(),
    }
}

/// A server.
pub(crate) struct House {
    _directory: TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) router: Router,
    pub(crate) cx: Cx,
}

impl House {
    pub(crate) async fn new(registration: Registration) -> (Self, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Arc::new(Sqlite::open(&directory.path().join("data")).await.unwrap());
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
            Arc::new(SystemRandom),
            Arc::new(Offline),
            Arc::new(Offline),
            server.clone(),
        )
        .await
        .unwrap();
        let limiter = OneProcess::new(registry.limits(), clock.clone());
        let ports = Ports {
            limiter: Arc::new(limiter),
            global: sqlite.clone(),
            sessions: registry.sessions(),
            filters: Arc::default(),
            keys: Arc::default(),
            objects: Arc::new(LocalObjects(registry)),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            http: Arc::new(Offline),
            dns: Arc::new(Offline),
        };
        let cx = Cx { ports, server, peers: Arc::default() };
        (Self { _directory: directory, clock, router: api::router(), cx }, first_token)
    }

    pub(crate) async fn open() -> Self {
        Self::new(Registration::Open).await.0
    }

    pub(crate) async fn ask(
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

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, "", body).await
    }

    pub(crate) async fn register(&self, name: &str) -> Value {
        let auth = json!({ "type": "m.login.dummy" });
        let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
        let (status, reply) = self.post("/register", &body).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        reply
    }

    pub(crate) async fn log_in(&self, name: &str) -> Value {
        let identifier = json!({ "type": "m.id.user", "user": name });
        let body = json!({ "type": "m.login.password", "identifier": identifier,
            "password": PASSWORD, "refresh_token": true });
        let (status, reply) = self.post("/login", &body).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        reply
    }

    pub(crate) async fn refresh(&self, token: &Value) -> (StatusCode, Value) {
        self.post("/refresh", &json!({ "refresh_token": token })).await
    }

    /// The status of a request with this access token, and whether it is a soft logout.
    pub(crate) async fn whoami(&self, token: &Value) -> (u16, bool) {
        let token = token.as_str().unwrap();
        let (status, reply) = self.ask(Method::GET, "/account/whoami", token, &Value::Null).await;
        (status.as_u16(), reply["soft_logout"] == true)
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }
}
