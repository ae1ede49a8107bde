//! The `User` object over SQLite: its stream, its limits and its outbox.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use ruma::{
    RoomId, UserId, events::room::member::MembershipState, owned_device_id, owned_user_id, room_id,
    user_id,
};
use serde_json::{Value as JsonValue, json, value::to_raw_value};
use skerry::{
    Error, Result,
    messages::{
        Ask, RawJson,
        room::{self, Position},
        secret::Secret,
        user::{
            self, Changes, CreateFilter, Device, GetAccountData, GetChanges, GetFilter, Membership,
            NewSession, NewTokens, Read, ReadRoom, Register, RoomActivity, SetAccountData, SetTag,
            ToUser,
        },
    },
    objects::{
        Object as _,
        user::{User, limits},
    },
    ports::{Clock, Deferred, Dns, Http, ObjectHost, Objects, Offline, Random, Row, Sql, Stmt},
    server::Server,
};
use skerry_core::{sync_token::SyncToken, user_stream::MAX_MARKS_PER_ROOM};
use skerry_local::{machine::SystemRandom, sqlite::Sqlite, store};
use tempfile::TempDir;

fn a_room() -> &'static RoomId {
    room_id!("!a:localhost")
}

/// A host of one object.
struct Host {
    sqlite: Sqlite,
    woken: AtomicU64,
    _directory: TempDir,
}

/// Nobody else: nothing here asks another object.
struct Nobody;

struct StoppedClock;

impl Clock for StoppedClock {
    fn now_ms(&self) -> u64 {
        1_000_000
    }
}

#[async_trait]
impl Objects for Nobody {
    async fn room(&self, _: &RoomId, _: room::Command) -> Result<room::Reply> {
        Err(Error::internal("there is no room"))
    }

    async fn user(&self, _: &UserId, _: user::Command) -> Result<user::Reply> {
        Err(Error::internal("a user asks no other user"))
    }

    async fn wait_for_changes(
        &self,
        _: &UserId,
        _: GetChanges,
        _: Duration,
    ) -> Result<Option<Box<Changes>>> {
        Ok(None)
    }
}

#[async_trait]
impl ObjectHost for Host {
    fn sql(&self) -> &dyn Sql {
        &self.sqlite
    }

    fn scope(&self) -> i64 {
        7
    }

    async fn commit(&self, stmts: Vec<Stmt>, _alarm_by_ms: Option<u64>) -> Result<Vec<Vec<Row>>> {
        self.sqlite.batch(stmts).await
    }

    fn wake(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }

    fn is_waited_for(&self) -> bool {
        false
    }

    async fn destroy(&self, _pages: Vec<Stmt>) -> Result<()> {
        Err(Error::internal("nothing is destroyed here"))
    }

