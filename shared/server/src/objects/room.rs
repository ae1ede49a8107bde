//! `Room`: the only writer of one room's events, state, memberships, receipts and typing.
//!
//! Writers hold the lock for the whole of plan → batch → apply; readers share it, so that they
//! see the room between two batches and never within one. What the room must tell its members is
//! in [`tell`].

mod aside;
mod enter;
mod graph;
mod history;
mod join;
mod load;
mod membership;
mod memory;
mod plan;
mod read;
mod receipts;
mod receive;
mod redactions;
mod rows;
mod send;
mod serve;
mod settle;
mod sync;
mod take_in;
mod tell;
mod timeline;
mod unread;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma::{OwnedRoomId, api::error::ErrorKind};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::{load::Loaded, tell::Watch};
use crate::{
    Error, Result,
    messages::room::{Command, Reply, ToRoom},
    objects::Object,
    ports::{ObjectHost, Sql},
    server::Server,
    store::migrations::{self, Migration},
};

/// The limits of a room, in one place.
pub mod limits {
    /// State keys whose events are kept in memory.
    pub const CACHED_STATE: usize = 5_000;
    /// Members of whom it is kept in memory what they may see and have not read.
    pub const CACHED_MEMBERS: usize = 2_000;
    /// The newest events that are kept in memory.
    pub const RECENT_EVENTS: usize = 20;
    /// Events of a timeline in `/sync`, whatever the filter asks for.
    pub const TIMELINE_EVENTS: u64 = 100;
    /// Events of a timeline in `/sync` when the filter does not say.
    pub const DEFAULT_TIMELINE_EVENTS: u64 = 10;
    /// Events of a page of history or of a context.
    pub const PAGE_EVENTS: u64 = 1_000;
    /// Stored events that one read looks at before it gives what it has found.
    pub const SCANNED_EVENTS: usize = 5_000;
    /// Unread events that are counted; more are as good as this many.
    pub const UNREAD_EVENTS: u64 = 1_000;
    /// Receipts in one `/sync` response.
    pub const RECEIPTS: u64 = 5_000;
    /// Heroes of a room without a name ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
    pub const HEROES: u64 = 5;
    /// Members told of something in one go; the alarm goes on with the rest.
    pub const TOLD_MEMBERS: u64 = 500;
    /// Members told at the same time.
    pub const TOLD_AT_ONCE: usize = 16;
    /// Longest time a client may say that its user will be typing.
    pub const TYPING_MS: u64 = 120_000;
    /// How soon after a write what was told of it is written down.
    pub const SETTLE_MS: u64 = 10_000;
    /// Entries of the engine's memory, roughly, beyond which it is dropped between two commands.
    pub const GRAPH_ENTRIES: usize = 200_000;
    /// What one statement reads for the engine.
    pub const GRAPH_PAGE: usize = 500;
    /// How often one decision may ask for more.
    pub const DECISION_ROUNDS: usize = 10_000;
    /// Positions left free where history is missing.
    pub const GAP: u64 = 1 << 20;
    /// Positions left free for the history before a join.
    pub const FIRST_GAP: u64 = 1 << 40;
    /// Events of the state and of the auth chain that a join may bring.
    pub const STAGED_EVENTS: u64 = 2_000_000;
    /// Staged events in memory at a time.
    pub const STAGED_PAGE: u64 = 500;
    /// Events that wait for others; beyond, the oldest of the server that has the most is dropped.
    pub const PENDING_EVENTS: u64 = 1_000;
    /// Events that wait for others which are looked at to find out where those belong.
    pub const WAITING_PART: usize = 50;
    /// Characters of a reason.
    pub const REASON_CHARS: usize = 2_000;
}

/// One room.
pub struct Room {
    id: OwnedRoomId,
    server: Arc<Server>,
    host: Arc<dyn ObjectHost>,
    state: RwLock<Option<Loaded>>,
    watch: Mutex<Watch>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Room").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Object for Room {
    const KIND: &'static str = "room";
    const MIGRATIONS: &'static [Migration] = migrations::ROOM;
    type Id = OwnedRoomId;
    type Recipient = ToRoom;
    type Context = Arc<Server>;

