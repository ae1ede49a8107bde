//! `Room`: the only writer of one room's events, state, memberships, receipts and typing.
//!
//! Writers hold the lock for the whole of plan → batch → apply; readers share it, so that they
//! see the room between two batches and never within one. What the room must tell its members is
//! in [`deliver`].

mod author;
mod dag;
mod deliver;
mod ephemeral;
pub mod limits;
mod load;
mod loaded;
mod read;
mod sync;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma::{OwnedRoomId, api::error::ErrorKind};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::loaded::{Loaded, watch::Watch};
use crate::{
    Error, Result,
    messages::room::{Command, Reply},
    ports::{ObjectHost, Sql},
    server::Server,
};

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
