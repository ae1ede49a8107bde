//! What a room stands on here: SQLite that counts how often it is asked, and no other objects.

use std::{
    fmt, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use ruma::{OwnedRoomId, RoomId, owned_device_id, owned_user_id};
use skerry::{
    Result,
    messages::{
        Ask, Caller,
        room::{Outcome, Received, ToRoom},
    },
    objects::{Object as _, room::Room},
    ports::{Row, Sql, Stmt},
    server::Server,
};
use skerry_core::SigningKey;
use skerry_local::{sqlite::Sqlite, store};

use crate::{
    alone::{Host, nobody},
    own_room::server,
};

/// Rows of an answer that is worth a line.
const LARGE_ANSWER: u64 = 5_000;

/// This server, and the store of its room.
pub(crate) struct Stand {
    pub(crate) server: Arc<Server>,
    pub(crate) sql: Arc<Counted>,
}

impl Stand {
    /// A database in this folder.
    pub(crate) async fn open(folder: &Path) -> Self {
        let sqlite = Sqlite::open(&folder.join("data")).await.expect("a database");
        store::migrate(&sqlite).await.expect("the schema");
        let none = || AtomicU64::new(0);
        let sql = Counted { sqlite, reads: none(), rows: none(), batches: none() };
        let key = SigningKey::from_seed([7; 32], "figures").expect("a key");
        Self { server: server("localhost", key), sql: Arc::new(sql) }
    }

    /// The room's object: it has nothing in memory.
    pub(crate) fn room(&self, id: &RoomId) -> Arc<Room> {
        let id: OwnedRoomId = id.to_owned();
        Room::new(id, self.server.clone(), Arc::new(Host(self.sql.clone(), nobody())))
    }

    /// One number that the database answers with.
    pub(crate) async fn number(&self, text: &'static str) -> u64 {
        let mut row = self.rows(text).await.into_iter().next().expect("a row");
        row.take(0).expect("a number")
    }

    /// Rows of the database.
    pub(crate) async fn rows(&self, text: &'static str) -> Vec<Row> {
        self.sql.sqlite.rows(Stmt::new(text)).await.expect("rows")
    }

    /// Bytes of the database that are in use.
    pub(crate) async fn bytes(&self) -> u64 {
        let checkpoint = Stmt::new("PRAGMA wal_checkpoint(TRUNCATE)");
        self.sql.sqlite.batch(vec![checkpoint]).await.expect("a checkpoint");
        let pages = self.number("SELECT page_count FROM pragma_page_count").await;
        let free = self.number("SELECT freelist_count FROM pragma_freelist_count").await;
        (pages - free) * self.number("SELECT page_size FROM pragma_page_size").await
    }
}

/// The local user who joins.
pub(crate) fn caller() -> Caller {
    Caller { user_id: owned_user_id!("@local:localhost"), device_id: owned_device_id!("FIGURES") }
}

/// A port that counts calls: each is a round trip.
pub(crate) struct Counted {
    sqlite: Sqlite,
    reads: AtomicU64,
    rows: AtomicU64,
    batches: AtomicU64,
}

#[async_trait]
impl Sql for Counted {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let text = stmt.sql;
        let rows = self.sqlite.rows(stmt).await?;
        let count = rows.len() as u64;
        self.rows.fetch_add(count, Ordering::Relaxed);
        if count > LARGE_ANSWER {
            println!("  {count} rows: {text}");
        }
        Ok(rows)
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.sqlite.batch(stmts).await
    }
}

/// What something cost.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    reads: u64,
    rows: u64,
    batches: u64,
}

impl fmt::Display for Cost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.time.as_secs_f64() * 1e3;
        let Self { reads, rows, batches, .. } = self;
        write!(formatter, "{ms:9.2} ms, {reads:4} reads, {rows:6} rows, {batches:4} batches")
    }
}

/// Asks the room, and says what it cost.
pub(crate) async fn ask<A: Ask<Recipient = ToRoom>>(
    stand: &Stand,
    room: &Arc<Room>,
    question: A,
) -> (A::Reply, Cost) {
    let calls = || {
        let load = |it: &AtomicU64| it.load(Ordering::Relaxed);
        (load(&stand.sql.reads), load(&stand.sql.rows), load(&stand.sql.batches))
    };
    let (reads, rows, batches) = calls();
    let began = Instant::now();
    let reply = room.ask(question.into_command()).await.expect("an answer");
    let time = began.elapsed();
    let after = calls();
    let (reads, rows, batches) = (after.0 - reads, after.1 - rows, after.2 - batches);
    (A::from_reply(reply).expect("its answer"), Cost { time, reads, rows, batches })
}

/// Asks the room to receive events; all must be accepted.
pub(crate) async fn receive<A>(stand: &Stand, room: &Arc<Room>, question: A) -> Cost
where
    A: Ask<Recipient = ToRoom, Reply: IntoIterator<Item = Received>>,
{
    let (events, cost) = ask(stand, room, question).await;
    for it in events {
        assert!(matches!(it.outcome, Outcome::Accepted { redacted: false }), "{it:?}");
    }
    cost
}

/// Memory of this process, in MiB.
pub(crate) struct Memory {
    pub(crate) peak: f64,
    pub(crate) now: f64,
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:6.1} MiB, peak {:6.1} MiB", self.now, self.peak)
    }
}

/// What the process has in memory, and had at most since [`forget_peak`].
pub(crate) fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let field = |name: &str| {
        let line = status.lines().find_map(|it| it.strip_prefix(name)).expect("a field");
        let kib: f64 =
            line.split_whitespace().next().and_then(|it| it.parse().ok()).expect("a number");
        kib / 1024.0
    };
    Memory { peak: field("VmHWM:"), now: field("VmRSS:") }
}

/// From here on counts for the peak.
pub(crate) fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
}
