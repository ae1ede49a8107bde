//! Attempts to join a room, on a database that fails: whatever an attempt has left, the next one
//! comes to what it would have come to without it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/alone.rs"]
mod alone;
#[path = "join_attempts/world.rs"]
mod world;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use ruma::{OwnedUserId, api::error::ErrorKind, owned_device_id};
use serde_json::json;
use skerry::{
    Error, Result,
    messages::{
        Ask, Caller,
        room::{ChangeMembership, Join, MembershipAction, Outcome, Stage, ToRoom},
    },
    objects::{
        Object as _,
        room::{Room, limits},
    },
    ports::{Row, Sql, Stmt},
    server::{
        Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, ONE_PROCESS_SESSION_CACHE_MS, Registration,
        Server,
    },
    store::room::{
        given, meta, staged,
        state::{self, Part},
    },
};
use skerry_core::{Pdu, authorize::StateKey, engine::StateAt, room_version};
use skerry_local::{sqlite::Sqlite, store};
use tempfile::TempDir;

use self::{
    alone::{Host, SCOPE, nobody},
    world::{MEMBER, OWN, TOPIC, World, keys, own_key, raw, user},
};

/// How a batch fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing of it was written.
    Before,
    /// All of it was written, and nobody was told.
    After,
}

/// A database of which one batch fails.
struct Faulty {
    sqlite: Sqlite,
    /// Batches until then, and how it fails.
    next: Mutex<Option<(u64, Fault)>>,
}

impl Faulty {
    fn set(&self, next: Option<(u64, Fault)>) {
        *self.next.lock().unwrap() = next;
    }

    fn take(&self) -> Option<Fault> {
        let mut next = self.next.lock().unwrap();
        match next.as_mut()? {
            (0, fault) => {
                let fault = *fault;
                *next = None;
                Some(fault)
            }
            (left, _) => {
                *left -= 1;
                None
            }
        }
    }
}

#[async_trait]
impl Sql for Faulty {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        self.sqlite.rows(stmt).await
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        match self.take() {
            None => self.sqlite.batch(stmts).await,
            Some(Fault::Before) => Err(Error::internal("the database failed")),
            Some(Fault::After) => {
                self.sqlite.batch(stmts).await?;
                Err(Error::internal("the database failed to answer"))
            }
        }
    }
}

/// A room on such a database.
struct Stand {
    _directory: TempDir,
    server: Arc<Server>,
    sql: Arc<Faulty>,
    room: Arc<Room>,
}

impl Stand {
    async fn new(world: &World) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(directory.path()).await.unwrap();
        store::migrate(&sqlite).await.unwrap();
        let server = Arc::new(Server {
            name: OWN.try_into().unwrap(),
            signing_key: own_key(),
            config: Config {
                registration: Registration::Closed,
                registration_token_hash: None,
                public_base_url: None,
                access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
                session_cache_ms: ONE_PROCESS_SESSION_CACHE_MS,
                private_servers: Vec::new(),
            },
        });
        let sql = Arc::new(Faulty { sqlite, next: Mutex::new(None) });
        let room_id = world.create.room_id.clone();
        let host = Arc::new(Host(Arc::clone(&sql), nobody()));
        let room = Room::new(room_id, Arc::clone(&server), host);
        Self { _directory: directory, server, sql, room }
    }

    /// The room forgets all that it does not have in its store.
    fn restart(&mut self, world: &World) {
        let host = Arc::new(Host(Arc::clone(&self.sql), nobody()));
        self.room = Room::new(world.create.room_id.clone(), Arc::clone(&self.server), host);
    }

    async fn ask<A: Ask<Recipient = ToRoom>>(&self, question: A) -> Result<A::Reply> {
        self.room.ask(question.into_command()).await.map(|it| A::from_reply(it).unwrap())
    }

    /// Stages a part of an attempt.
    async fn stage(
        &self,
        attempt: &str,
        begins: bool,
        is_state: bool,
        pdus: &[&Pdu],
    ) -> Result<()> {
        let stage = Stage {
            attempt: attempt.to_owned(),
            begins,
            room_version: room_version::DEFAULT,
            events: pdus.iter().map(|it| raw(it)).collect(),
            is_state,
            keys: keys(),
        };
        for it in self.ask(stage).await? {
            assert_eq!(it.outcome, Outcome::Accepted { redacted: false });
        }
        Ok(())
    }

    /// Joins by what the room's server answers.
    async fn join(&self, attempt: &str, world: &World, join: &Pdu) -> Result<Outcome> {
        let is_state = |it: &&Pdu| world.state.values().any(|state| state.event_id == it.event_id);
        let (state, chain): (Vec<_>, Vec<_>) = world.all.iter().partition(is_state);
        self.stage(attempt, true, false, &chain).await?;
        for part in state.chunks(200) {
            self.stage(attempt, false, true, part).await?;
        }
        self.ask_join(attempt, join).await
    }

    async fn ask_join(&self, attempt: &str, join: &Pdu) -> Result<Outcome> {
        let (attempt, room_version) = (attempt.to_owned(), room_version::DEFAULT);
        let join = Join { attempt, room_version, event: raw(join), keys: keys() };
        self.ask(join).await.map(|it| it.outcome)
    }

    async fn leave(&self, user_id: &OwnedUserId) {
        let leave = ChangeMembership {
            caller: Caller { user_id: user_id.clone(), device_id: owned_device_id!("HERE") },
            target: user_id.clone(),
            action: MembershipAction::Leave,
            reason: None,
            displayname: None,
            avatar_url: None,
            is_direct: false,
        };
        self.ask(leave).await.unwrap();
    }

    /// The current state.
    async fn state(&self) -> BTreeMap<StateKey, String> {
        let at = StateAt { chain: 0, group: 1 << 52 };
        let state = state::list(&*self.sql, SCOPE, at, Part::Whole).await.unwrap();
        let entry = |it: skerry::store::room::events::Stored| {
            ((it.event_type, it.state_key.unwrap()), it.event_id.to_string())
        };
        state.into_iter().map(entry).collect()
    }

    async fn count(&self, table: &str) -> u64 {
        let stmt = match table {
            "room_events" => Stmt::new("SELECT count(*) FROM room_events"),
            "room_staged" => Stmt::new("SELECT count(*) FROM room_staged"),
            "room_join_attempt" => Stmt::new("SELECT count(*) FROM room_join_attempt"),
            "room_state_deltas" => Stmt::new("SELECT count(*) FROM room_state_deltas"),
            "room_members" => Stmt::new("SELECT count(*) FROM room_members"),
            other => panic!("{other}"),
        };
        self.sql.rows(stmt).await.unwrap()[0].take(0).unwrap()
    }

    /// Nothing is left of any attempt.
    async fn is_clean(&self) {
        assert_eq!(self.count("room_staged").await, 0);
        assert_eq!(self.count("room_join_attempt").await, 0);
        assert_eq!(given::list(&*self.sql, SCOPE).await.unwrap(), []);
    }

    async fn exists(&self) -> bool {
        meta::find(&*self.sql, SCOPE).await.unwrap().is_some()
    }
}

