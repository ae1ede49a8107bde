//! Joins of a restricted room while the room that admits answers late, or not at all (C9).

#![expect(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and shares its room with others"
)]

#[path = "support/alone.rs"]
mod alone;
#[path = "join_attempts/world.rs"]
mod world;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ruma::{OwnedUserId, RoomId, UserId, api::error::ErrorKind, owned_device_id};
use serde_json::{json, value::to_raw_value};
use skerry::{
    Error, Result,
    messages::{
        Ask, Caller,
        room::{
            self, ChangeMembership, IsJoined, Join, Kind, MembershipAction, Outcome, Receive, Send,
            Stage, ToRoom,
        },
        user,
    },
    objects::{Object as _, room::Room},
    ports::Objects,
    server::{
        Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, ONE_PROCESS_SESSION_CACHE_MS, Registration,
        Server,
    },
};
use skerry_core::{Pdu, room_version};
use skerry_local::{sqlite::Sqlite, store};
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc, oneshot};

use self::{
    alone::{Host, nobody},
    world::{OWN, World, keys, own_key, raw, user},
};

/// A question to another room: which one, and the way of the answer.
type Question = (String, oneshot::Sender<Result<bool>>);

/// Other rooms, which answer when the test does.
struct Rooms(mpsc::UnboundedSender<Question>, Arc<dyn Objects>);

#[async_trait]
impl Objects for Rooms {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        assert!(matches!(command, room::Command::IsJoined(_)), "{command:?}");
        let (answer, answered) = oneshot::channel();
        self.0.send((room_id.to_string(), answer)).unwrap();
        answered.await.unwrap().map(room::Reply::IsJoined)
    }

    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        self.1.user(user_id, command).await
    }

    async fn wait_for_changes(
        &self,
        user_id: &UserId,
        question: user::GetChanges,
        at_most: Duration,
    ) -> Result<Option<Box<user::Changes>>> {
        self.1.wait_for_changes(user_id, question, at_most).await
    }
}

/// A room that Alice is in, and that admits members of the club.
struct Scene {
    _directory: TempDir,
    room: Arc<Room>,
    questions: Mutex<mpsc::UnboundedReceiver<Question>>,
    world: World,
}

/// The join rule that admits members of one room.
fn admits(room_id: &str) -> serde_json::Value {
    json!({ "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": room_id }] })
}

impl Scene {
    async fn new() -> Self {
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
        let (asked, questions) = mpsc::unbounded_channel();
        let host = Host(Arc::new(sqlite), Arc::new(Rooms(asked, nobody())));
        let mut world = World::small();
        let room = Room::new(world.create.room_id.clone(), server, Arc::new(host));
        let join = world.own_join(&user("alice", OWN));
        let stage = Stage {
            attempt: "only".to_owned(),
            begins: true,
            room_version: room_version::DEFAULT,
            events: world.all.iter().map(raw).collect(),
            is_state: true,
            keys: keys(),
        };
        ask(&room, stage).await.unwrap();
        let (attempt, room_version) = ("only".to_owned(), room_version::DEFAULT);
        let ask_join = Join { attempt, room_version, event: raw(&join), keys: keys() };
        let joined = ask(&room, ask_join).await.unwrap();
        assert_eq!(joined.outcome, Outcome::Accepted { redacted: false });
        world.take(&join);
        let mut scene =
            Self { _directory: directory, room, questions: Mutex::new(questions), world };
        scene.admit("!club:own.example").await;
        scene
    }

    /// The room admits members of another room from here on.
    async fn admit(&mut self, room_id: &str) {
        let rule = self.world.by_carol("m.room.join_rules", admits(room_id));
        self.receive(&rule).await;
    }

    async fn receive(&self, pdu: &Pdu) {
        let receive =
            Receive { events: vec![raw(pdu)], keys: keys(), kind: Kind::Live, states: Vec::new() };
        let received = ask(&self.room, receive).await.unwrap().remove(0);
        assert_eq!(received.outcome, Outcome::Accepted { redacted: false });
    }

    /// Bob's join, under way, and the question it asks.
    async fn bob_joins(&self) -> (tokio::task::JoinHandle<Result<()>>, Question) {
        let room = Arc::clone(&self.room);
        let bob = user("bob", OWN);
        let join = ChangeMembership {
            caller: caller(&bob),
            target: bob,
            action: MembershipAction::Join,
            reason: None,
            displayname: None,
            avatar_url: None,
            is_direct: false,
        };
        let joining = tokio::spawn(async move { ask(&room, join).await });
        let question = self.questions.lock().await.recv().await.unwrap();
        (joining, question)
    }
}

fn caller(user_id: &OwnedUserId) -> Caller {
    Caller { user_id: user_id.clone(), device_id: owned_device_id!("HERE") }
}

async fn ask<A: Ask<Recipient = ToRoom>>(room: &Arc<Room>, question: A) -> Result<A::Reply> {
    room.ask(question.into_command()).await.map(|it| A::from_reply(it).unwrap())
}

#[track_caller]
fn refused(joined: Result<()>) -> ErrorKind {
    match joined {
        Err(Error::Api { kind, .. }) => *kind,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn c9_a_room_that_answers_late_holds_up_nobody_else() {
    let scene = Scene::new().await;
    let (joining, (asked, answer)) = scene.bob_joins().await;
    assert_eq!(asked, "!club:own.example");
    let hello = Send {
        caller: caller(&user("alice", OWN)),
        event_type: "m.room.message".to_owned(),
        state_key: None,
        content: to_raw_value(&json!({ "msgtype": "m.text", "body": "hello" })).unwrap(),
        transaction_id: None,
        timestamp_ms: None,
    };
    ask(&scene.room, hello).await.unwrap();
    answer.send(Ok(true)).unwrap();
    joining.await.unwrap().unwrap();
    assert!(ask(&scene.room, IsJoined { user_id: user("bob", OWN) }).await.unwrap());
}

#[tokio::test]
async fn c9_the_join_rule_is_looked_at_again_after_the_answer() {
    let mut scene = Scene::new().await;
    let (joining, (_, answer)) = scene.bob_joins().await;
    scene.admit("!another:own.example").await;
    answer.send(Ok(true)).unwrap();
    assert_eq!(refused(joining.await.unwrap()), ErrorKind::Forbidden);
}

#[tokio::test]
async fn c9_a_room_that_cannot_be_asked_is_not_a_refusal() {
    let scene = Scene::new().await;
    let (joining, (_, answer)) = scene.bob_joins().await;
    answer.send(Err(Error::internal("it is down"))).unwrap();
    assert_eq!(refused(joining.await.unwrap()), ErrorKind::UnableToAuthorizeJoin);
    let (joining, (_, answer)) = scene.bob_joins().await;
    answer.send(Ok(false)).unwrap();
    assert_eq!(refused(joining.await.unwrap()), ErrorKind::Forbidden);
}
