//! A `User` and what it stands on.

use std::sync::Arc;

use ruma::{RoomId, owned_user_id, room_id};
use serde_json::{Value as JsonValue, value::to_raw_value};
use skerry::{
    Result,
    messages::{
        Ask, RawJson,
        user::{Changes, Command, GetChanges, NewSession, NewTokens, Reply, ToUser},
    },
    objects::{Answer, Object as _, user::User},
    ports::{Sql as _, Stmt},
};
use skerry_core::sync_token::SyncToken;

use super::account::{register, session};
use crate::{
    host::{GlobalStore, Host},
    only::Only,
    others::{Kind, Others},
};

/// A user on a store of their own: `@ann:localhost`.
pub(crate) struct World {
    pub(crate) host: Arc<Host>,
    pub(crate) rooms: Arc<Others>,
    user: Arc<User>,
}

impl World {
    /// Nothing is stored.
    pub(crate) async fn new() -> Self {
        let rooms = Others::new(Kind::Rooms);
        let host = Host::open(Arc::new(Only(rooms.clone())), GlobalStore::WriteOnly).await;
        Self { user: build(&host), host, rooms }
    }

    /// There is the account, with one session: device `D`, token `d`.
    pub(crate) async fn registered() -> Self {
        let world = Self::new().await;
        let session = NewSession {
            tokens: NewTokens {
                access_hash: "d".to_owned(),
                refresh_hash: None,
                expires_at_ms: None,
            },
            ..session("D", "d")
        };
        world.ask(register(Some(session))).await;
        world
    }

    /// The object is dropped, with all it had put off, and built again on its store.
    pub(crate) fn restarted(self) -> Self {
        drop(self.host.take_deferred());
        Self { user: build(&self.host), ..self }
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

    /// Asks what a message says.
    pub(crate) async fn command(&self, command: Command) -> Result<Reply> {
        self.user.ask(command).await
    }

    /// What the device `D` is told while it waits, if there is nothing new.
    pub(crate) async fn nothing_new(&self, since: SyncToken) -> Option<Box<Changes>> {
        let command = get_changes("d", Some(since)).into_command();
        match self.user.answer_waiting(command).await.unwrap() {
            Answer::NothingNew(it) => GetChanges::from_reply(it),
            Answer::News(_) => None,
        }
    }

    /// The status of a refusal.
    pub(crate) async fn refused<A: Ask<Recipient = ToUser>>(&self, question: A) -> u16 {
        self.try_ask(question).await.err().unwrap().status().as_u16()
    }

    /// The alarm goes off, early or not.
    pub(crate) async fn alarm(&self) {
        self.host.alarm_goes_off();
        self.user.alarm().await.unwrap();
        self.host.alarm_is_over();
    }

    /// Does all that was put off.
    pub(crate) async fn drain(&self) {
        for work in self.host.take_deferred() {
            work.await;
        }
    }

    /// The number that a statement gives.
    pub(crate) async fn count(&self, stmt: &'static str) -> u64 {
        let mut rows = self.host.sqlite.rows(Stmt::new(stmt)).await.unwrap();
        rows[0].take(0).unwrap()
    }
}

fn build(host: &Arc<Host>) -> Arc<User> {
    User::new(owned_user_id!("@ann:localhost"), (), host.clone())
}

/// What a client asks for that is not there to wait.
pub(crate) fn get_changes(access_hash: &str, since: Option<SyncToken>) -> GetChanges {
    GetChanges {
        since,
        include_leave: false,
        full_state: false,
        access_hash: access_hash.to_owned(),
        lazy_loads: false,
        looked_at: None,
        limit: 100,
        presence: None,
    }
}

/// A content.
pub(crate) fn raw(content: &JsonValue) -> RawJson {
    to_raw_value(content).unwrap()
}

pub(crate) fn a_room() -> &'static RoomId {
    room_id!("!a:localhost")
}
