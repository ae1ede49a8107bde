//! The registry: where objects live natively. One instance per name; idle ones are dropped and
//! come back from the store.
//!
//! **Invariant:** no lock is held across a call to an object, so objects may ask each other in
//! any order.

mod alarms;
mod host;
mod slots;
mod waiters;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use ruma::{RoomId, ServerName, UserId};
use skerry::{
    Error, Result,
    limits::Limits,
    messages::{Ask as _, destination, room, user},
    objects::{
        Answer, CommandOf, Object, ReplyOf, destination::Destination, room::Room, user::User,
    },
    ports::{Clock, Dns, Http, Objects, Random, Sql},
    server::Server,
    sessions::Sessions,
    space::Space,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{alarms::Alarms, slots::Slots, waiters::Waiters};
use crate::{store, vital::Vital};

/// Rooms kept in memory with their current state.
const MAX_LIVE_ROOMS: usize = 1_024;
/// Users kept in memory.
const MAX_LIVE_USERS: usize = 4_096;
/// Other servers kept in memory.
const MAX_LIVE_DESTINATIONS: usize = 1_024;
/// How long an object that nobody asks stays in memory.
const IDLE: Duration = Duration::from_mins(5);
/// How often idle objects are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// The longest wait for news that is granted, whatever was asked for.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// All objects of a server.
pub struct Registry {
    sql: Arc<dyn Sql>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    http: Arc<dyn Http>,
    dns: Arc<dyn Dns>,
    server: Arc<Server>,
    rooms: Slots<Room>,
    users: Slots<User>,
    destinations: Slots<Destination>,
    waiters: Waiters,
    alarms: Alarms,
    sessions: Arc<Sessions>,
    limits: Arc<Limits>,
    space: Space,
    /// The scope for the next object. It is used up, not yet written: the object's first commit
    /// writes it, so that a question about an object that does not exist leaves no trace.
    next_scope: AtomicI64,
    /// Work of objects that must be finished before the store is closed.
    tasks: TaskTracker,
    /// The server is going down.
    stopping: CancellationToken,
    /// What runs for as long as the server does.
    vital: Vital,
}

impl Registry {
    /// Begins with no object in memory; alarms that are due go off at once.
    pub async fn new(
        sql: Arc<dyn Sql>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        http: Arc<dyn Http>,
        dns: Arc<dyn Dns>,
        server: Arc<Server>,
    ) -> Result<Arc<Self>> {
        let next_scope = AtomicI64::new(store::last_scope(&*sql).await? + 1);
        let limits = Arc::new(Limits::new(server.config.rate_limits.clone()));
        let registry = Arc::new(Self {
            sql,
            clock,
            random,
            http,
            dns,
            server,
            rooms: Slots::new(MAX_LIVE_ROOMS),
            users: Slots::new(MAX_LIVE_USERS),
            destinations: Slots::new(MAX_LIVE_DESTINATIONS),
            waiters: Waiters::default(),
            alarms: Alarms::default(),
            sessions: Arc::default(),
            limits,
            space: Space::default(),
            next_scope,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            vital: Vital::default(),
        });
        registry.keep_going("alarms", alarms::work(registry.clone()));
        registry.keep_going("sweep of idle objects", sweep(registry.clone()));
        Ok(registry)
    }

    /// Returns when it cannot go on: what to say of it.
    pub async fn failed(&self) -> Error {
        self.vital.failed().await
    }

    /// Work that ends only with the server.
    fn keep_going(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let guard = self.vital.guard(name);
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            if stopping.run_until_cancelled(work).await.is_none() {
                guard.done();
            }
        });
    }

    /// What is remembered of valid access tokens. The objects see to it that nothing is
    /// remembered of a token that has ended.
    pub fn sessions(&self) -> Arc<Sessions> {
        self.sessions.clone()
    }

    /// The rate limits: all that come here are counted in them.
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.clone()
    }

    /// Answers everyone who waits for news at once, from now on: a shutdown need not wait for
    /// them.
    pub fn release_waiters(&self) {
        self.waiters.release();
    }

    /// Stops alarms and waits, at most so long, until the objects have finished their work.
    pub async fn stop(&self, at_most: Duration) {
        self.release_waiters();
        self.stopping.cancel();
        self.tasks.close();
        if timeout(at_most, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "objects were still working at shutdown");
        }
        self.rooms.clear();
        self.users.clear();
        self.destinations.clear();
    }

    /// Asks an object.
    async fn ask<O: Kept>(
        self: &Arc<Self>,
        id: O::Id,
        command: CommandOf<O>,
    ) -> Result<ReplyOf<O>> {
        self.call(id, |object: Arc<O>| async move { object.ask(command).await }).await
    }

    /// Runs a call to an object to its end, even when who asked goes away: a call that is dropped
    /// between its commit and what follows would leave an object that differs from its store.
    async fn call<O, T, F>(
        self: &Arc<Self>,
        id: O::Id,
        call: impl FnOnce(Arc<O>) -> F + Send,
    ) -> Result<T>
    where
        O: Kept,
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let slots = O::slots(self);
        let slot = slots.find(self, id.clone()).await?;
        match self.tasks.spawn(call(slot.object()?)).await {
            Ok(result) => result,
            Err(error) => {
                // What is in memory may be half changed: the next call starts from the store.
                slots.remove(&id, &slot);
                Err(Error::internal(format!("an object of kind {} panicked: {error}", O::KIND)))
            }
        }
    }

    fn next_scope(&self) -> i64 {
        self.next_scope.fetch_add(1, Ordering::Relaxed)
    }
}

