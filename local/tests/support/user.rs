//! A `User` object on a database of its own, with a host that fails, forgets and waits as a test
//! says.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use ruma::{OwnedRoomId, RoomId, UserId, owned_user_id};
use serde_json::{Value as JsonValue, value::to_raw_value};
use skerry::{
    Error, Result,
    messages::{
        Ask, RawJson, room,
        user::{self, ToUser},
    },
    objects::{Object as _, user::User},
    ports::{Clock, Deferred, Dns, Http, ObjectHost, Objects, Offline, Random, Row, Sql, Stmt},
    server::Server,
};
use skerry_local::{machine::SystemRandom, sqlite::Sqlite, store};
use tempfile::TempDir;
use tokio::sync::watch;

/// When the clock begins, in milliseconds since the Unix epoch.
pub(crate) const BEGIN_MS: u64 = 1_000_000;

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing is written.
    BeforeWriting,
    /// All is written, and nobody is told.
    AfterWriting,
}

/// What the user stands on.
pub(crate) struct Host {
    pub(crate) sqlite: Arc<Sqlite>,
    sql: CountedSql,
    global: Global,
    pub(crate) rooms: Rooms,
    clock: MovableClock,
    failure: Mutex<Option<Failure>>,
    commits: AtomicU64,
    forgotten: AtomicU64,
    woken: AtomicU64,
    alarm_at_ms: Mutex<Option<u64>>,
    deferred: Mutex<Vec<Deferred>>,
    _directory: TempDir,
}

impl Host {
    /// The next commit fails.
    pub(crate) fn fail_next_commit(&self, failure: Failure) {
        *self.failure.lock().unwrap() = Some(failure);
    }

    /// Whether the global store can be written.
    pub(crate) fn global_is_down(&self, is_down: bool) {
        self.global.is_down.store(is_down, Ordering::Relaxed);
    }

    /// How much was committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// How much was read.
    pub(crate) fn reads(&self) -> u64 {
        self.sql.reads.load(Ordering::Relaxed)
    }

    /// How often it was told that tokens have ended.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// The last position that those who wait were woken with.
    pub(crate) fn woken(&self) -> u64 {
        self.woken.load(Ordering::Relaxed)
    }

    /// When the alarm goes off.
    pub(crate) fn alarm_at_ms(&self) -> Option<u64> {
        *self.alarm_at_ms.lock().unwrap()
    }

    /// Time passes.
    pub(crate) fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }
}

struct MovableClock(AtomicU64);

impl Clock for MovableClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The user's store, whose reads are counted.
struct CountedSql {
    sqlite: Arc<Sqlite>,
    reads: AtomicU64,
}

#[async_trait]
impl Sql for CountedSql {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.sqlite.rows(stmt).await
    }

    async fn batch(&self, _: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        Err(Error::internal("an object writes through its host"))
    }
}

/// The global store, which can be down.
struct Global {
    sqlite: Arc<Sqlite>,
    is_down: AtomicBool,
}

#[async_trait]
impl Sql for Global {
    async fn rows(&self, _: Stmt) -> Result<Vec<Row>> {
        Err(Error::internal("a user's object does not read the global store"))
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        match self.is_down.load(Ordering::Relaxed) {
            true => Err(Error::internal("the global store is down")),
            false => self.sqlite.batch(stmts).await,
        }
    }
}

/// Rooms that answer as the test says, and remember what they were asked.
pub(crate) struct Rooms {
    asked: Mutex<Vec<(OwnedRoomId, JsonValue)>>,
    failing: Mutex<BTreeSet<String>>,
    refuses: AtomicBool,
    is_held: watch::Sender<bool>,
    arrivals: watch::Sender<u64>,
}

impl Rooms {
    fn new() -> Self {
        Self {
            asked: Mutex::default(),
            failing: Mutex::default(),
            refuses: AtomicBool::new(false),
            is_held: watch::Sender::new(false),
            arrivals: watch::Sender::new(0),
        }
    }

    /// This room cannot be asked.
    pub(crate) fn fail(&self, room_id: &str) {
        self.failing.lock().unwrap().insert(room_id.to_owned());
    }

    /// All rooms can be asked again.
    pub(crate) fn mend(&self) {
        self.failing.lock().unwrap().clear();
    }

    /// All rooms refuse.
    pub(crate) fn refuse(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }

    /// No room answers.
    pub(crate) fn hold(&self) {
        self.is_held.send_replace(true);
        self.arrivals.send_replace(0);
    }

    /// Waits until a room is asked that does not answer.
    pub(crate) async fn held(&self) {
        self.arrivals.subscribe().wait_for(|it| *it > 0).await.unwrap();
    }

    /// The rooms answer again.
    pub(crate) fn release(&self) {
        self.is_held.send_replace(false);
    }
}

#[async_trait]
impl Objects for Rooms {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        let json = serde_json::to_value(&command).unwrap();
        self.asked.lock().unwrap().push((room_id.to_owned(), json));
        self.arrivals.send_modify(|it| *it += 1);
        self.is_held.subscribe().wait_for(|it| !*it).await.unwrap();
        if self.failing.lock().unwrap().contains(room_id.as_str()) {
            return Err(Error::internal("out of order"));
        }
        if self.refuses.load(Ordering::Relaxed) {
            return Err(Error::forbidden("banned"));
        }
        Ok(match command {
            room::Command::UpdateProfile(_) => room::Reply::UpdateProfile(()),
            _ => room::Reply::ChangeMembership(()),
        })
    }

    async fn user(&self, _: &UserId, _: user::Command) -> Result<user::Reply> {
        Err(Error::internal("a user asks no other user"))
    }

    async fn wait_for_changes(
        &self,
        _: &UserId,
        _: user::GetChanges,
        _: Duration,
    ) -> Result<Option<Box<user::Changes>>> {
        Ok(None)
    }
}

