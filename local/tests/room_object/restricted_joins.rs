//! Joins of a restricted room while the room that admits answers late, or not at all.

use std::sync::Arc;

use async_trait::async_trait;
use ruma::{RoomId, UserId, api::error::ErrorKind};
use serde_json::json;
use skerry::{
    Error, Result,
    messages::{
        room::{self, IsJoined, MembershipAction, Outcome},
        user,
    },
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    peer_room::{OWN, PeerRoom, caller, own_server, user},
    stand::{membership, message},
};
use crate::{
    only::{Only, SomeObjects},
    others::{Kind, Others},
    room::{Stand, ask},
};

/// A question to another room: which one, and the way of the answer.
type Question = (String, oneshot::Sender<Result<Option<bool>>>);

/// Users, and other rooms, which answer when the test does.
struct Rooms(mpsc::UnboundedSender<Question>, Arc<Others>);

#[async_trait]
impl SomeObjects for Rooms {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        assert!(matches!(command, room::Command::IsJoined(_)), "{command:?}");
        let (answer, answered) = oneshot::channel();
        self.0.send((room_id.to_string(), answer)).unwrap();
        answered.await.unwrap().map(room::Reply::IsJoined)
    }

    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        self.1.user(user_id, command).await
    }
}

/// A room that Alice is in, and that admits members of the club.
struct Scene {
    stand: Stand,
    questions: Mutex<mpsc::UnboundedReceiver<Question>>,
    peer: PeerRoom,
}

/// The join rule that admits members of one room.
fn admits(room_id: &str) -> serde_json::Value {
    json!({ "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": room_id }] })
}

impl Scene {
    async fn new() -> Self {
        let (asked, questions) = mpsc::unbounded_channel();
        let users = Others::new(Kind::Users);
        let objects = Arc::new(Only(Arc::new(Rooms(asked, users.clone()))));
        let mut peer = PeerRoom::small();
        let room_id = &peer.create.room_id;
        let stand = Stand::beside(own_server(), room_id, users, objects).await;
        stand.alice_joins(&mut peer).await;
        let mut scene = Self { stand, questions: Mutex::new(questions), peer };
        scene.admit("!club:own.example").await;
        scene
    }

    /// The room admits members of another room from here on.
    async fn admit(&mut self, room_id: &str) {
        let rule = self.peer.by_carol("m.room.join_rules", admits(room_id));
        assert_eq!(self.stand.receive(&rule).await, Outcome::Accepted { redacted: false });
    }

    /// Bob's join, under way, and the question it asks.
    async fn bob_joins(&self) -> (JoinHandle<Result<()>>, Question) {
        let room = Arc::clone(&self.stand.room);
        let join = membership(caller("bob"), user("bob", OWN), MembershipAction::Join);
        let joining = tokio::spawn(async move { ask(&room, join).await });
        let question = self.questions.lock().await.recv().await.unwrap();
        (joining, question)
    }
}

#[track_caller]
fn refused(joined: Result<()>) -> ErrorKind {
    match joined {
        Err(Error::Api { kind, .. }) => *kind,
        other => panic!("{other:?}"),
    }
}

/// C9: a room whose members may come in answers late. Meanwhile this one goes on.
#[tokio::test]
async fn c9_a_room_that_answers_late_holds_up_nobody_else() {
    let scene = Scene::new().await;
    let (joining, (asked, answer)) = scene.bob_joins().await;
    assert_eq!(asked, "!club:own.example");
    scene.stand.ask(message(caller("alice"), "hello")).await.unwrap();
    answer.send(Ok(Some(true))).unwrap();
    joining.await.unwrap().unwrap();
    assert!(scene.stand.ask(IsJoined { user_id: user("bob", OWN) }).await.unwrap().unwrap());
}

/// C9: the join rule changes while the other room is asked.
#[tokio::test]
async fn c9_the_join_rule_is_looked_at_again_after_the_answer() {
    let mut scene = Scene::new().await;
    let (joining, (_, answer)) = scene.bob_joins().await;
    scene.admit("!another:own.example").await;
    answer.send(Ok(Some(true))).unwrap();
    assert_eq!(refused(joining.await.unwrap()), ErrorKind::Forbidden);
}

/// C9: the other room is out of order.
#[tokio::test]
async fn c9_a_room_that_cannot_be_asked_is_not_a_refusal() {
    let scene = Scene::new().await;
    let (joining, (_, answer)) = scene.bob_joins().await;
    answer.send(Err(Error::internal("it is down"))).unwrap();
    assert_eq!(refused(joining.await.unwrap()), ErrorKind::UnableToAuthorizeJoin);
    let (joining, (_, answer)) = scene.bob_joins().await;
    answer.send(Ok(Some(false))).unwrap();
    assert_eq!(refused(joining.await.unwrap()), ErrorKind::Forbidden);
}
