//! Alarms of objects that do not come to their end.

use std::{future, ops::RangeInclusive, sync::Arc, time::Duration};

use async_trait::async_trait;
use skerry::{
    Result,
    bootstrap::{FirstToken, bootstrap},
    ports::{Clock as _, Offline, Row, Sql, Stmt, Value},
    server::{Config, Presence, Registration},
};
use skerry_core::rate_limits::RateLimits;
use skerry_local::{
    machine::{SystemClock, SystemRandom},
    registry::Registry,
    sqlite::Sqlite,
    store,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// The objects that are stuck: more than are read at a time, and than go off at a time.
const STUCK: RangeInclusive<i64> = 1..=300;
/// One that is not.
const SCOPE: i64 = 1_000;
/// Much less than an alarm may take before it counts as failed.
const SOON: Duration = Duration::from_secs(15);

/// A store that never answers those that are stuck.
struct Stuck(Arc<Sqlite>);

#[async_trait]
impl Sql for Stuck {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        let is_stuck = |it: &Value| matches!(it, Value::Integer(it) if STUCK.contains(it));
        if stmt.sql.contains("scope = ?") && stmt.values.iter().any(is_stuck) {
            future::pending::<()>().await;
        }
        self.0.rows(stmt).await
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        self.0.batch(stmts).await
    }
}

#[tokio::test]
async fn alarms_of_objects_that_are_stuck_delay_no_others() {
    let directory = TempDir::new().unwrap();
    let sqlite = Arc::new(Sqlite::open(&directory.path().join("data")).await.unwrap());
    store::migrate(&*sqlite).await.unwrap();
    let clock = Arc::new(SystemClock);
    let due_ms = clock.now_ms() - 1_000;
    let mut stmts = Vec::new();
    for scope in STUCK.chain([SCOPE]) {
        stmts.push(store::insert_object(scope, "user", &format!("@u{scope}:localhost")));
        // The one that is not stuck comes last.
        stmts.push(store::upsert_alarm(scope, due_ms + u64::try_from(scope).unwrap() / 10, 0));
    }
    sqlite.batch(stmts).await.unwrap();
    let config = Config {
        registration: Registration::Closed,
        registration_token_hash: None,
        public_base_url: None,
        access_token_lifetime_ms: 1_000,
        private_servers: Vec::new(),
        encryption_by_default: skerry_core::create_room::EncryptionByDefault::default(),
        notaries: Vec::new(),
        presence: Presence::Off,
        limit_profile: false,
        session_cache_ms: 1_000,
        rate_limits: RateLimits::off(),
    };
    let name = "localhost".try_into().unwrap();
    let each = FirstToken::EachStart;
    let (server, _) =
        bootstrap(&*sqlite, &*clock, &SystemRandom, name, config, each).await.unwrap();
    let sql = Arc::new(Stuck(sqlite.clone()));
    let offline = Arc::new(Offline);
    let (random, server) = (Arc::new(SystemRandom), Arc::new(server));
    let registry =
        Registry::new(sql, clock.clone(), random, offline.clone(), offline, server).await.unwrap();
    let goes_off = async {
        while store::find_alarm(&*sqlite, SCOPE).await.unwrap().is_some() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, goes_off).await.expect("it goes off beside them");
    let left = store::list_alarms(&*sqlite, 1_000).await.unwrap();
    assert_eq!(left.len(), STUCK.count(), "what is stuck is yet to be dealt with");
    registry.stop(Duration::ZERO).await;
}
