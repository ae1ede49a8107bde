//! A room that stands on its own database and is alone: there are no other objects.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use ruma::UserId;
use skerry::{
    Error, Result,
    limits::Limits,
    messages::user,
    ports::{Clock, Deferred, Dns, Http, ObjectHost, Objects, Offline, Random, Row, Sql, Stmt},
    server::Server,
    space::Space,
    store::agenda,
};
use skerry_core::rate_limits::RateLimits;
use skerry_local::machine::{SystemClock, SystemRandom};

use crate::only::{Only, SomeObjects};

/// The only room's.
pub(crate) const SCOPE: i64 = 1;

/// What the room stands on: its store, and the other objects.
pub(crate) struct Host<S>(pub(crate) Arc<S>, pub(crate) Arc<dyn Objects>);

/// The other objects of a room that is alone.
pub(crate) fn nobody() -> Arc<dyn Objects> {
    Arc::new(Only(Arc::new(Nobody)))
}

#[async_trait]
impl<S: Sql + 'static> ObjectHost for Host<S> {
    fn sql(&self) -> &dyn Sql {
        &*self.0
    }

    fn scope(&self) -> i64 {
        SCOPE
    }

    async fn commit(&self, stmts: Vec<Stmt>, _alarm_by_ms: Option<u64>) -> Result<Vec<Vec<Row>>> {
        self.0.batch(stmts).await
    }

    fn wake(&self) {}

    fn is_waited_for(&self) -> bool {
        false
    }

    async fn destroy(&self, pages: Vec<Stmt>) -> Result<()> {
        for page in pages {
            while !self.0.batch(vec![page.clone()]).await?.concat().is_empty() {}
        }
        self.0.batch(vec![agenda::remove_all(SCOPE)]).await.map(drop)
    }

    async fn alarm_at_ms(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn limits(&self) -> &Limits {
        static OFF: LazyLock<Limits> = LazyLock::new(|| Limits::new(RateLimits::off()));
        &OFF
    }

    fn space(&self) -> &Space {
        static SPACE: LazyLock<Space> = LazyLock::new(Space::default);
        &SPACE
    }

    fn defer(&self, work: Deferred) {
        tokio::spawn(work);
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }

    fn random(&self) -> &dyn Random {
        &SystemRandom
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn objects(&self) -> &dyn Objects {
        &*self.1
    }

    fn global(&self) -> &dyn Sql {
        &*self.0
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

/// Objects that are content with whatever they are told.
struct Nobody;

#[async_trait]
impl SomeObjects for Nobody {
    async fn user(&self, _user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        Ok(match command {
            user::Command::Membership(_) => user::Reply::Membership(()),
            user::Command::EphemeralActivity(_) => user::Reply::EphemeralActivity(()),
            _ => user::Reply::RoomActivity(user::Delivered::Noted),
        })
    }
}