/// What the room's server answers, and another server that is behind and has taken another way.
fn answers() -> (World, World) {
    let mut world = World::new();
    let mut other = world.clone();
    other.by_carol("m.room.name", json!({ "name": "Never was" }));
    world.by_carol(TOPIC, json!({ "topic": "the second" }));
    world.join("frank");
    (world, other)
}

/// C1
#[tokio::test]
async fn a_join_that_fails_at_any_step_is_made_by_the_next_attempt() {
    let alice = user("alice", OWN);
    let (mut world, other) = answers();
    let (join, other_join) = (world.own_join(&alice), other.own_join(&alice));
    let clean = Stand::new(&world).await;
    let joined = clean.join("only", &world, &join).await.unwrap();
    assert_eq!(joined, Outcome::Accepted { redacted: false });
    let events = clean.count("room_events").await;
    let answer = world.clone();
    world.take(&join);
    let mut steps = 0;
    for fault in [Fault::Before, Fault::After] {
        for step in 0.. {
            let mut stand = Stand::new(&world).await;
            stand.sql.set(Some((step, fault)));
            let first = stand.join("first", &other, &other_join).await;
            stand.sql.set(None);
            if first.is_ok() {
                steps = step;
                break;
            }
            if step % 2 == 0 {
                stand.restart(&world);
            }
            if stand.exists().await {
                assert_eq!(fault, Fault::After, "step {step}");
                let again = stand.ask_join("first", &other_join).await.unwrap();
                assert_eq!(again, Outcome::Known, "step {step}");
                continue;
            }
            let again = stand.join("second", &answer, &join).await.unwrap();
            assert_eq!(again, Outcome::Accepted { redacted: false }, "step {step}");
            assert_eq!(stand.state().await, world.ids(), "{fault:?} at step {step}");
            assert_eq!(stand.count("room_events").await, events, "step {step}");
            stand.is_clean().await;
        }
        assert!(steps > 7, "parts, a clearing, two pages, a state, and the join: {steps}");
    }
}

