//! The objects: each the only writer of a private store, asked by commands.
//!
//! **Invariant:** an object plans, commits one atomic batch, and only then lets anything be seen.
//!
//! How to add a kind of object: its questions in `messages` (`asks!`), its tables in
//! `migrations/` and statements in `store`, the struct here with [`Object`], a method in the port
//! [`Objects`](crate::ports::Objects), and a line each in the hosts' lists of kinds.

pub mod absent_rooms;
pub mod agenda;
pub mod destination;
pub mod held;
pub mod room;
mod statuses;
#[cfg(feature = "test-routes")]
pub mod test_alarms;
pub mod turns;
pub mod user;

use std::{error::Error as StdError, future::Future, sync::Arc};

use async_trait::async_trait;

use self::held::Total;
use crate::{
    Result,
    messages::{Command, Recipient},
    ports::ObjectHost,
    server::Server,
    store::migrations::Migration,
};

/// How long after it has failed an alarm goes off again, on every host, in milliseconds. Tests do
/// not wait so long.
pub const ALARM_RETRY_MS: u64 = if cfg!(feature = "test-routes") { 200 } else { 10_000 };

/// One kind of object: all that a host must know to keep and to reach objects of it.
pub trait Object: Send + Sync + Sized + 'static {
    /// Its name in the host's store and log. Never changed: rows are found by it.
    const KIND: &'static str;
    /// What all objects of the kind in one process hold.
    const HELD: &'static Total;
    /// The scripts that make its private store.
    const MIGRATIONS: &'static [Migration];
    /// What names one object of the kind.
    type Id: AsRef<str>
        + TryFrom<String, Error: StdError + Send + Sync + 'static>
        + Clone
        + Ord
        + Send
        + Sync
        + 'static;
    /// Its questions and answers.
    type Recipient: Recipient;
    /// What it must know besides its host before the first command.
    type Context: Context;

    /// An instance that has read nothing yet.
    fn new(id: Self::Id, context: Self::Context, host: Arc<dyn ObjectHost>) -> Arc<Self>;

    /// Carries out a command.
    ///
    /// # Errors
    ///
    /// What the specification says of the request behind the command.
    fn ask(
        self: &Arc<Self>,
        command: <Self::Recipient as Recipient>::Command,
    ) -> impl Future<Output = Result<<Self::Recipient as Recipient>::Reply>> + Send;

    /// Does what is due, and sees to it that the next alarm comes.
    ///
    /// # Errors
    ///
    /// When the object's own store fails; the host calls again. Another object that fails is no
    /// error of this one: it asks again by an alarm of its own.
    fn alarm(self: &Arc<Self>) -> impl Future<Output = Result<()>> + Send;

    /// Answers a command of somebody who can wait. The host asks again whenever the object wakes
    /// those who wait.
    ///
    /// # Errors
    ///
    /// As of [`Object::ask`].
    fn answer_waiting(
        self: &Arc<Self>,
        command: CommandOf<Self>,
    ) -> impl Future<Output = Result<Answer<ReplyOf<Self>>>> + Send {
        async { self.ask(command).await.map(Answer::News) }
    }
}

/// What somebody is answered who can wait.
#[derive(Debug)]
pub enum Answer<R> {
    /// What they wait for.
    News(R),
    /// There is nothing new. If nothing comes, they are answered what was said last.
    NothingNew(R),
}

/// All commands of a kind of object.
pub type CommandOf<O> = <<O as Object>::Recipient as Recipient>::Command;
/// All replies of a kind of object.
pub type ReplyOf<O> = <<O as Object>::Recipient as Recipient>::Reply;

/// Whether a command may be carried out twice when the first answer was lost.
pub fn is_repeatable<O: Object>(command: &CommandOf<O>) -> bool {
    command.is_repeatable()
}

/// What an object must know before its first command.
#[async_trait]
pub trait Context: Send + Sync + Sized {
    /// Finds it.
    async fn load(host: &dyn ObjectHost) -> Result<Self>;
}

/// An object that needs nothing: it starts without a look at the global store.
#[async_trait]
impl Context for () {
    async fn load(_: &dyn ObjectHost) -> Result<Self> {
        Ok(())
    }
}

/// An object that signs, or tells local users from others.
#[async_trait]
impl Context for Arc<Server> {
    async fn load(host: &dyn ObjectHost) -> Result<Self> {
        host.server().await
    }
}
