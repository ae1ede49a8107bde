//! What one object stands on in a test: a real database of its own, on which a commit fails when
//! the test says so. Time passes when the test says so, and what is deferred is run by the test,
//! or lost as in a crash.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use skerry::{
    Error, Result,
    limits::Limits,
    ports::{Clock, Deferred, Dns, Http, ObjectHost, Objects, Offline, Random, Row, Sql, Stmt},
    server::Server,
    space::Space,
    store::agenda,
};
use skerry_core::rate_limits::RateLimits;
use skerry_local::{machine::SystemRandom, sqlite::Sqlite, store};
use tempfile::TempDir;

/// The object's.
pub(crate) const SCOPE: i64 = 7;

/// When the clock begins, in milliseconds since the Unix epoch.
pub(crate) const BEGIN_MS: u64 = 1_000_000;

/// The longest that anything here sleeps: long enough for whatever is waited for instead.
const LONGEST_SLEEP: Duration = Duration::from_millis(300);

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written.
    Written,
    /// Nothing is written, and it fails.
    Refused,
    /// It is written, and fails all the same: the answer is lost.
    WrittenAndFailed,
    /// It is written, and never returns.
    WrittenAndHangs,
    /// Nothing is written, and it never returns.
    Hangs,
    /// Nothing is written, it fails, and nothing can be read any more.
    Breaks,
}

/// What can be done with the global store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GlobalStore {
    /// It is read and written.
    Up,
    /// It is written. This object must not read it.
    WriteOnly,
    /// It is out of reach.
    Down,
    /// It never answers.
    Hangs,
}

/// What the object stands on.
pub(crate) struct Host {
    pub(crate) sqlite: Arc<Sqlite>,
    own: OwnStore,
    global: Global,
    objects: Arc<dyn Objects>,
    /// The way to other servers, of which there is none unless a test has one.
    http: Mutex<&'static dyn Http>,
    clock: MovableClock,
    /// What becomes of the next commits; the others are written.
    fates: Mutex<VecDeque<Fate>>,
    alarm_at_ms: Mutex<Option<u64>>,
    /// When the alarm was set for that is going off at this moment.
    going_off_ms: Mutex<Option<u64>>,
    deferred: Mutex<Vec<Deferred>>,
    /// After how many pages the removal of the object fails.
    destroyed_pages: Mutex<Option<usize>>,
    commits: AtomicU64,
    forgotten: AtomicU64,
    woken: AtomicU64,
    limits: Limits,
    space: Space,
    _directory: TempDir,
}

impl Host {
    /// A store in which nothing is stored, beside these other objects.
    pub(crate) async fn open(objects: Arc<dyn Objects>, global: GlobalStore) -> Arc<Self> {
        Self::limited(objects, global, RateLimits::off()).await
    }

    /// As [`Self::open`], with these rate limits.
    pub(crate) async fn limited(
        objects: Arc<dyn Objects>,
        global: GlobalStore,
        rates: RateLimits,
    ) -> Arc<Self> {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Arc::new(Sqlite::open(&directory.path().join("data")).await.unwrap());
        store::migrate(&*sqlite).await.unwrap();
        Arc::new(Self {
            own: OwnStore {
                sqlite: sqlite.clone(),
                reads: AtomicU64::default(),
                fails: AtomicBool::default(),
            },
            global: Global { sqlite: sqlite.clone(), is: Mutex::new(global) },
            sqlite,
            objects,
            http: Mutex::new(&Offline),
            clock: MovableClock(AtomicU64::new(BEGIN_MS)),
            fates: Mutex::default(),
            alarm_at_ms: Mutex::default(),
            going_off_ms: Mutex::default(),
            deferred: Mutex::default(),
            destroyed_pages: Mutex::default(),
            commits: AtomicU64::default(),
            forgotten: AtomicU64::default(),
            woken: AtomicU64::default(),
            limits: Limits::new(rates),
            space: Space::default(),
            _directory: directory,
        })
    }

    /// What becomes of the next commit.
    pub(crate) fn next_commit(&self, fate: Fate) {
        self.commit_after(0, fate);
    }

    /// What becomes of a commit, when so many have been written before it.
    pub(crate) fn commit_after(&self, written: u64, fate: Fate) {
        let written = (0..written).map(|_| Fate::Written);
        *self.fates.lock().unwrap() = written.chain([fate]).collect();
    }

