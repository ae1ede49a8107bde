//! What a host must provide. Everything above this layer is the same on every host.
//!
//! **Invariant:** nothing here knows a table, a route or a Matrix rule; nothing above here knows
//! a platform. A port method is a whole atomic step, because D1 and Durable Object storage have
//! no transaction that could be held open.

pub mod conformance;
pub mod dns;
pub mod http;
mod instants;
mod offline;
#[cfg(any(test, feature = "test-routes"))]
pub mod scripted;
pub mod sql;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use ruma::{RoomId, ServerName, UserId};
use skerry_core::{identifier::MAX_ID_BYTES, rate_limits::Bucket};

pub use self::{
    dns::Dns,
    http::Http,
    instants::Instants,
    offline::Offline,
    sql::{FromRow, Row, Sql, Stmt, Value},
};
use crate::{
    Error, Result,
    filters::Filters,
    known_keys::KnownKeys,
    limits::Limits,
    messages::{Ask, Recipient, destination, room, user},
    server::Server,
    sessions::Sessions,
    space::Space,
};

/// A future that a host runs after the reply has been given.
pub type Deferred = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// The wall clock.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch. At the edge it stands still between I/O.
    fn now_ms(&self) -> u64;

    /// An instant that tells what came first: microseconds since the Unix epoch, and where the
    /// host can see to it ([`Instants`]) later than every instant it has given before.
    fn instant_us(&self) -> u64 {
        self.now_ms().saturating_mul(1_000)
    }
}

/// Randomness that is fit for keys and tokens.
pub trait Random: Send + Sync {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]) -> Result<()>;

    /// Any number.
    fn number(&self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Counts requests against the rate limits, as far as they meet no object.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// Takes requests from somebody's bucket.
    ///
    /// # Errors
    ///
    /// `M_LIMIT_EXCEEDED`, when there are not as many in it.
    async fn take(&self, bucket: Bucket, key: &str, requests: u32) -> Result<()>;

    /// Refuses where nothing is left in a bucket, as far as this process knows; takes nothing.
    fn check(&self, bucket: Bucket, key: &str) -> Result<()>;

    /// Takes from a bucket what was used before anybody knew how much it is, whether it was there
    /// or not: as far as this process knows.
    fn charge(&self, bucket: Bucket, key: &str, used: u32);
}

/// How objects are reached, wherever they live. Asked by `ask`, which knows the type of the answer.
///
/// A question may be carried out even when the answer is lost. Those that may be repeated
/// ([`Ask::IS_REPEATABLE`]) the host repeats once, when it cannot know what became of them.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Asks the `Room` object of this room.
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply>;

    /// Asks the `User` object of this local user.
    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply>;

    /// Asks the `Destination` object of this other server.
    async fn destination(
        &self,
        server: &ServerName,
        command: destination::Command,
    ) -> Result<destination::Reply>;

    /// What changed for a client of this user: at once when anything has, else as soon as
    /// something does. They are empty when nothing does within `at_most`, or when the host is
    /// going down: who finds nothing must not wait again.
    ///
    /// One request at the edge, which holds no object awake: the object sleeps behind a
    /// hibernating WebSocket and answers on it.
    async fn wait_for_changes(
        &self,
        user_id: &UserId,
        question: user::GetChanges,
        at_most: Duration,
    ) -> Result<Box<user::Changes>>;
}

/// A kind of object that [`Objects`] reaches.
pub trait Reach: Recipient {
    /// Refuses a name that no object of the kind has. At the edge a long one would not even be a
    /// name, and nothing that is kept by name is to grow by what strangers invent.
    ///
    /// # Errors
    ///
    /// What is answered where there is no such object.
    fn check_name(id: &Self::Id) -> Result<()>;

    /// Hands a command to the object of this name.
    fn reach<'a>(
        objects: &'a dyn Objects,
        id: &'a Self::Id,
        command: Self::Command,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Reply>> + Send + 'a>>;
}

impl Reach for room::ToRoom {
    fn check_name(room_id: &RoomId) -> Result<()> {
        match room_id.as_str().len() <= MAX_ID_BYTES {
            true => Ok(()),
            false => Err(Error::UnknownRoom),
        }
    }

    fn reach<'a>(
        objects: &'a dyn Objects,
        id: &'a RoomId,
        command: room::Command,
    ) -> Pin<Box<dyn Future<Output = Result<room::Reply>> + Send + 'a>> {
        objects.room(id, command)
    }
}

impl Reach for user::ToUser {
    fn check_name(user_id: &UserId) -> Result<()> {
        match user_id.as_str().len() <= MAX_ID_BYTES {
            true => Ok(()),
            false => Err(Error::not_found("there is no such user")),
        }
    }

    fn reach<'a>(
        objects: &'a dyn Objects,
        id: &'a UserId,
        command: user::Command,
    ) -> Pin<Box<dyn Future<Output = Result<user::Reply>> + Send + 'a>> {
        objects.user(id, command)
    }
}

impl Reach for destination::ToDestination {
    fn check_name(server: &ServerName) -> Result<()> {
        match server.as_str().len() <= MAX_ID_BYTES {
            true => Ok(()),
            false => Err(Error::not_found("no server has such a name")),
        }
    }

