//! A room on a host that fails when the test says so. Time passes when the test says so, and what
//! is deferred is run by the test, or lost as in a crash.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedRoomId, RoomId, RoomVersionId, UserId, owned_device_id,
    owned_user_id, room_alias_id,
};
use serde_json::{Value as JsonValue, json, value::to_raw_value};
use skerry::{
    Error, Result,
    messages::{
        Ask, Caller,
        room::{self, ChangeMembership, Create, MembershipAction, NewState, Send, ToRoom},
        user,
    },
    objects::{Object as _, room::Room},
    ports::{Clock, Deferred, Dns, Http, ObjectHost, Objects, Offline, Random, Row, Sql, Stmt},
    server::{
        Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, ONE_PROCESS_SESSION_CACHE_MS, Registration,
        Server,
    },
    store::global::{aliases, directory},
};
use skerry_core::{SigningKey, pdu, room_version};
use skerry_local::{machine::SystemRandom, sqlite::Sqlite, store};
use tempfile::TempDir;

/// The room's.
pub(crate) const SCOPE: i64 = 7;

/// When the host calls again after an alarm that failed.
const HOST_RETRY_MS: u64 = 30_000;

/// What becomes of the next commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written.
    #[default]
    Written,
    /// Nothing is written, and it fails.
    Refused,
    /// It is written, and fails all the same.
    WrittenAndFailed,
    /// It is written, and never returns.
    WrittenAndHangs,
}

/// What the room stands on.
pub(crate) struct Host {
    pub(crate) sqlite: Arc<Sqlite>,
    pub(crate) fate: Mutex<Fate>,
    pub(crate) alarm_by_ms: Mutex<Option<u64>>,
    /// After how many pages the removal of the room fails.
    pub(crate) destroyed_pages: Mutex<Option<usize>>,
    global: Global,
    deferred: Mutex<Vec<Deferred>>,
    clock: Time,
    _directory: TempDir,
}

/// The global store, which may be out of reach.
struct Global {
    sqlite: Arc<Sqlite>,
    fails: AtomicBool,
}

struct Time(AtomicU64);

impl Clock for Time {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Sql for Global {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        self.sqlite.rows(stmt).await
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        match self.fails.load(Ordering::Relaxed) {
            true => Err(Error::internal("the global store is out of reach")),
            false => self.sqlite.batch(stmts).await,
        }
    }
}

/// Users who are content with whatever they are told.
struct Users;

#[async_trait]
impl Objects for Users {
    async fn room(&self, _: &RoomId, _: room::Command) -> Result<room::Reply> {
        Err(Error::internal("there is one room"))
    }

    async fn user(&self, _: &UserId, command: user::Command) -> Result<user::Reply> {
        Ok(match command {
            user::Command::Membership(_) => user::Reply::Membership(()),
            _ => user::Reply::RoomActivity(user::Delivered::Noted),
        })
    }

    async fn wait_for_changes(
        &self,
        _user_id: &UserId,
        _question: user::GetChanges,
        _at_most: Duration,
    ) -> Result<Option<Box<user::Changes>>> {
        Ok(None)
    }
}

#[async_trait]
impl ObjectHost for Host {
    fn sql(&self) -> &dyn Sql {
        &*self.sqlite
    }

    fn scope(&self) -> i64 {
        SCOPE
    }

    async fn commit(&self, stmts: Vec<Stmt>, alarm_by_ms: Option<u64>) -> Result<Vec<Vec<Row>>> {
        let fate = std::mem::take(&mut *self.fate.lock().unwrap());
        if fate == Fate::Refused {
            return Err(Error::internal("the store is full"));
        }
        let results = self.sqlite.batch(stmts).await?;
        {
            let mut alarm = self.alarm_by_ms.lock().unwrap();
            *alarm = alarm.into_iter().chain(alarm_by_ms).min();
        }
        match fate {
            Fate::WrittenAndFailed => Err(Error::internal("the answer was lost")),
            Fate::WrittenAndHangs => std::future::pending().await,
            Fate::Written | Fate::Refused => Ok(results),
        }
    }

    fn wake(&self) {}

    fn is_waited_for(&self) -> bool {
        false
    }

    async fn destroy(&self, pages: Vec<Stmt>) -> Result<()> {
        for page in pages {
            while !self.sqlite.batch(vec![page.clone()]).await?.concat().is_empty() {
                if *self.destroyed_pages.lock().unwrap() == Some(0) {
                    return Err(Error::internal("the process died"));
                }
                if let Some(left) = &mut *self.destroyed_pages.lock().unwrap() {
                    *left -= 1;
                }
            }
        }
        self.sqlite.batch(vec![skerry::store::agenda::remove_all(SCOPE)]).await?;
        *self.alarm_by_ms.lock().unwrap() = None;
        Ok(())
    }