/// A kind of object that the registry keeps.
trait Kept: Object {
    /// Its instances.
    fn slots(registry: &Registry) -> &Slots<Self>;
}

impl Kept for Room {
    fn slots(registry: &Registry) -> &Slots<Self> {
        &registry.rooms
    }
}

impl Kept for User {
    fn slots(registry: &Registry) -> &Slots<Self> {
        &registry.users
    }
}

impl Kept for Destination {
    fn slots(registry: &Registry) -> &Slots<Self> {
        &registry.destinations
    }
}

async fn sweep(registry: Arc<Registry>) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        registry.rooms.drop_idle(IDLE);
        registry.users.drop_idle(IDLE);
        registry.destinations.drop_idle(IDLE);
    }
}

/// The way to the registry that is handed to objects and to the API.
#[derive(Clone)]
pub struct LocalObjects(pub Arc<Registry>);

#[async_trait]
impl Objects for LocalObjects {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        let answer = self.0.ask::<Room>(room_id.to_owned(), command).await;
        if matches!(answer, Err(Error::UnknownRoom)) {
            // Whoever invents names must not push out rooms that exist.
            self.0.rooms.drop_unused(&room_id.to_owned());
        }
        answer
    }

    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        self.0.ask::<User>(user_id.to_owned(), command).await
    }

    async fn destination(
        &self,
        server: &ServerName,
        command: destination::Command,
    ) -> Result<destination::Reply> {
        self.0.ask::<Destination>(server.to_owned(), command).await
    }

    async fn wait_for_changes(
        &self,
        user_id: &UserId,
        question: user::GetChanges,
        at_most: Duration,
    ) -> Result<Box<user::Changes>> {
        let deadline = Instant::now() + at_most.min(MAX_WAIT);
        // First listen, then look: news in between is not missed.
        let mut news = self.0.waiters.listen(user_id);
        let answer = loop {
            let command = question.clone().into_command();
            let look = |user: Arc<User>| async move { user.answer_waiting(command).await };
            let nothing_new = match self.0.call(user_id.to_owned(), look).await? {
                Answer::News(news) => break news,
                Answer::NothingNew(it) => it,
            };
            // The time is up, or the server is going down: no news is an answer too.
            let Some(news) = &mut news else { break nothing_new };
            if !matches!(timeout_at(deadline, news.woken()).await, Ok(true)) {
                break nothing_new;
            }
        };
        let changes = user::GetChanges::from_reply(answer);
        changes.ok_or_else(|| Error::internal("a question for changes was answered otherwise"))
    }
}
