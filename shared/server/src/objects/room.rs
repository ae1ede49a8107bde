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
    messages::room::{Command, Reply},
    ports::{ObjectHost, Sql},
    server::Server,
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

impl Room {
    /// The object of this room. Nothing is read before the first command.
    pub fn new(id: OwnedRoomId, server: Arc<Server>, host: Arc<dyn ObjectHost>) -> Arc<Self> {
        let watch = Mutex::new(Watch::default());
        Arc::new(Self { id, server, host, state: RwLock::new(None), watch })
    }

    /// Carries out a command.
    ///
    /// # Errors
    ///
    /// What the specification says of the request behind the command.
    pub async fn ask(self: &Arc<Self>, command: Command) -> Result<Reply> {
        match command {
            Command::Create(it) => self.create(*it).await,
            Command::Send(it) => self.send(*it).await,
            Command::Redact(it) => self.redact(it).await,
            Command::Receive(it) => self.receive(*it).await,
            Command::Stage(it) => self.stage(*it).await,
            Command::Join(it) => self.join(*it).await,
            Command::ChangeMembership(it) => self.change_membership(*it).await,
            Command::Forget { user_id } => self.forget(&user_id).await,
            Command::UpdateProfile { user_id, displayname, avatar_url } => {
                self.update_profile(&user_id, displayname, avatar_url).await
            }
            Command::SetReceipt(it) => self.set_receipt(it).await,
            Command::SetTyping { user_id, typing_for_ms } => {
                self.set_typing(&user_id, typing_for_ms).await
            }
            Command::GetEvent { caller, event_id } => self.get_event(&caller, &event_id).await,
            Command::GetState { caller } => self.get_state(&caller).await,
            Command::GetStateEvent { caller, event_type, state_key } => {
                self.get_state_event(&caller, event_type, state_key).await
            }
            Command::GetMembers { caller, at, membership, not_membership } => {
                self.get_members(&caller, at, membership, not_membership).await
            }
            Command::GetJoinedMembers { caller } => self.get_joined_members(&caller).await,
            Command::GetMessages(it) => self.get_messages(*it).await,
            Command::GetContext(it) => self.get_context(*it).await,
            Command::Sync(it) => self.sync(*it).await,
            Command::GetPublicInfo => self.get_public_info().await,
            Command::CheckMay { user_id, action } => self.check_may(&user_id, action).await,
        }
    }

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