    async fn alarm_at_ms(&self) -> Result<Option<u64>> {
        Ok(*self.alarm_by_ms.lock().unwrap())
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

    /// Long enough for whatever is waited for instead.
    async fn sleep(&self, _: Duration) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    fn objects(&self) -> &dyn Objects {
        &Users
    }

    fn global(&self) -> &dyn Sql {
        &self.global
    }

    fn http(&self) -> &dyn Http {
        &Offline
    }

    fn dns(&self) -> &dyn Dns {
        &Offline
    }

    async fn server(&self) -> Result<Arc<Server>> {
        Err(Error::internal("the room was given its server"))
    }
}

/// A room and its host.
pub(crate) struct Stand {
    pub(crate) host: Arc<Host>,
    pub(crate) room: Arc<Room>,
    server: Arc<Server>,
    room_id: OwnedRoomId,
}

pub(crate) fn alice() -> Caller {
    Caller { user_id: owned_user_id!("@alice:localhost"), device_id: owned_device_id!("A") }
}

pub(crate) fn bob() -> Caller {
    Caller { user_id: owned_user_id!("@bob:localhost"), device_id: owned_device_id!("B") }
}

impl Stand {
    /// A store, and the room that is about to be created in it.
    pub(crate) async fn open() -> (Self, Create) {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Arc::new(Sqlite::open(directory.path()).await.unwrap());
        store::migrate(&*sqlite).await.unwrap();
        let server = Arc::new(Server {
            name: "localhost".try_into().unwrap(),
            signing_key: SigningKey::from_seed([7; 32], "test").unwrap(),
            config: Config {
                registration: Registration::Closed,
                registration_token_hash: None,
                public_base_url: None,
                access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
                private_servers: Vec::new(),
                session_cache_ms: ONE_PROCESS_SESSION_CACHE_MS,
            },
        });
        let (room_id, create) = creation(&server);
        let host = Arc::new(Host {
            global: Global { sqlite: Arc::clone(&sqlite), fails: AtomicBool::default() },
            sqlite,
            fate: Mutex::default(),
            alarm_by_ms: Mutex::default(),
            destroyed_pages: Mutex::default(),
            deferred: Mutex::default(),
            clock: Time(AtomicU64::new(1_000_000)),
            _directory: directory,
        });
        let room = Room::new(room_id.clone(), Arc::clone(&server), host.clone());
        (Self { host, room, server, room_id }, create)
    }

    /// A room that has been created: its effects are done.
    pub(crate) async fn created(change: impl FnOnce(&mut Create)) -> Self {
        let (stand, mut create) = Self::open().await;
        change(&mut create);
        stand.ask(create).await.unwrap();
        stand.run_deferred().await;
        stand
    }

    pub(crate) async fn ask<A: Ask<Recipient = ToRoom>>(&self, question: A) -> Result<A::Reply> {
        let reply = self.room.ask(question.into_command()).await?;
        Ok(A::from_reply(reply).unwrap())
    }

    /// Runs what was deferred.
    pub(crate) async fn run_deferred(&self) {
        loop {
            let deferred = std::mem::take(&mut *self.host.deferred.lock().unwrap());
            if deferred.is_empty() {
                return;
            }
            futures_util::future::join_all(deferred).await;
        }
    }

    /// The process dies: what was deferred is lost, and the room is built anew on its store.
    pub(crate) fn crash(&mut self) {
        self.host.deferred.lock().unwrap().clear();
        let host: Arc<Host> = self.host.clone();
        self.room = Room::new(self.room_id.clone(), Arc::clone(&self.server), host);
    }

    /// How the room is created.
    pub(crate) fn creation(&self) -> Create {
        creation(&self.server).1
    }

    /// Rows of a table.
    pub(crate) async fn count(&self, table: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM {table} WHERE scope = ?").into_boxed_str();
        let count = Stmt::new(Box::leak(sql)).bind(SCOPE);
        (&*self.host.sqlite as &dyn Sql).row(count).await.unwrap().unwrap().take(0).unwrap()
    }

