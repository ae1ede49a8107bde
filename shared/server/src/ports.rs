//! What a host must provide. Everything above this layer is the same on every host.
//!
//! **Invariant:** nothing here knows a table, a route or a Matrix rule; nothing above here knows
//! a platform. A port method is a whole atomic step, because D1 and Durable Object storage have
//! no transaction that could be held open.

pub mod conformance;
pub mod sql;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use ruma::{RoomId, UserId};

pub use self::sql::{FromRow, Row, Sql, Stmt, Value};
use crate::{
    Result,
    messages::{room, user},
};

/// A future that a host runs after the reply has been given.
pub type Deferred = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// The wall clock.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch. At the edge it stands still between I/O.
    fn now_ms(&self) -> u64;
}

/// Randomness that is fit for keys and tokens.
pub trait Random: Send + Sync {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]) -> Result<()>;
}

/// How objects are reached, wherever they live.
///
/// A command may be carried out even when the answer is lost: every command is idempotent, or
/// carries an ID or a position that makes it so.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Asks the `Room` object of this room.
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply>;

    /// Asks the `User` object of this local user.
    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply>;

    /// Waits until the stream of this user has passed `position`, at most for `timeout`; shorter
    /// when the host is going down, so who finds no news after it must not wait again.
    ///
    /// Holds no object awake at the edge: the object sleeps behind a hibernating WebSocket.
    async fn wait(&self, user_id: &UserId, position: u64, timeout: Duration) -> Result<()>;
}

/// What a host provides to one object: its private store and its ways out.
#[async_trait]
pub trait ObjectHost: Send + Sync {
    /// The object's private store, for reading. Writes go through [`ObjectHost::commit`].
    fn sql(&self) -> &dyn Sql;

    /// The value of the `scope` column in every table of this object. The native database holds
    /// the tables of all objects, so the scope leads every key; at the edge it is a constant.
    fn scope(&self) -> i64;

    /// Writes one atomic batch, and in the same step sets the alarm when one is given: the host
    /// calls the object's `alarm` at (milliseconds since the Unix epoch) or soon after, also when
    /// the object or the whole host was restarted in between. A later call replaces the alarm.
    async fn commit(&self, stmts: Vec<Stmt>, alarm_at_ms: Option<u64>) -> Result<()>;

    /// Tells everyone who waits in [`Objects::wait`] on this (user) object that its stream has
    /// reached `position`.
    fn wake(&self, position: u64);

    /// Runs work after the reply. It may be lost in a crash: what must not be lost is kept in
    /// the store and taken up again by the alarm.
    fn defer(&self, work: Deferred);

    /// Wall clock.
    fn clock(&self) -> &dyn Clock;

    /// The other objects.
    fn objects(&self) -> &dyn Objects;
}

/// What a host provides to the API layer.
#[derive(Clone)]
pub struct Ports {
    /// The global store.
    pub global: Arc<dyn Sql>,
    /// All objects.
    pub objects: Arc<dyn Objects>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}