    async fn alarm_at_ms(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn defer(&self, work: Deferred) {
        tokio::spawn(work);
    }

    fn clock(&self) -> &dyn Clock {
        &StoppedClock
    }

    fn random(&self) -> &dyn Random {
        &SystemRandom
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn objects(&self) -> &dyn Objects {
        &Nobody
    }

    fn global(&self) -> &dyn Sql {
        &self.sqlite
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

/// A user on a store of their own.
struct World {
    host: Arc<Host>,
    user: Arc<User>,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(directory.path()).await.unwrap();
        store::migrate(&sqlite).await.unwrap();
        let host = Arc::new(Host { sqlite, woken: AtomicU64::default(), _directory: directory });
        let world = Self { user: build(&host), host };
        world.register().await;
        world
    }

    /// The account, with one session: device `D`, token `d`.
    async fn register(&self) {
        let device = Device {
            device_id: owned_device_id!("D"),
            display_name: None,
            last_seen_ms: None,
            last_seen_ip: None,
        };
        let tokens =
            NewTokens { access_hash: "d".to_owned(), refresh_hash: None, expires_at_ms: None };
        self.ask(Register {
            password: Secret::new("correct horse battery".to_owned()),
            is_admin: false,
            reservation: None,
            session: Some(NewSession { device, tokens }),
        })
        .await;
    }

    /// The object is dropped and built again on its store.
    fn restart(&mut self) {
        self.user = build(&self.host);
    }

    async fn ask<A: Ask<Recipient = ToUser>>(&self, question: A) -> A::Reply {
        A::from_reply(self.user.ask(question.into_command()).await.unwrap()).unwrap()
    }

    async fn refused<A: Ask<Recipient = ToUser>>(&self, question: A) -> u16 {
        self.user.ask(question.into_command()).await.unwrap_err().status().as_u16()
    }

    async fn membership(&self, room_id: &RoomId, membership: MembershipState, position: Position) {
        let membership = Membership {
            room_id: room_id.to_owned(),
            membership,
            position,
            sender: owned_user_id!("@eve:localhost"),
            stripped_state: Vec::new(),
        };
        self.ask(membership).await;
    }

    async fn activity(&self, position: Position) {
        self.ask(RoomActivity { room_id: a_room().to_owned(), position }).await;
    }

    async fn changes(&self, since: Option<SyncToken>) -> Changes {
        let ask = GetChanges {
            since,
            include_leave: false,
            full_state: false,
            access_hash: "d".to_owned(),
            lazy_loads: false,
            looked_at: None,
            limit: 100,
        };
        *self.ask(ask).await
    }

    /// What of the room is to be read, if anything.
    async fn from(&self, since: Option<SyncToken>) -> Option<Option<Position>> {
        let changes = self.changes(since).await;
        changes.joined.first().filter(|it| it.has_events).map(|it| it.from)
    }

    async fn read(&self, position: u64, to: Position) -> SyncToken {
        let room = ReadRoom { room_id: a_room().to_owned(), to, members: Vec::new() };
        let device_id = owned_device_id!("D");
        let instance = self.changes(None).await.instance;
        self.ask(Read { position, instance, device_id, rooms: vec![room] }).await
    }

    async fn position(&self) -> u64 {
        self.changes(None).await.position
    }

    async fn set(&self, room_id: Option<&RoomId>, event_type: &str, content: JsonValue) {
        self.ask(set(room_id, event_type, &content)).await;
    }

    async fn count(&self, stmt: &'static str) -> u64 {
        let mut rows = self.host.sqlite.rows(Stmt::new(stmt)).await.unwrap();
        rows[0].take(0).unwrap()
    }
}

fn build(host: &Arc<Host>) -> Arc<User> {
    let host: Arc<dyn ObjectHost> = host.clone();
    User::new(owned_user_id!("@ann:localhost"), (), host)
}

fn raw(content: &JsonValue) -> RawJson {
    to_raw_value(content).unwrap()
}

fn set(room_id: Option<&RoomId>, event_type: &str, content: &JsonValue) -> SetAccountData {
    SetAccountData {
        room_id: room_id.map(ToOwned::to_owned),
        event_type: event_type.to_owned(),
        content: raw(content),
    }
}

#[tokio::test]
async fn a_token_outlives_the_object() {
    let mut world = World::new().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    assert_eq!(world.from(None).await, Some(None), "new to the client");
    let token = world.read(world.position().await, 3).await;
    assert_eq!(world.from(Some(token)).await, None);
    world.restart();
    world.activity(9).await;
    assert_eq!(world.from(Some(token)).await, Some(Some(3)));
    let position = world.position().await;
    assert_eq!(world.host.woken.load(Ordering::Relaxed), 2, "by the membership and the activity");
    let later = world.read(position, 10).await;
    assert_eq!(world.from(Some(later)).await, None);
    assert_eq!(world.from(Some(token)).await, Some(Some(3)), "an answer that got lost");
    world.activity(10).await;
    assert_eq!(world.from(Some(later)).await, None, "told late");
}

#[tokio::test]
async fn what_happens_during_a_read_is_not_lost() {
    let world = World::new().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    let first = world.read(world.position().await, 3).await;
    world.activity(4).await;
    let position = world.changes(Some(first)).await.position;
    // One device reads up to 4; meanwhile another gets further, and the user changes something.
    world.set(None, "m.direct", json!({})).await;
    let other = world.read(world.position().await, 6).await;
    let token = world.read(position, 4).await;
    assert_eq!(world.from(Some(token)).await, Some(Some(4)));
    assert_eq!(world.changes(Some(token)).await.account_data.len(), 1);
    assert_eq!(world.from(Some(other)).await, None);
}

#[tokio::test]
async fn a_room_nobody_reads_stays_new_to_every_token() {
    let world = World::new().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    let token = world.read(world.position().await, 3).await;
    world.activity(4).await;
    // The room's events are filtered out for a while: nothing is read, the token goes on.
    let later = SyncToken::at(world.changes(Some(token)).await.position);
    assert_eq!(world.from(Some(later)).await, Some(Some(3)));
}

#[tokio::test]
async fn who_comes_back_begins_anew() {
    let world = World::new().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    let token = world.read(world.position().await, 5).await;
    world.membership(a_room(), MembershipState::Leave, 8).await;
    let left = world.changes(Some(token)).await;
    assert_eq!(left.left.first().map(|it| it.from), Some(Some(5)));
    assert_eq!(world.changes(None).await.left.len(), 0);
    world.membership(a_room(), MembershipState::Leave, 7).await;
    world.membership(a_room(), MembershipState::Join, 12).await;
    assert_eq!(world.from(Some(token)).await, Some(None));
    assert_eq!(world.from(Some(SyncToken::at(left.position))).await, Some(None));
}

#[tokio::test]
async fn marks_stay_few() {
    let world = World::new().await;
    world.membership(a_room(), MembershipState::Join, 1).await;
    let first = world.read(world.position().await, 1).await;
    for position in 2..200 {
        world.activity(position).await;
        world.read(world.position().await, position).await;
    }
    let marks = world.count("SELECT json_array_length(marks) FROM user_rooms").await;
    assert!(marks <= MAX_MARKS_PER_ROOM as u64 + 1, "{marks}");
    let from = world.from(Some(first)).await.unwrap();
    assert!(from.is_none_or(|it| it <= 1), "a gap: {from:?}");
}

#[tokio::test]
async fn an_invitation_from_someone_ignored_is_not_told() {
    let world = World::new().await;
    world.membership(a_room(), MembershipState::Invite, 3).await;
    assert_eq!(world.changes(None).await.invited.len(), 1);
    let list = json!({ "ignored_users": { "@eve:localhost": {}, "@ann:localhost": {}, "x": {} } });
    world.set(None, "m.ignored_user_list", list).await;
    let changes = world.changes(None).await;
    assert_eq!(changes.invited.len(), 0);
    assert_eq!(changes.ignored_users, [user_id!("@eve:localhost")]);
}

#[tokio::test]
async fn account_data_is_told_once_and_bounded() {
    let world = World::new().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    let token = world.read(world.position().await, 3).await;
    world.set(Some(a_room()), "u.x", json!({ "a": 1 })).await;
    let changes = world.changes(Some(token)).await;
    let [room] = &*changes.joined else { panic!("one room") };
    assert!(!room.has_events);
    assert_eq!(room.account_data[0].get(), r#"{"type":"u.x","content":{"a":1}}"#);
    assert_eq!(world.changes(Some(SyncToken::at(changes.position))).await.joined.len(), 0);
    let large = json!({ "a": "x".repeat(limits::ACCOUNT_DATA_BYTES) });
    assert_eq!(world.refused(set(None, "u.x", &large)).await, 413);
    for number in 0..limits::ACCOUNT_DATA_TYPES {
        world.set(None, &format!("u.{number}"), json!({})).await;
    }
    assert_eq!(world.refused(set(None, "one.more", &json!({}))).await, 413);
    world.set(None, "u.1", json!({ "b": 1 })).await;
}

#[tokio::test]
async fn only_of_a_joined_room_something_is_kept() {
    let world = World::new().await;
    let data = || set(Some(a_room()), "org.example", &json!({}));
    let tag = |info: Option<JsonValue>| SetTag {
        room_id: a_room().to_owned(),
        tag: "u.a".to_owned(),
        info: info.as_ref().map(raw),
    };
    let steps = [
        (None, false),
        (Some(MembershipState::Invite), false),
        (Some(MembershipState::Join), true),
        (Some(MembershipState::Leave), false),
    ];
    for (number, (membership, may)) in (1..).zip(steps) {
        if let Some(membership) = membership {
            world.membership(a_room(), membership, number).await;
        }
        match may {
            true => {
                world.ask(data()).await;
                world.ask(tag(Some(json!({})))).await;
            }
            false => {
                assert_eq!(world.refused(data()).await, 403);
                assert_eq!(world.refused(tag(Some(json!({})))).await, 403);
            }
        }
    }
    world.ask(tag(None)).await;
}

#[tokio::test]
async fn tags_are_merged_and_bounded() {
    let world = World::new().await;
    world.membership(a_room(), MembershipState::Join, 1).await;
    let tag = |name: String, info: Option<JsonValue>| SetTag {
        room_id: a_room().to_owned(),
        tag: name,
        info: info.as_ref().map(raw),
    };
    world.ask(tag("u.a".to_owned(), Some(json!({ "order": 1 })))).await;
    world.ask(tag("u.b".to_owned(), Some(json!({})))).await;
    world.ask(tag("u.b".to_owned(), None)).await;
    world.ask(tag("u.b".to_owned(), None)).await;
    let get = GetAccountData { room_id: Some(a_room().to_owned()), event_type: "m.tag".to_owned() };
    let content = world.ask(get).await.unwrap();
    assert_eq!(content.get(), r#"{"tags":{"u.a":{"order":1}}}"#);
    for number in 1..limits::TAGS_PER_ROOM {
        world.ask(tag(format!("u.{number}"), Some(json!({})))).await;
    }
    assert_eq!(world.refused(tag("u.more".to_owned(), Some(json!({})))).await, 413);
    assert_eq!(world.refused(tag("x".repeat(256), Some(json!({})))).await, 400);
}

#[tokio::test]
async fn the_same_filter_has_the_same_id_and_the_oldest_goes() {
    let world = World::new().await;
    let create = async |limit: u64| {
        let filter = raw(&json!({ "room": { "timeline": { "limit": limit } } }));
        world.ask(CreateFilter { filter }).await
    };
    assert_eq!(create(0).await, create(0).await);
    for limit in 1..=limits::FILTERS {
        create(limit).await;
    }
    let get = async |id: &str| world.ask(GetFilter { filter_id: id.to_owned() }).await.is_some();
    assert!(!get("0").await && get("1").await && !get("x").await);
    assert_eq!(world.count("SELECT COUNT(*) FROM user_filters").await, limits::FILTERS);
}