    /// What becomes of the next commits.
    pub(crate) fn fates(&self, fates: &[Fate]) {
        *self.fates.lock().unwrap() = fates.iter().copied().collect();
    }

    /// Commits are written from here on.
    pub(crate) fn commits_are_written(&self) {
        self.fates.lock().unwrap().clear();
    }

    /// What becomes of the next commit, if that was said and it has not been made.
    pub(crate) fn next_fate(&self) -> Option<Fate> {
        self.fates.lock().unwrap().front().copied()
    }

    /// What can be done with the global store from here on.
    pub(crate) fn global_is(&self, is: GlobalStore) {
        *self.global.is.lock().unwrap() = is;
    }

    /// The removal of the object fails after so many pages. None: it does not fail.
    pub(crate) fn removal_fails_after(&self, pages: Option<usize>) {
        *self.destroyed_pages.lock().unwrap() = pages;
    }

    /// Whether the object's own store can be read from here on.
    pub(crate) fn can_be_read(&self, can: bool) {
        self.own.fails.store(!can, Ordering::Relaxed);
    }

    /// Other servers can be asked from here on.
    pub(crate) fn asks(&self, http: &'static dyn Http) {
        *self.http.lock().unwrap() = http;
    }

    /// How much was committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// How much was read.
    pub(crate) fn reads(&self) -> u64 {
        self.own.reads.load(Ordering::Relaxed)
    }

    /// How often it was told that tokens have ended.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// How often those who wait were woken.
    pub(crate) fn woken(&self) -> u64 {
        self.woken.load(Ordering::Relaxed)
    }

    /// Lets time pass, in milliseconds.
    pub(crate) fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// When the alarm goes off.
    pub(crate) fn alarm_is_set_for_ms(&self) -> Option<u64> {
        *self.alarm_at_ms.lock().unwrap()
    }

    /// Time passes until the alarm, if one is set. Gives how much.
    pub(crate) fn pass_until_alarm(&self) -> Option<u64> {
        let waited_ms = self.alarm_is_set_for_ms()?.saturating_sub(self.clock.now_ms());
        self.pass(waited_ms);
        Some(waited_ms)
    }

    /// The alarm goes off, early or not. What is set from here on is the next one.
    pub(crate) fn alarm_goes_off(&self) {
        *self.going_off_ms.lock().unwrap() = self.alarm_at_ms.lock().unwrap().take();
    }

    /// The object has dealt with the alarm, or has died over it.
    pub(crate) fn alarm_is_over(&self) {
        *self.going_off_ms.lock().unwrap() = None;
    }

    /// Sets the alarm, unless one comes as soon.
    pub(crate) fn set_alarm(&self, by_ms: u64) {
        let mut alarm = self.alarm_at_ms.lock().unwrap();
        *alarm = Some(alarm.map_or(by_ms, |it| it.min(by_ms)));
    }

    /// What was deferred since the last time.
    pub(crate) fn take_deferred(&self) -> Vec<Deferred> {
        std::mem::take(&mut *self.deferred.lock().unwrap())
    }

    /// Rows of the object in a table.
    pub(crate) async fn count(&self, table: &str) -> u64 {
        let text = format!("SELECT count(*) FROM {table} WHERE scope = ?");
        let sql: &dyn Sql = &*self.sqlite;
        let row = sql.row(Stmt::new(text.leak()).bind(SCOPE)).await.unwrap();
        row.unwrap().take(0).unwrap()
    }

    /// The fate of this commit.
    fn take_fate(&self) -> Fate {
        self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Written)
    }
}

/// Every statement that an object executes is among those whose plans are known: they were found
/// by reading the sources.
fn assert_planned(stmts: &[Stmt]) {
    const PLANS: &str = include_str!("../query_plans/plans.txt");
    static PLANNED: LazyLock<HashSet<&str>> =
        LazyLock::new(|| PLANS.lines().map(str::trim).collect());
    static SEEN: LazyLock<Mutex<HashSet<(usize, usize)>>> = LazyLock::new(Mutex::default);
    for Stmt { sql, .. } in stmts {
        if SEEN.lock().unwrap().insert((sql.as_ptr().addr(), sql.len())) {
            let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(PLANNED.contains(sql.as_str()), "its plan is not known: {sql}");
        }
    }
}

