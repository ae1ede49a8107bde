//! The database file: who may read it, what stays in it of what was deleted, and what becomes of a
//! server whose database is broken.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, Permissions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use futures_util::FutureExt as _;
use skerry::{
    Error,
    ports::{Sql as _, Stmt},
};
use skerry_local::sqlite::{FILE_NAME, Sqlite, Synchronous};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for what happens by itself.
const LONG: Duration = Duration::from_mins(1);
/// What is deleted.
const SECRET: &str = "the-moon-is-made-of-cheese";

async fn with_table(directory: &Path) -> Sqlite {
    let sqlite = Sqlite::open(directory).await.unwrap();
    let create = "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, body TEXT) STRICT";
    sqlite.batch(vec![Stmt::new(create)]).await.unwrap();
    sqlite
}

fn insert(id: i64, body: String) -> Stmt {
    Stmt::new("INSERT INTO t (id, body) VALUES (?, ?)").bind(id).bind(body)
}

fn delete(id: i64) -> Stmt {
    Stmt::new("DELETE FROM t WHERE id = ?").bind(id)
}

/// Whether a file of the database has it.
fn is_stored(directory: &Path, secret: &str) -> bool {
    fs::read_dir(directory).unwrap().any(|it| {
        let bytes = fs::read(it.unwrap().path()).unwrap();
        bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
    })
}

/// After a while connections give back what they keep in memory. They serve as before.
#[tokio::test]
async fn who_comes_back_after_a_quiet_time_reads_and_writes() {
    let directory = TempDir::new().unwrap();
    let sqlite = with_table(&directory.path().join("data")).await;
    for round in 0..3_i64 {
        sqlite.batch(vec![insert(round, "x".repeat(100_000))]).await.unwrap();
        let count = || sqlite.rows(Stmt::new("SELECT count(*) FROM t"));
        let (first, second) = tokio::join!(count(), count());
        for mut rows in [first.unwrap(), second.unwrap()] {
            assert_eq!(rows.pop().unwrap().take::<i64>(0).unwrap(), round + 1);
        }
        // Longer than it takes to be quiet, in tests.
        sleep(Duration::from_secs(1)).await;
    }
    sqlite.close().await.unwrap();
}

#[tokio::test]
async fn what_other_users_may_read_is_refused() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("data");
    with_table(&directory).await.close().await.unwrap();
    let exposed = [
        (directory.clone(), 0o755, 0o700),
        (directory.clone(), 0o750, 0o700),
        (directory.join(FILE_NAME), 0o644, 0o600),
        (directory.join(FILE_NAME), 0o620, 0o600),
        (directory.join(format!("{FILE_NAME}-wal")), 0o604, 0o600),
    ];
    for (path, mode, fine) in exposed {
        if !path.exists() {
            fs::write(&path, b"").unwrap();
        }
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let Error::Internal(cause) = Sqlite::open(&directory).await.unwrap_err() else {
            unreachable!("the operator is told")
        };
        let cause = cause.to_string();
        let advice = format!("chmod {fine:o} {}", path.display());
        assert!(cause.ends_with(&advice), "{mode:o}: {cause}");
        fs::set_permissions(&path, Permissions::from_mode(fine)).unwrap();
        Sqlite::open(&directory).await.unwrap().close().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_deleted_is_not_in_the_file() {
    let parent = TempDir::new().unwrap();
    let directory = &parent.path().join("data");
    let sqlite = with_table(directory).await;
    // Beside other rows of a page, and on pages of its own, which become free as a whole.
    sqlite.batch((1..50).map(|id| insert(id, format!("{id}-{SECRET}"))).collect()).await.unwrap();
    sqlite.batch(vec![insert(50, SECRET.repeat(2_000))]).await.unwrap();
    sqlite.close().await.unwrap();
    assert!(is_stored(directory, SECRET));
    let sqlite = with_table(directory).await;
    sqlite.batch((2..40).map(delete).collect()).await.unwrap();
    let replace = "UPDATE t SET body = 'redacted' WHERE id IN (1, 40, 50)";
    sqlite.batch(vec![Stmt::new(replace)]).await.unwrap();
    sqlite.batch((41..50).map(delete).collect()).await.unwrap();
    sqlite.close().await.unwrap();
    assert!(!is_stored(directory, SECRET));
}

#[tokio::test]
async fn what_was_deleted_is_not_in_the_log_however_busy_the_database_is() {
    let parent = TempDir::new().unwrap();
    let directory = &parent.path().join("data");
    let sqlite = with_table(directory).await;
    sqlite.batch(vec![insert(0, SECRET.to_owned())]).await.unwrap();
    sqlite.batch(vec![delete(0)]).await.unwrap();
    assert!(is_stored(directory, SECRET));
    let began = Instant::now();
    for id in 1.. {
        sqlite.batch(vec![insert(id, "something else".to_owned())]).await.unwrap();
        if !is_stored(directory, SECRET) {
            break;
        }
        assert!(began.elapsed() < LONG);
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_broken_database_is_a_failure_and_a_refused_batch_is_none() {
    let parent = TempDir::new().unwrap();
    let directory = &parent.path().join("data");
    let sqlite = with_table(directory).await;
    // More than the cache holds.
    let rows = (0..3_000).map(|id| insert(id, "x".repeat(3_500)));
    sqlite.batch(rows.collect()).await.unwrap();
    sqlite.close().await.unwrap();
    let sqlite = with_table(directory).await;
    sqlite.batch(vec![insert(1, String::new())]).await.unwrap_err();
    sqlite.batch(vec![Stmt::new("INSERT INTO nowhere VALUES (1)")]).await.unwrap_err();
    sqlite.batch(vec![insert(3_000, String::new())]).await.unwrap();
    assert!(sqlite.failed().now_or_never().is_none());
    let path = directory.join(FILE_NAME);
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(1 << 20)).unwrap();
    file.write_all(&vec![0xff; 8 << 20]).unwrap();
    let rewrite = Stmt::new("UPDATE t SET body = body || 'y'");
    sqlite.batch(vec![rewrite]).await.unwrap_err();
    let Error::Internal(cause) = timeout(LONG, sqlite.failed()).await.unwrap() else {
        unreachable!("the operator is told")
    };
    assert!(cause.to_string().starts_with("sqlite-writer"), "{cause}");
    sqlite.batch(vec![insert(4_000, String::new())]).await.unwrap_err();
}

#[tokio::test]
async fn the_operator_chooses_when_what_is_acknowledged_is_on_the_disk() {
    for (synchronous, expected) in [(Synchronous::Full, 2), (Synchronous::Normal, 1)] {
        let parent = TempDir::new().unwrap();
        let sqlite = Sqlite::open_with(&parent.path().join("data"), synchronous).await.unwrap();
        let mut rows = sqlite.batch(vec![Stmt::new("PRAGMA synchronous")]).await.unwrap().concat();
        assert_eq!(rows.remove(0).take::<i64>(0).unwrap(), expected);
    }
    assert_eq!(Synchronous::default(), Synchronous::Full);
}
