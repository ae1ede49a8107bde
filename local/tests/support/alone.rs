//! A room that stands on its own database and is alone: there are no other objects.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ruma::{RoomId, UserId};
use skerry::{
    Error, Result,
    messages::{room, user},
    ports::{Clock, Deferred, ObjectHost, Objects, Sql, Stmt},
};
use skerry_local::machine::SystemClock;

/// The only room's.
pub(crate) const SCOPE: i64 = 1;

/// What the room stands on.
pub(crate) struct Host<S>(pub(crate) Arc<S>);

#[async_trait]
impl<S: Sql + 'static> ObjectHost for Host<S> {
    fn sql(&self) -> &dyn Sql {
        &*self.0
    }

    fn scope(&self) -> i64 {
        SCOPE
    }

    async fn commit(&self, stmts: Vec<Stmt>, _alarm_at_ms: Option<u64>) -> Result<()> {
        self.0.batch(stmts).await.map(drop)
    }

    fn wake(&self, _position: u64) {}

    fn defer(&self, work: Deferred) {
        tokio::spawn(work);
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }

    fn objects(&self) -> &dyn Objects {
        &Nobody
    }
}

/// Objects that are content with whatever they are told.
struct Nobody;

#[async_trait]
impl Objects for Nobody {
    async fn room(&self, _room_id: &RoomId, _command: room::Command) -> Result<room::Reply> {
        Err(Error::internal("there is one room"))
    }

    async fn user(&self, _user_id: &UserId, _command: user::Command) -> Result<user::Reply> {
        Ok(user::Reply::Done)
    }

    async fn wait(&self, _user_id: &UserId, _position: u64, _at_most: Duration) -> Result<()> {
        Ok(())
    }
}
