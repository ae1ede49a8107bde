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
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use skerry::{
    Error, Result,
    messages::{room, user},
    objects::{room::Room, user::User},
    ports::{Clock, ObjectHost, Objects, Sql},
    server::Server,
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    alarms::Alarms,
    slots::{Slot, Slots},
    waiters::Waiters,
};
use crate::store;

/// Rooms kept in memory with their current state.
const MAX_LIVE_ROOMS: usize = 1_024;
/// Users kept in memory.
const MAX_LIVE_USERS: usize = 4_096;
/// How long an object that nobody asks stays in memory.
const IDLE: Duration = Duration::from_mins(5);
/// How often idle objects are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// The longest wait for news that is granted, whatever was asked for.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// A kind of object that the registry can hold.
trait Object: Send + Sync + Sized + 'static {
    /// Its kind, as the store knows it.
    const KIND: &'static str;
    /// Its name.
    type Id: AsRef<str> + Clone + Ord + Send + Sync;

    /// An instance that has loaded nothing yet.
    fn new(id: Self::Id, server: Arc<Server>, host: Arc<dyn ObjectHost>) -> Arc<Self>;
}

impl Object for Room {
    const KIND: &'static str = "room";
    type Id = OwnedRoomId;

    fn new(id: Self::Id, server: Arc<Server>, host: Arc<dyn ObjectHost>) -> Arc<Self> {
        Self::new(id, server, host)
    }
}

impl Object for User {
    const KIND: &'static str = "user";
    type Id = OwnedUserId;

    fn new(id: Self::Id, server: Arc<Server>, host: Arc<dyn ObjectHost>) -> Arc<Self> {
        Self::new(id, server, host)
    }
}

/// All objects of a server.
pub struct Registry {
    sql: Arc<dyn Sql>,
    clock: Arc<dyn Clock>,
    server: Arc<Server>,
    rooms: Slots<Room>,
    users: Slots<User>,
    waiters: Waiters,
    alarms: Alarms,
    /// The scope for the next object. It is used up, not yet written: the object's first commit
    /// writes it, so that a question about an object that does not exist leaves no trace.
    next_scope: AtomicI64,
    /// Work of objects that must be finished before the store is closed.
    tasks: TaskTracker,
    /// The server is going down.
    stopping: CancellationToken,
}

impl Registry {
    /// Begins with no object in memory; alarms that are due go off at once.
    pub async fn new(
        sql: Arc<dyn Sql>,
        clock: Arc<dyn Clock>,
        server: Arc<Server>,
    ) -> Result<Arc<Self>> {
        let next_scope = AtomicI64::new(store::last_scope(&*sql).await? + 1);
        let registry = Arc::new(Self {
            sql,
            clock,
            server,
            rooms: Slots::new(MAX_LIVE_ROOMS),
            users: Slots::new(MAX_LIVE_USERS),
            waiters: Waiters::default(),
            alarms: Alarms::default(),
            next_scope,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        });
        let stopping = registry.stopping.clone();
        registry
            .tasks
            .spawn(stopping.clone().run_until_cancelled_owned(alarms::work(registry.clone())));
        registry.tasks.spawn(stopping.run_until_cancelled_owned(sweep(registry.clone())));
        Ok(registry)
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
    }

    /// The room's slot, with the room in it.
    async fn find_room(self: &Arc<Self>, id: &RoomId) -> Result<Arc<Slot<Room>>> {
        self.rooms.find(self, id.to_owned()).await
    }

    async fn find_user(self: &Arc<Self>, id: &UserId) -> Result<Arc<Slot<User>>> {
        self.users.find(self, id.to_owned()).await
    }

    /// Runs a call to an object to its end, even when who asked goes away: a call that is dropped
    /// between its commit and what follows would leave an object that differs from its store.
    async fn run<O: Object, T: Send + 'static>(
        &self,
        slots: &Slots<O>,
        slot: &Arc<Slot<O>>,
        id: &O::Id,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.tasks.spawn(call).await {
            Ok(result) => result,
            Err(error) => {
                // What is in memory may be half changed: the next call starts from the store.
                slots.remove(id, slot);
                Err(Error::internal(format!("an object of kind {} panicked: {error}", O::KIND)))
            }
        }
    }

    fn next_scope(&self) -> i64 {
        self.next_scope.fetch_add(1, Ordering::Relaxed)
    }
}

async fn sweep(registry: Arc<Registry>) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        registry.rooms.drop_idle(IDLE);
        registry.users.drop_idle(IDLE);
    }
}

/// The way to the registry that is handed to objects and to the API.
#[derive(Clone)]
pub struct LocalObjects(pub Arc<Registry>);

#[async_trait]
impl Objects for LocalObjects {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        let slot = self.0.find_room(room_id).await?;
        let room = slot.object()?;
        let call = async move { room.ask(command).await };
        self.0.run(&self.0.rooms, &slot, &room_id.to_owned(), call).await
    }

    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        let slot = self.0.find_user(user_id).await?;
        let user = slot.object()?;
        let call = async move { user.ask(command).await };
        self.0.run(&self.0.users, &slot, &user_id.to_owned(), call).await
    }

    async fn wait(&self, user_id: &UserId, position: u64, at_most: Duration) -> Result<()> {
        // First listen, then look: news in between is not missed.
        let mut news = self.0.waiters.listen(user_id);
        let reached = {
            let slot = self.0.find_user(user_id).await?;
            let user = slot.object()?;
            let call = async move { user.position().await };
            self.0.run(&self.0.users, &slot, &user_id.to_owned(), call).await?
        };
        if reached <= position {
            // The time is up: no news is an answer too.
            let _ = timeout(at_most.min(MAX_WAIT), news.passed(position)).await;
        }
        Ok(())
    }
}