/// C1
#[tokio::test]
async fn a_return_that_fails_at_any_step_is_made_by_the_next_attempt() {
    let alice = user("alice", OWN);
    let (mut world, _) = answers();
    let first_join = world.own_join(&alice);
    let first = world.clone();
    world.take(&first_join);
    let mut other = world.clone();
    other.add(&user("carol", "peer.example"), "m.room.message", None, json!({ "body": "?" }));
    other.by_carol("m.room.name", json!({ "name": "Never was" }));
    world.add(&user("carol", "peer.example"), "m.room.message", None, json!({ "body": "!" }));
    world.by_carol(TOPIC, json!({ "topic": "the third" }));
    let gone = user("member7", "peer.example");
    world.add(&gone, MEMBER, Some(gone.as_str()), json!({ "membership": "leave" }));
    let answer = world.clone();
    let (join, other_join) = (world.own_join(&alice), other.own_join(&alice));
    world.take(&join);
    let mut steps = 0;
    for fault in [Fault::Before, Fault::After] {
        for step in 0.. {
            let mut stand = Stand::new(&world).await;
            stand.join("zeroth", &first, &first_join).await.unwrap();
            stand.leave(&alice).await;
            let before = stand.state().await;
            stand.sql.set(Some((step, fault)));
            let failed = stand.join("first", &other, &other_join).await;
            stand.sql.set(None);
            if failed.is_ok() {
                steps = step;
                break;
            }
            if step % 2 == 0 {
                stand.restart(&world);
            }
            if stand.state().await != before {
                assert_eq!(fault, Fault::After, "step {step}");
                let again = stand.ask_join("first", &other_join).await.unwrap();
                assert_eq!(again, Outcome::Known, "step {step}");
                continue;
            }
            let again = stand.join("second", &answer, &join).await.unwrap();
            assert_eq!(again, Outcome::Accepted { redacted: false }, "step {step}");
            assert_eq!(stand.state().await, world.ids(), "{fault:?} at step {step}");
            stand.is_clean().await;
            stand.leave(&alice).await;
        }
        assert!(steps > 6, "parts, a clearing, a page, a state, and the join: {steps}");
    }
}

#[tokio::test]
async fn more_events_than_a_room_takes_are_refused() {
    let alice = user("alice", OWN);
    let world = World::new();
    let stand = Stand::new(&world).await;
    stand.stage("first", true, true, &[&world.create]).await.unwrap();
    let last = u64::try_from(limits::STAGED_EVENTS).unwrap();
    let full = staged::insert(SCOPE, last, &world.tip, true).unwrap();
    stand.sql.batch(vec![full]).await.unwrap();
    let one_more = stand.stage("first", false, true, &[&world.tip]).await.unwrap_err();
    assert!(matches!(one_more, Error::Api { kind, .. } if *kind == ErrorKind::TooLarge));
    let joined = stand.join("second", &world, &world.own_join(&alice)).await.unwrap();
    assert_eq!(joined, Outcome::Accepted { redacted: false });
}

#[tokio::test]
async fn an_attempt_that_is_old_is_removed() {
    let world = World::new();
    let stand = Stand::new(&world).await;
    stand.stage("first", true, true, &[&world.create, &world.all[1]]).await.unwrap();
    let staged_ms = staged::find_attempt(&*stand.sql, SCOPE).await.unwrap().unwrap().staged_ms;
    let none = staged::remove_expired(&*stand.sql, SCOPE, staged_ms - 1).await.unwrap();
    assert!(none.is_empty(), "it is not as old as that");
    let stmts = staged::remove_expired(&*stand.sql, SCOPE, staged_ms).await.unwrap();
    stand.sql.batch(stmts).await.unwrap();
    stand.is_clean().await;
    let late = stand.stage("first", false, true, &[&world.tip]).await;
    assert!(late.is_err(), "the attempt has ended");
}

#[tokio::test]
async fn the_alarm_removes_an_attempt_when_it_is_old() {
    let world = World::new();
    let stand = Stand::new(&world).await;
    stand.stage("first", true, true, &[&world.create]).await.unwrap();
    stand.room.alarm().await.unwrap();
    assert_eq!(stand.count("room_staged").await, 1, "it is young");
    let attempt = staged::find_attempt(&*stand.sql, SCOPE).await.unwrap().unwrap();
    let long_ago = attempt.staged_ms - limits::STAGED_MS;
    let aged = staged::upsert_attempt(SCOPE, "first", &attempt.version, long_ago);
    stand.sql.batch(vec![aged]).await.unwrap();
    stand.room.alarm().await.unwrap();
    stand.is_clean().await;
}

#[tokio::test]
async fn a_page_of_staged_events_is_bounded_by_bytes() {
    let world = World::new();
    let stand = Stand::new(&world).await;
    let pdus: Vec<_> = world.all.iter().take(4).collect();
    stand.stage("first", true, true, &pdus).await.unwrap();
    let sizes: Vec<_> = pdus.iter().map(|it| it.json.len()).collect();
    let ids = |seqs: Vec<usize>| seqs.iter().map(|it| pdus[it - 1].event_id.clone()).collect();
    let cases: [(Vec<u64>, usize, Vec<usize>); 5] = [
        (vec![3, 1, 4], usize::MAX >> 12, vec![3, 1, 4]),
        (vec![3, 1, 4], sizes[2] + sizes[0], vec![3, 1]),
        (vec![3, 1, 4], sizes[2] + sizes[0] - 1, vec![3]),
        (vec![2, 3], 1, vec![2]),
        (vec![9, 2], 1_000_000, vec![2]),
    ];
    for (seqs, bytes, expected) in cases {
        let found = staged::list(&*stand.sql, SCOPE, &seqs, bytes).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|(event_id, _)| event_id).collect();
        let expected: Vec<_> = ids(expected);
        assert_eq!(found, expected, "{seqs:?} within {bytes}");
    }
}