    fn reach<'a>(
        objects: &'a dyn Objects,
        id: &'a ServerName,
        command: destination::Command,
    ) -> Pin<Box<dyn Future<Output = Result<destination::Reply>> + Send + 'a>> {
        objects.destination(id, command)
    }
}

impl dyn Objects + '_ {
    /// Asks an object.
    ///
    /// # Errors
    ///
    /// What the object answers, or would if there were one, or [`Error::Internal`] when it could
    /// not be asked.
    pub async fn ask<A>(
        &self,
        id: &<A::Recipient as Recipient>::Id,
        question: A,
    ) -> Result<A::Reply>
    where
        A: Ask<Recipient: Reach>,
    {
        A::Recipient::check_name(id)?;
        let reply = A::Recipient::reach(self, id, question.into_command()).await?;
        A::from_reply(reply).ok_or_else(|| Error::internal("an object answered another question"))
    }
}

/// What a host provides to one object: its private store and its ways out.
#[async_trait]
pub trait ObjectHost: Send + Sync {
    /// The object's private store, for reading. Writes go through [`ObjectHost::commit`].
    fn sql(&self) -> &dyn Sql;

    /// The value of the `scope` column in every table of this object. The native database holds
    /// the tables of all objects, so the scope leads every key; at the edge it is a constant.
    fn scope(&self) -> i64;

    /// Writes one atomic batch and gives the rows each statement returned, as [`Sql::batch`] does.
    ///
    /// In the same step the alarm is brought forward to `alarm_by_ms` (milliseconds since the Unix
    /// epoch), unless one is set for an earlier time: the host calls the object's `alarm` then or
    /// soon after, also when the object or the whole host was restarted in between, and for as
    /// long as that fails, again. An alarm that comes early finds nothing that is due.
    async fn commit(&self, stmts: Vec<Stmt>, alarm_by_ms: Option<u64>) -> Result<Vec<Vec<Row>>>;

    /// There may be something new for those who wait in [`Objects::wait_for_changes`] on this
    /// object: the host asks for their answers again.
    fn wake(&self);

    /// Whether somebody waits in [`Objects::wait_for_changes`] on this object.
    fn is_waited_for(&self) -> bool;

    /// Removes the object's whole store, its alarm and its name. What is asked of the object
    /// afterwards finds nothing, and what it writes begins a new store.
    ///
    /// `pages` are statements that each remove some rows of one table and give a row for each that
    /// is removed. A host that cannot drop the store of one object as a whole repeats each of them
    /// until nothing is left, a batch at a time; the object's agenda goes last. When it fails, some
    /// rows are left, and it is to be asked again.
    async fn destroy(&self, pages: Vec<Stmt>) -> Result<()>;

    /// The time of the alarm that is set, or that is going off at this moment. Asked when an object
    /// is loaded: an alarm may have been set for what memory alone knew.
    async fn alarm_at_ms(&self) -> Result<Option<u64>>;

    /// Tokens of this (user) object have ended: what the host's process remembers of who holds
    /// them ([`Sessions`]) counts for nothing from now on. A host that remembers nothing has
    /// nothing to forget.
    fn forget_sessions(&self) {}

    /// The rate limits: natively those of the process, at the edge those of this object.
    fn limits(&self) -> &Limits;

    /// The space for what is read whole: natively that of the process, at the edge that of this
    /// object.
    fn space(&self) -> &Space;

    /// Runs work after the reply. It may be lost in a crash: what must not be lost is kept in
    /// the store and taken up again by the alarm.
    fn defer(&self, work: Deferred);

    /// Wall clock.
    fn clock(&self) -> &dyn Clock;

    /// Randomness.
    fn random(&self) -> &dyn Random;

    /// Ends after so long. The object stays in memory meanwhile, which at the edge is paid for:
    /// what can wait longer than seconds waits for the alarm.
    async fn sleep(&self, duration: Duration);

    /// Waits until a computation of tens of milliseconds may begin, for somebody at this address;
    /// false: too many wait. Where one thread serves everybody, there are pauses between such
    /// computations. A host with a thread for them has nobody wait.
    async fn may_compute(&self, _address: &str) -> bool {
        true
    }

    /// The other objects.
    fn objects(&self) -> &dyn Objects;

    /// The global store, for the effects of what the object has committed. No message, sync or
    /// check of a token waits for it.
    fn global(&self) -> &dyn Sql;

    /// The way to other servers. No lock of the object is held while it is used.
    fn http(&self) -> &dyn Http;

    /// Name servers.
    fn dns(&self) -> &dyn Dns;

    /// The homeserver the object belongs to. Asked once, before the object's first command.
    async fn server(&self) -> Result<Arc<Server>>;
}

/// What a host provides to the API layer.
#[derive(Clone)]
pub struct Ports {
    /// The global store.
    pub global: Arc<dyn Sql>,
    /// All objects.
    pub objects: Arc<dyn Objects>,
    /// What this process remembers of valid access tokens.
    pub sessions: Arc<Sessions>,
    /// What this process remembers of stored filters.
    pub filters: Arc<Filters>,
    /// What this process remembers of the keys of other servers.
    pub keys: Arc<KnownKeys>,
    /// Counts requests of whoever asks.
    pub limiter: Arc<dyn Limiter>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The way to other servers.
    pub http: Arc<dyn Http>,
    /// Name servers.
    pub dns: Arc<dyn Dns>,
}
