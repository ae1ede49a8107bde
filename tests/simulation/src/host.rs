//! What a simulated server stands on: a life that ends with a crash, a disk that takes its time, a
//! clock that is not quite right, and randomness that its seed determines.

use std::{
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use skerry::{
    Result,
    ports::{Clock, Instants, Random, Row, Sql, Stmt},
};
use skerry_local::sqlite::InMemory;
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::rng::Rng;

/// When runs begin, in milliseconds since the Unix epoch.
pub const BEGIN_MS: u64 = 1_900_000_000_000;

/// One thread, whose time passes when nobody has anything to do.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

/// The name of a server, which is its host.
pub fn name(index: usize) -> String {
    format!("s{index}.test")
}

/// One run of a server's process. When it has ended, nothing that it began comes to anything: its
/// ports never answer again.
#[derive(Clone, Debug, Default)]
pub struct Life(CancellationToken);

impl Life {
    /// It ends.
    pub fn end(&self) {
        self.0.cancel();
    }

    /// Returns while it lasts, and else never.
    pub async fn goes_on(&self) {
        if self.0.is_cancelled() {
            pending::<()>().await;
        }
    }

    /// Does something, unless it ends before that is done.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.run_until_cancelled(work).await
    }
}

/// A stream of chance that several hold.
#[derive(Debug)]
pub struct Chance(Mutex<Rng>);

impl Chance {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Rng::new(seed)))
    }

    /// Draws from it.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Random for Chance {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        self.draw(|rng| {
            for chunk in buffer.chunks_mut(8) {
                chunk.copy_from_slice(&rng.next().to_le_bytes()[..chunk.len()]);
            }
        });
        Ok(())
    }
}

/// The wall clock of one server: virtual time, and how much that clock is ahead.
#[derive(Debug)]
pub struct VirtualClock {
    begin: Instant,
    /// When the virtual time began, as this clock says.
    begin_ms: u64,
    instants: Instants,
}

impl VirtualClock {
    /// A clock that shows this now.
    pub fn showing(begin_ms: u64) -> Self {
        Self { begin: Instant::now(), begin_ms, instants: Instants::new() }
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> u64 {
        self.instant_of_now_us() / 1_000
    }

    fn instant_us(&self) -> u64 {
        self.instants.next(self.instant_of_now_us())
    }
}

impl VirtualClock {
    fn instant_of_now_us(&self) -> u64 {
        let passed = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.begin_ms * 1_000 + passed
    }
}

/// How slow a disk is.
#[derive(Debug, Default)]
pub struct Slowness {
    /// Of a hundred steps so many take time.
    percent: AtomicU64,
}

impl Slowness {
    /// From now on so many of a hundred steps take time.
    pub fn set(&self, percent: u64) {
        self.percent.store(percent, Ordering::Relaxed);
    }
}

/// The store of one life of a server. What is written stays; whether its answer comes is another
/// matter.
pub struct Disk {
    /// The database, which outlives the process.
    pub database: Arc<InMemory>,
    /// Whose.
    pub life: Life,
    /// When what takes how long.
    pub chance: Arc<Chance>,
    /// How often it takes time.
    pub slowness: Arc<Slowness>,
    /// Of a hundred batches so many are not written, and nobody is told: no disk should be so.
    pub forgets: usize,
}

impl Disk {
    /// Others go on meanwhile, and the process may end.
    async fn take_time(&self) {
        let percent = usize::try_from(self.slowness.percent.load(Ordering::Relaxed)).unwrap();
        let ms = self.chance.draw(|rng| rng.percent(percent).then(|| 1 + rng.below(20)));
        if let Some(ms) = ms {
            sleep(Duration::from_millis(ms as u64)).await;
        }
        self.life.goes_on().await;
    }
}

#[async_trait]
impl Sql for Disk {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        self.take_time().await;
        self.database.rows(stmt).await
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        self.take_time().await;
        if self.chance.draw(|rng| rng.percent(self.forgets)) {
            return Ok(vec![Vec::new(); stmts.len()]);
        }
        let written = self.database.batch(stmts).await;
        self.take_time().await;
        written
    }
}