    /// Lets time pass, in milliseconds.
    pub(crate) fn pass(&self, ms: u64) {
        self.host.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// Waits for the alarm, if one is set, and gives how long that took.
    pub(crate) async fn alarm(&self) -> Option<u64> {
        let at_ms = self.host.alarm_by_ms.lock().unwrap().take()?;
        let now_ms = self.host.clock.now_ms();
        self.host.clock.0.store(at_ms.max(now_ms), Ordering::Relaxed);
        if self.room.alarm().await.is_err() {
            // As hosts do: they call again.
            let mut alarm = self.host.alarm_by_ms.lock().unwrap();
            let again_ms = self.host.clock.now_ms() + HOST_RETRY_MS;
            *alarm = alarm.into_iter().chain([again_ms]).min();
        }
        self.run_deferred().await;
        Some(at_ms.saturating_sub(now_ms))
    }

    pub(crate) fn global_fails(&self, fails: bool) {
        self.host.global.fails.store(fails, Ordering::Relaxed);
    }

    /// The name and the members that the directory shows, if it shows the room.
    pub(crate) async fn entry(&self) -> Option<(String, u64)> {
        let page = directory::Page { limit: 10, ..directory::Page::default() };
        let entries = directory::list(&*self.host.sqlite, &page).await.unwrap();
        let entry = entries.into_iter().find(|it| it.room_id == self.room_id)?;
        Some((entry.info.name.unwrap_or_default(), entry.info.joined_members))
    }

    /// Reserves the alias until a time.
    pub(crate) async fn reserve(&self, until_ms: u64) {
        let (alias, now_ms) = (room_alias_id!("#harbor:localhost"), self.host.clock.now_ms());
        let creator = &alice().user_id;
        let insert = aliases::insert(alias, &self.room_id, creator, Some(until_ms), now_ms);
        self.host.sqlite.batch(vec![insert]).await.unwrap();
    }

    /// Whether the alias leads to the room at a time.
    pub(crate) async fn is_alias_at(&self, now_ms: u64) -> bool {
        let alias = room_alias_id!("#harbor:localhost");
        let found = aliases::find(&*self.host.sqlite, alias, now_ms).await.unwrap();
        found.is_some_and(|it| it.room_id == self.room_id)
    }

    /// What stands in the agenda.
    pub(crate) async fn agenda(&self) -> Vec<String> {
        let listed = skerry::store::agenda::list(&*self.host.sqlite, SCOPE).await.unwrap();
        listed.into_iter().map(|(name, _)| name).collect()
    }

    pub(crate) async fn say(&self, text: &str) -> Result<OwnedEventId> {
        self.send("m.room.message", None, json!({ "msgtype": "m.text", "body": text })).await
    }

    pub(crate) async fn send(
        &self,
        event_type: &str,
        state_key: Option<&str>,
        content: JsonValue,
    ) -> Result<OwnedEventId> {
        let send = Send {
            caller: alice(),
            event_type: event_type.to_owned(),
            state_key: state_key.map(str::to_owned),
            content: to_raw_value(&content).unwrap(),
            transaction_id: None,
            timestamp_ms: None,
        };
        self.ask(send).await
    }

    pub(crate) async fn change(&self, caller: Caller, action: MembershipAction) -> Result<()> {
        let target = caller.user_id.clone();
        self.ask(ChangeMembership {
            caller,
            target,
            action,
            reason: None,
            displayname: None,
            avatar_url: None,
            is_direct: false,
        })
        .await
    }
}

/// How the room is created: public, with a name.
fn creation(server: &Server) -> (OwnedRoomId, Create) {
    let Caller { user_id, .. } = alice();
    let rules = room_version::rules(&RoomVersionId::V12).unwrap();
    let content: CanonicalJsonObject =
        serde_json::from_value(json!({ "room_version": "12" })).unwrap();
    let key = &server.signing_key;
    let event = pdu::create_event(content, &user_id, None, None, &rules, 1, key).unwrap();
    let state = |event_type: &str, state_key: &str, content| NewState {
        event_type: event_type.to_owned(),
        state_key: state_key.to_owned(),
        content: to_raw_value(&content).unwrap(),
    };
    let create = Create {
        creator: alice(),
        room_version: RoomVersionId::V12,
        create_event: serde_json::from_str(&event.json).unwrap(),
        state: vec![
            state("m.room.member", user_id.as_str(), json!({ "membership": "join" })),
            state("m.room.power_levels", "", json!({})),
            state("m.room.join_rules", "", json!({ "join_rule": "public" })),
            state("m.room.name", "", json!({ "name": "Harbor" })),
        ],
        invites: Vec::new(),
        listed: false,
        alias: None,
    };
    (event.room_id, create)
}