#[async_trait]
impl ObjectHost for Host {
    fn sql(&self) -> &dyn Sql {
        &self.sql
    }

    fn scope(&self) -> i64 {
        7
    }

    async fn commit(&self, stmts: Vec<Stmt>, alarm_by_ms: Option<u64>) -> Result<Vec<Vec<Row>>> {
        let failure = self.failure.lock().unwrap().take();
        if failure == Some(Failure::BeforeWriting) {
            return Err(Error::internal("a commit failed"));
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        let results = self.sqlite.batch(stmts).await?;
        if let Some(by_ms) = alarm_by_ms {
            let mut alarm = self.alarm_at_ms.lock().unwrap();
            *alarm = Some(alarm.map_or(by_ms, |it| it.min(by_ms)));
        }
        match failure {
            Some(_) => Err(Error::internal("the answer of a commit was lost")),
            None => Ok(results),
        }
    }

    fn wake(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }

    fn is_waited_for(&self) -> bool {
        false
    }

    async fn alarm_at_ms(&self) -> Result<Option<u64>> {
        Ok(*self.alarm_at_ms.lock().unwrap())
    }

    fn forget_sessions(&self) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
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
        tokio::time::sleep(duration).await;
    }

    fn objects(&self) -> &dyn Objects {
        &self.rooms
    }

    fn global(&self) -> &dyn Sql {
        &self.global
    }

    async fn destroy(&self, _pages: Vec<Stmt>) -> Result<()> {
        Err(Error::internal("a user is not destroyed"))
    }

    fn http(&self) -> &dyn Http {
        &Offline
    }

    fn dns(&self) -> &dyn Dns {
        &Offline
    }

    async fn server(&self) -> Result<Arc<Server>> {
        Err(Error::internal("a user knows no server"))
    }
}

/// A user on a store of their own: `@ann:localhost`.
pub(crate) struct World {
    pub(crate) host: Arc<Host>,
    user: Arc<User>,
}

impl World {
    /// Nothing is stored.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Arc::new(Sqlite::open(directory.path()).await.unwrap());
        store::migrate(&*sqlite).await.unwrap();
        let host = Arc::new(Host {
            sql: CountedSql { sqlite: sqlite.clone(), reads: AtomicU64::default() },
            global: Global { sqlite: sqlite.clone(), is_down: AtomicBool::default() },
            sqlite,
            rooms: Rooms::new(),
            clock: MovableClock(AtomicU64::new(BEGIN_MS)),
            failure: Mutex::default(),
            commits: AtomicU64::default(),
            forgotten: AtomicU64::default(),
            woken: AtomicU64::default(),
            alarm_at_ms: Mutex::default(),
            deferred: Mutex::default(),
            _directory: directory,
        });
        Self { user: build(&host), host }
    }

    /// The object is dropped, with all it had put off, and built again on its store.
    pub(crate) fn restarted(self) -> Self {
        self.host.deferred.lock().unwrap().clear();
        Self { user: build(&self.host), host: self.host }
    }

    /// Asks what is answered.
    pub(crate) async fn ask<A: Ask<Recipient = ToUser>>(&self, question: A) -> A::Reply {
        self.try_ask(question).await.unwrap()
    }

    /// Asks what may be refused.
    pub(crate) async fn try_ask<A: Ask<Recipient = ToUser>>(
        &self,
        question: A,
    ) -> Result<A::Reply> {
        Ok(A::from_reply(self.user.ask(question.into_command()).await?).unwrap())
    }

    /// The alarm goes off, early or not.
    pub(crate) async fn alarm(&self) {
        *self.host.alarm_at_ms.lock().unwrap() = None;
        self.user.alarm().await.unwrap();
    }

    /// Does all that was put off.
    pub(crate) async fn drain(&self) {
        let deferred = std::mem::take(&mut *self.host.deferred.lock().unwrap());
        for work in deferred {
            work.await;
        }
    }

    /// What rooms were asked since the last look, by room.
    pub(crate) fn asked(&self) -> Vec<(OwnedRoomId, JsonValue)> {
        let mut asked = std::mem::take(&mut *self.host.rooms.asked.lock().unwrap());
        asked.sort_by(|a, b| a.0.cmp(&b.0));
        asked
    }

    /// The number that a statement gives.
    pub(crate) async fn count(&self, stmt: &'static str) -> u64 {
        let mut rows = self.host.sqlite.rows(Stmt::new(stmt)).await.unwrap();
        rows[0].take(0).unwrap()
    }
}

fn build(host: &Arc<Host>) -> Arc<User> {
    let host: Arc<dyn ObjectHost> = host.clone();
    User::new(owned_user_id!("@ann:localhost"), (), host)
}

/// A content.
pub(crate) fn raw(content: &JsonValue) -> RawJson {
    to_raw_value(content).unwrap()
}
