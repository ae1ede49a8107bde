//! The native adapters keep what their ports promise.

#![expect(clippy::unwrap_used, reason = "clippy takes helpers of tests for other code")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;

use skerry::{
    Error, Result,
    ports::{
        Dns, Http as _, Sql, Stmt,
        conformance::{self, sql::Without},
        http::{Addresses, Fault, Request},
    },
};
use skerry_local::{dns::NameServers, http::NativeHttp, sqlite::Sqlite};
use skerry_tests::{
    site::Site,
    zone::{RecordType, Zone},
};
use tempfile::TempDir;
use url::Url;

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn sqlite_conforms() {
    let directory = directory();
    let next = AtomicUsize::new(0);
    let fresh = async || -> Result<Box<dyn Sql>> {
        let name = next.fetch_add(1, Ordering::Relaxed).to_string();
        let sqlite: Box<dyn Sql> = Box::new(Sqlite::open(&directory.path().join(name)).await?);
        Ok(sqlite)
    };
    conformance::sql::run(fresh, Without { blobs: false }).await.unwrap();
}

async fn with_table(directory: &TempDir) -> Sqlite {
    let sqlite = Sqlite::open(&directory.path().join("data")).await.unwrap();
    let create = Stmt::new("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY) STRICT");
    sqlite.batch(vec![create]).await.unwrap();
    sqlite
}

fn insert(id: i64) -> Stmt {
    Stmt::new("INSERT INTO t (id) VALUES (?)").bind(id)
}

async fn ids(sqlite: &Sqlite) -> Vec<i64> {
    let rows = sqlite.rows(Stmt::new("SELECT id FROM t ORDER BY id")).await.unwrap();
    rows.into_iter().map(|mut row| row.take(0).unwrap()).collect()
}

#[tokio::test]
async fn in_a_group_only_the_guilty_batch_fails() {
    let directory = directory();
    let sqlite = Arc::new(with_table(&directory).await);
    // Far more than the writer can begin one by one: most of them share a transaction.
    let tasks: Vec<_> = (0..500)
        .map(|id| {
            let sqlite = sqlite.clone();
            // Every tenth wants a key that a neighbour has.
            let second = if id % 10 == 0 { id + 1_001 } else { id + 1_000 };
            tokio::spawn(async move { sqlite.batch(vec![insert(id), insert(second)]).await })
        })
        .collect();
    let mut conflicts = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => {}
            Err(Error::Conflict) => conflicts += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(conflicts, 50);
    assert_eq!(ids(&sqlite).await.len(), 2 * 450);
}

#[tokio::test]
async fn a_batch_is_written_even_when_nobody_waits_for_it() {
    let directory = directory();
    let sqlite = with_table(&directory).await;
    let mut batch = Box::pin(sqlite.batch(vec![insert(1)]));
    // The writer has a thread of its own: it may be done already.
    let _ = futures_util::poll!(&mut batch);
    drop(batch);
    sqlite.batch(vec![insert(2)]).await.unwrap();
    assert_eq!(ids(&sqlite).await, [1, 2]);
}

#[tokio::test]
async fn a_read_that_is_dropped_does_not_spoil_the_next() {
    let directory = directory();
    let sqlite = with_table(&directory).await;
    sqlite.batch((0..5_000).map(insert).collect()).await.unwrap();
    for _ in 0..20 {
        let mut read = Box::pin(sqlite.rows(Stmt::new("SELECT id FROM t")));
        assert!(futures_util::poll!(&mut read).is_pending());
        drop(read);
    }
    assert_eq!(ids(&sqlite).await.len(), 5_000);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = directory();
    let sqlite = with_table(&directory).await;
    sqlite.batch(vec![insert(7)]).await.unwrap();
    sqlite.close().await.unwrap();
    assert!(sqlite.batch(vec![insert(8)]).await.is_err());
    assert!(sqlite.rows(Stmt::new("SELECT id FROM t")).await.is_err());
    let log = directory.path().join("data/skerry.db-wal");
    assert!(!log.exists(), "a closed database is one file");
    assert_eq!(ids(&with_table(&directory).await).await, [7]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = directory();
    let data = parent.path().join("data");
    let sqlite = Sqlite::open(&data).await.unwrap();
    sqlite.batch(vec![Stmt::new("CREATE TABLE t (id INTEGER) STRICT")]).await.unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(data.clone()), 0o700);
    for file in ["skerry.db", "skerry.db-wal", "skerry.db-shm"] {
        assert_eq!(mode(data.join(file)), 0o600, "{file}");
    }
}

/// The site of the suite, and the adapters that ask it.
fn site() -> (Site, Arc<dyn Dns>, NativeHttp) {
    let site = Site::start(Zone::conformance());
    let dns: Arc<dyn Dns> = Arc::new(NameServers::new(None).unwrap());
    let http = NativeHttp::new(&dns, Some(&site.trusted_ca())).unwrap();
    (site, dns, http)
}

#[tokio::test]
async fn http_conforms() {
    let (site, _, http) = site();
    let addresses = serde_json::from_value(site.addresses()).unwrap();
    let without = conformance::http::Without { reasons: false };
    conformance::http::run(&http, &addresses, without).await.unwrap();
}

#[tokio::test]
async fn name_servers_conform() {
    let (site, ..) = site();
    let dns = NameServers::new(Some(site.name_server())).unwrap();
    conformance::dns::run(&dns).await.unwrap();
}

#[tokio::test]
async fn an_address_is_checked_where_it_is_connected_to() {
    let mut zone = Zone::default();
    zone.address("inside.test", 60, "127.0.0.1");
    // Nobody answers at the first one.
    zone.address("both.test", 60, "127.0.0.2");
    zone.address("both.test", 60, "127.0.0.1");
    zone.failure("broken.test", RecordType::A);
    let site = Site::start(zone);
    let dns: Arc<dyn Dns> = Arc::new(NameServers::new(Some(site.name_server())).unwrap());
    let http = NativeHttp::new(&dns, None).unwrap();
    let plain: Url = site.addresses()["plain"].as_str().unwrap().parse().unwrap();
    let ask = async |host: &str, addresses| {
        let url = format!("http://{host}:{}/missing", plain.port().unwrap()).parse().unwrap();
        let mut request = Request::new(Method::GET, url, 100, Duration::from_secs(2));
        request.addresses = addresses;
        http.send(request).await.map(|it| it.status.as_u16()).map_err(|it| it.fault)
    };
    assert_eq!(ask("inside.test", Addresses::Public).await, Err(Fault::Address));
    assert_eq!(ask("inside.test", Addresses::All).await, Ok(404));
    // The connection of the request before is not used for one that may not have it.
    assert_eq!(ask("inside.test", Addresses::Public).await, Err(Fault::Address));
    assert_eq!(ask("both.test", Addresses::Public).await, Err(Fault::Address));
    assert_eq!(ask("both.test", Addresses::All).await, Ok(404));
    assert_eq!(ask("missing.test", Addresses::All).await, Err(Fault::Name));
    assert_eq!(ask("broken.test", Addresses::All).await, Err(Fault::Name));
}