    fn new(id: Self::Id, server: Arc<Server>, host: Arc<dyn ObjectHost>) -> Arc<Self> {
        let watch = Mutex::new(Watch::default());
        Arc::new(Self { id, server, host, state: RwLock::new(None), watch })
    }

    async fn ask(self: &Arc<Self>, command: Command) -> Result<Reply> {
        Ok(match command {
            Command::Create(it) => Reply::Create(self.create(*it).await?),
            Command::Send(it) => Reply::Send(self.send(*it).await?),
            Command::Redact(it) => Reply::Redact(self.redact(*it).await?),
            Command::Receive(it) => Reply::Receive(self.receive(*it).await?),
            Command::Stage(it) => Reply::Stage(self.stage(*it).await?),
            Command::Join(it) => Reply::Join(self.join(*it).await?),
            Command::ChangeMembership(it) => {
                Reply::ChangeMembership(self.change_membership(*it).await?)
            }
            Command::Forget(it) => Reply::Forget(self.forget(&it.user_id).await?),
            Command::UpdateProfile(it) => Reply::UpdateProfile(self.update_profile(*it).await?),
            Command::SetReceipt(it) => Reply::SetReceipt(self.set_receipt(*it).await?),
            Command::SetTyping(it) => Reply::SetTyping(self.set_typing(*it).await?),
            Command::GetEvent(it) => {
                Reply::GetEvent(self.get_event(&it.caller, &it.event_id).await?)
            }
            Command::GetState(it) => Reply::GetState(self.get_state(&it.caller).await?),
            Command::GetStateEvent(it) => Reply::GetStateEvent(self.get_state_event(*it).await?),
            Command::GetMembers(it) => Reply::GetMembers(self.get_members(*it).await?),
            Command::GetJoinedMembers(it) => {
                Reply::GetJoinedMembers(self.get_joined_members(&it.caller).await?)
            }
            Command::GetMessages(it) => Reply::GetMessages(self.get_messages(*it).await?),
            Command::GetContext(it) => Reply::GetContext(self.get_context(*it).await?),
            Command::SyncRoom(it) => Reply::SyncRoom(self.sync(*it).await?),
            Command::GetPublicInfo(_) => Reply::GetPublicInfo(self.get_public_info().await?),
            Command::CheckMay(it) => Reply::CheckMay(self.check_may(&it.user_id, it.action).await?),
        })
    }

    async fn alarm(self: &Arc<Self>) -> Result<()> {
        self.on_alarm().await
    }
}

impl Room {
    fn sql(&self) -> &dyn Sql {
        self.host.sql()
    }

    fn scope(&self) -> i64 {
        self.host.scope()
    }

    fn now_ms(&self) -> u64 {
        self.host.clock().now_ms()
    }

    /// The room for reading.
    async fn read(self: &Arc<Self>) -> Result<RwLockReadGuard<'_, Loaded>> {
        {
            let guard = self.state.read().await;
            if let Ok(loaded) = RwLockReadGuard::try_map(guard, Option::as_ref) {
                return Ok(loaded);
            }
        }
        drop(self.write().await?);
        RwLockReadGuard::try_map(self.state.read().await, Option::as_ref)
            .map_err(|_| Error::internal("the room was unloaded while it was being read"))
    }

    /// The room for writing.
    async fn write(self: &Arc<Self>) -> Result<RwLockWriteGuard<'_, Option<Loaded>>> {
        let mut guard = self.state.write().await;
        if guard.is_none() {
            *guard = Some(self.load().await?.ok_or_else(Self::unknown)?);
        }
        Ok(guard)
    }

    /// What a room that does not exist here answers: the same as one that the asker is not in.
    fn unknown() -> Error {
        Error::api(ErrorKind::Forbidden, "you are not in this room, or it does not exist here")
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room that [`Room::write`] has loaded.
fn loaded<'a>(guard: &'a mut RwLockWriteGuard<'_, Option<Loaded>>) -> Result<&'a mut Loaded> {
    guard.as_mut().ok_or_else(|| Error::internal("the room is not loaded"))
}
