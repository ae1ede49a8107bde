//! A room and what it stands on.

use std::sync::Arc;

use ruma::{OwnedRoomId, RoomId};
use skerry::{
    Result,
    messages::{Ask, room::ToRoom},
    objects::{Object as _, room::Room},
    ports::{ObjectHost as _, Objects},
    server::Server,
};

use crate::{
    host::{GlobalStore, Host},
    only::Only,
    others::{Kind, Others},
};

/// When the host calls again after an alarm that failed.
const HOST_RETRY_MS: u64 = 30_000;

/// A room of a server, alone with its members.
pub(crate) struct Stand {
    pub(crate) host: Arc<Host>,
    pub(crate) users: Arc<Others>,
    pub(crate) room: Arc<Room>,
    pub(crate) server: Arc<Server>,
    pub(crate) room_id: OwnedRoomId,
}

/// Asks a room.
pub(crate) async fn ask<A: Ask<Recipient = ToRoom>>(
    room: &Arc<Room>,
    question: A,
) -> Result<A::Reply> {
    Ok(A::from_reply(room.ask(question.into_command()).await?).unwrap())
}

impl Stand {
    /// A store in which the room is not.
    pub(crate) async fn empty(server: Arc<Server>, room_id: &RoomId) -> Self {
        let users = Others::new(Kind::Users);
        Self::beside(server, room_id, users.clone(), Arc::new(Only(users))).await
    }

    /// As [`Self::empty`], where it is not the users alone that the room asks.
    pub(crate) async fn beside(
        server: Arc<Server>,
        room_id: &RoomId,
        users: Arc<Others>,
        objects: Arc<dyn Objects>,
    ) -> Self {
        let host = Host::open(objects, GlobalStore::Up).await;
        let room = Room::new(room_id.to_owned(), server.clone(), host.clone());
        Self { host, users, room, server, room_id: room_id.to_owned() }
    }

    pub(crate) async fn ask<A: Ask<Recipient = ToRoom>>(&self, question: A) -> Result<A::Reply> {
        ask(&self.room, question).await
    }

    /// Asks what is answered, and does what follows the answer.
    pub(crate) async fn ask_to_the_end<A: Ask<Recipient = ToRoom>>(&self, question: A) -> A::Reply {
        let reply = self.ask(question).await.unwrap();
        self.run_deferred().await;
        reply
    }

    /// Runs what was deferred.
    pub(crate) async fn run_deferred(&self) {
        loop {
            let deferred = self.host.take_deferred();
            if deferred.is_empty() {
                return;
            }
            futures_util::future::join_all(deferred).await;
        }
    }

    /// Does something while what is deferred meanwhile is run beside it, as hosts do.
    pub(crate) async fn beside_deferred<T>(&self, work: impl Future<Output = T>) -> T {
        let deferred = async {
            loop {
                self.run_deferred().await;
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            done = work => done,
            () = deferred => panic!("there is always more to come"),
        }
    }

    /// The process dies: what was deferred is lost, and the room is built anew on its store.
    pub(crate) fn crash(&mut self) {
        drop(self.host.take_deferred());
        self.host.alarm_is_over();
        self.room = Room::new(self.room_id.clone(), self.server.clone(), self.host.clone());
    }

    /// Waits for the alarm, if one is set, and gives how long that took.
    pub(crate) async fn alarm(&self) -> Option<u64> {
        let waited_ms = self.host.pass_until_alarm()?;
        self.host.alarm_goes_off();
        let outcome = self.room.alarm().await;
        self.host.alarm_is_over();
        if outcome.is_err() {
            // As hosts do: they call again.
            self.host.set_alarm(self.host.clock().now_ms() + HOST_RETRY_MS);
        }
        self.run_deferred().await;
        Some(waited_ms)
    }
}