struct MovableClock(AtomicU64);

impl Clock for MovableClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The object's store, whose reads are counted.
struct OwnStore {
    sqlite: Arc<Sqlite>,
    reads: AtomicU64,
    fails: AtomicBool,
}

#[async_trait]
impl Sql for OwnStore {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        assert_planned(std::slice::from_ref(&stmt));
        match self.fails.load(Ordering::Relaxed) {
            true => Err(Error::internal("the store cannot be read")),
            false => self.sqlite.rows(stmt).await,
        }
    }

    async fn batch(&self, _: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        Err(Error::internal("an object writes through its host"))
    }
}

/// The global store.
struct Global {
    sqlite: Arc<Sqlite>,
    is: Mutex<GlobalStore>,
}

impl Global {
    fn is(&self) -> GlobalStore {
        *self.is.lock().unwrap()
    }
}

#[async_trait]
impl Sql for Global {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        assert_planned(std::slice::from_ref(&stmt));
        match self.is() {
            GlobalStore::Up => self.sqlite.rows(stmt).await,
            GlobalStore::WriteOnly => Err(Error::internal("it must not be read")),
            GlobalStore::Down => Err(Error::internal("the global store is out of reach")),
            GlobalStore::Hangs => std::future::pending().await,
        }
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        assert_planned(&stmts);
        match self.is() {
            GlobalStore::Up | GlobalStore::WriteOnly => self.sqlite.batch(stmts).await,
            GlobalStore::Down => Err(Error::internal("the global store is out of reach")),
            GlobalStore::Hangs => std::future::pending().await,
        }
    }
}

#[async_trait]
impl ObjectHost for Host {
    fn sql(&self) -> &dyn Sql {
        &self.own
    }

    fn scope(&self) -> i64 {
        SCOPE
    }

    async fn commit(&self, stmts: Vec<Stmt>, alarm_by_ms: Option<u64>) -> Result<Vec<Vec<Row>>> {
        let fate = self.take_fate();
        if fate == Fate::Refused {
            return Err(Error::internal("the store is full"));
        }
        if fate == Fate::Breaks {
            self.can_be_read(false);
            return Err(Error::internal("the store is broken"));
        }
        if fate == Fate::Hangs {
            return std::future::pending().await;
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        assert_planned(&stmts);
        let results = self.sqlite.batch(stmts).await?;
        if let Some(by_ms) = alarm_by_ms {
            self.set_alarm(by_ms);
        }
        match fate {
            Fate::WrittenAndFailed => Err(Error::internal("the answer was lost")),
            Fate::WrittenAndHangs => std::future::pending().await,
            Fate::Written | Fate::Refused | Fate::Hangs | Fate::Breaks => Ok(results),
        }
    }

    fn wake(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }

    fn is_waited_for(&self) -> bool {
        false
    }

    async fn destroy(&self, pages: Vec<Stmt>) -> Result<()> {
        assert_planned(&pages);
        for page in pages {
            while !self.sqlite.batch(vec![page.clone()]).await?.concat().is_empty() {
                match &mut *self.destroyed_pages.lock().unwrap() {
                    Some(0) => return Err(Error::internal("the process died")),
                    Some(left) => *left -= 1,
                    None => {}
                }
            }
        }
        self.sqlite.batch(vec![agenda::remove_all(SCOPE)]).await?;
        *self.alarm_at_ms.lock().unwrap() = None;
        Ok(())
    }

    async fn alarm_at_ms(&self) -> Result<Option<u64>> {
        Ok(self.alarm_is_set_for_ms().or(*self.going_off_ms.lock().unwrap()))
    }

    fn forget_sessions(&self) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn defer(&self, work: Deferred) {
        self.deferred.lock().unwrap().push(work);
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn random(&self) -> &dyn Random {
        &SystemRandom
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration.min(LONGEST_SLEEP)).await;
    }

    fn objects(&self) -> &dyn Objects {
        &*self.objects
    }

    fn global(&self) -> &dyn Sql {
        &self.global
    }

    fn http(&self) -> &dyn Http {
        *self.http.lock().unwrap()
    }

    fn dns(&self) -> &dyn Dns {
        &Offline
    }

    async fn server(&self) -> Result<Arc<Server>> {
        Err(Error::internal("whoever needs the server was given it"))
    }
}
