//! `Room`: the only writer of one room's events, state, memberships, receipts and typing.
//!
//! Writers hold the lock for the whole of plan → batch → apply; readers share it, so that they
//! see the room between two batches and never within one. What the room must tell its members is
//! in [`deliver`]; what follows a commit elsewhere is in [`effects`].

mod author;
mod dag;
mod deliver;
mod effects;
mod ephemeral;
mod fetch;
pub mod limits;
mod load;
mod loaded;
mod read;
mod sync;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::OwnedRoomId;
use skerry_core::policy::BackOff;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::{
    fetch::Backfill,
    loaded::{
        Loaded,
        deliveries::{Deliveries, EphemeralWindow, ReceiptWindow},
        doubt::Doubt,
        outgoing::Outgoing,
        policy::PolicyTurns,
        statuses::MemberStatuses,
        typing::Typing,
    },
    read::whole_states::Sizes,
};
use crate::{
    Error, Result,
    messages::room::{Command, Reply, ToRoom},
    objects::{Object, held::Total, turns::Turns},
    peers,
    ports::{ObjectHost, Sql},
    server::Server,
    store::migrations::{self, Migration},
};

/// One room.
pub struct Room {
    id: OwnedRoomId,
    server: Arc<Server>,
    host: Arc<dyn ObjectHost>,
    state: RwLock<Option<Loaded>>,
    doubt: Doubt,
    sizes: Sizes,
    /// Held by whoever brings the room's entry in the directory up to date.
    directory: tokio::sync::Mutex<()>,
    deliveries: Mutex<Deliveries>,
    ephemeral_window: Mutex<EphemeralWindow>,
    receipt_window: Mutex<ReceiptWindow>,
    typing: Mutex<Typing>,
    statuses: Mutex<MemberStatuses>,
    /// Messages that wait for the lock, in the order in which they came.
    outgoing: Mutex<VecDeque<Outgoing>>,
    /// Where other servers are.
    peers: peers::Memory,
    filling: Turns,
    backfill: Backfill,
    policy: PolicyTurns,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Room").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Object for Room {
    const KIND: &'static str = "room";
    const HELD: &'static Total = &limits::ROOMS;
    const MIGRATIONS: &'static [Migration] = migrations::ROOM;
    type Id = OwnedRoomId;
    type Recipient = ToRoom;
    type Context = Arc<Server>;

    fn new(id: Self::Id, server: Arc<Server>, host: Arc<dyn ObjectHost>) -> Arc<Self> {
        Arc::new(Self {
            id,
            server,
            host,
            state: RwLock::new(None),
            doubt: Doubt::default(),
            sizes: Sizes::default(),
            directory: tokio::sync::Mutex::default(),
            deliveries: Mutex::default(),
            ephemeral_window: Mutex::default(),
            receipt_window: Mutex::default(),
            typing: Mutex::default(),
            statuses: Mutex::default(),
            outgoing: Mutex::default(),
            peers: peers::Memory::default(),
            filling: Turns::default(),
            backfill: Backfill::default(),
            policy: PolicyTurns::default(),
        })
    }

    #[expect(clippy::too_many_lines, reason = "an arm for each question")]
    async fn ask(self: &Arc<Self>, command: Command) -> Result<Reply> {
        // Each in a box: a future has the size of the largest it may become, and is moved with it.
        Ok(match command {
            Command::Create(it) => Reply::Create(Box::pin(self.create(*it)).await?),
            Command::Send(it) => Reply::Send(Box::pin(self.send(*it)).await?),
            Command::Redact(it) => Reply::Redact(Box::pin(self.redact(*it)).await?),
            Command::Receive(it) => Reply::Receive(Box::pin(self.receive(*it)).await?),
            Command::Expect(it) => Reply::Expect(Box::pin(self.expect(*it)).await?),
            Command::Stage(it) => Reply::Stage(Box::pin(self.stage(*it)).await?),
            Command::Join(it) => Reply::Join(Box::pin(self.join(*it)).await?),
            Command::RefetchState(it) => {
                Reply::RefetchState(Box::pin(self.refetch_state(*it)).await?)
            }
            Command::ChangeMembership(it) => {
                Reply::ChangeMembership(Box::pin(self.change_membership(*it)).await?)
            }
            Command::MakeInvite(it) => Reply::MakeInvite(Box::pin(self.make_invite(*it)).await?),
            Command::MakeExchange(it) => {
                Reply::MakeExchange(Box::pin(self.make_exchange(*it)).await?)
            }
            Command::IsJoined(it) => Reply::IsJoined(Box::pin(self.is_joined(&it.user_id)).await?),
            Command::MakeMembership(it) => {
                Reply::MakeMembership(Box::pin(self.make_membership(*it)).await?)
            }
            Command::SendMembership(it) => {
                Reply::SendMembership(Box::pin(self.send_membership(*it)).await?)
            }
            Command::Forget(it) => Reply::Forget(Box::pin(self.forget(&it.user_id)).await?),
            Command::UpdateProfile(it) => {
                Reply::UpdateProfile(Box::pin(self.update_profile(*it)).await?)
            }
            Command::SetReceipts(it) => Reply::SetReceipts(Box::pin(self.set_receipts(*it)).await?),
            Command::SetTyping(it) => Reply::SetTyping(Box::pin(self.set_typing(*it)).await?),
            Command::ReceiveEdus(it) => Reply::ReceiveEdus(Box::pin(self.receive_edus(*it)).await?),
            Command::NoteStatuses(it) => {
                Reply::NoteStatuses(Box::pin(self.note_statuses(*it)).await?)
            }
            Command::HasServer(it) => {
                Reply::HasServer(Box::pin(self.has_server(&it.server)).await?)
            }
            Command::GetEvent(it) => Reply::GetEvent(Box::pin(self.get_event(*it)).await?),
            Command::GetState(it) => {
                Reply::GetState(Box::pin(self.get_state(&it.requester)).await?)
            }
            Command::GetStateEvent(it) => {
                Reply::GetStateEvent(Box::pin(self.get_state_event(*it)).await?)
            }
            Command::GetMembers(it) => Reply::GetMembers(Box::pin(self.get_members(*it)).await?),
            Command::GetJoinedMembers(it) => {
                Reply::GetJoinedMembers(Box::pin(self.get_joined_members(&it.caller)).await?)
            }
            Command::GetMessages(it) => Reply::GetMessages(Box::pin(self.get_messages(*it)).await?),
            Command::GetContext(it) => Reply::GetContext(Box::pin(self.get_context(*it)).await?),
            Command::GetEventNear(it) => {
                Reply::GetEventNear(Box::pin(self.get_event_near(*it)).await?)
            }
            Command::GetPositionBefore(it) => {
                Reply::GetPositionBefore(Box::pin(self.position_before(it.instant_us)).await?)
            }
            Command::GetOutgoing(it) => Reply::GetOutgoing(Box::pin(self.get_outgoing(*it)).await?),
            Command::GetPdu(it) => Reply::GetPdu(Box::pin(self.get_pdu(*it)).await?),
            Command::GetAncestors(it) => {
                Reply::GetAncestors(Box::pin(self.get_ancestors(*it)).await?)
            }
            Command::GetStateBefore(it) => {
                Reply::GetStateBefore(Box::pin(self.get_state_before(*it)).await?)
            }
            Command::GetAuthChain(it) => {
                Reply::GetAuthChain(Box::pin(self.get_auth_chain(*it)).await?)
            }
            Command::GetStateIds(it) => {
                Reply::GetStateIds(Box::pin(self.get_state_ids(*it)).await?)
            }
            Command::GetStatePdus(it) => {
                Reply::GetStatePdus(Box::pin(self.get_state_pdus(*it)).await?)
            }
            Command::SyncRoom(it) => Reply::SyncRoom(Box::pin(self.sync(*it)).await?),
            Command::GetPublicInfo(_) => {
                Reply::GetPublicInfo(Box::pin(self.get_public_info()).await?)
            }
            Command::Summarize(it) => Reply::Summarize(Box::pin(self.summarize(*it)).await?),
            Command::ListServers(_) => Reply::ListServers(Box::pin(self.list_servers()).await?),
            Command::WasCreatedWith(it) => {
                Reply::WasCreatedWith(Box::pin(self.was_created_with(&it.alias)).await?)
            }
            Command::SetListed(it) => Reply::SetListed(Box::pin(self.set_listed(*it)).await?),
            Command::CheckMay(it) => {
                Reply::CheckMay(Box::pin(self.check_may(&it.user_id, it.action)).await?)
            }
            Command::ChangeDevices(it) => {
                Reply::ChangeDevices(Box::pin(self.change_devices(*it)).await?)
            }
            Command::GetDeviceChanges(it) => {
                Reply::GetDeviceChanges(Box::pin(self.get_device_changes(*it)).await?)
            }
            Command::WhoShares(it) => Reply::WhoShares(Box::pin(self.who_shares(*it)).await?),
        })
    }

    async fn alarm(self: &Arc<Self>) -> Result<()> {
        #[cfg(feature = "test-routes")]
        super::test_alarms::goes_off(&self.id)?;
        let delivered = match self.on_alarm().await {
            Err(Error::UnknownRoom) => self.go_on_removing().await,
            other => other,
        };
        // None of them depends on another.
        let agenda = self.run_agenda().await;
        let attempt = self.expire_attempt().await;
        delivered.and(agenda).and(attempt)
    }
}

impl Room {
    fn sql(&self) -> &dyn Sql {
        self.host.sql()
    }

    fn scope(&self) -> i64 {
        self.host.scope()
    }

    /// How the IDs of local users end.
    fn local(&self) -> String {
        format!(":{}", self.server.name)
    }

    fn now_ms(&self) -> u64 {
        self.host.clock().now_ms()
    }

    /// The room for reading.
    async fn read(self: &Arc<Self>) -> Result<RwLockReadGuard<'_, Loaded>> {
        {
            let guard = self.state.read().await;
            if !self.doubt.is_set()
                && let Ok(loaded) = RwLockReadGuard::try_map(guard, Option::as_ref)
            {
                return Ok(loaded);
            }
        }
        drop(self.write().await?);
        RwLockReadGuard::try_map(self.state.read().await, Option::as_ref)
            .map_err(|_| Error::internal("the room was unloaded while it was being read"))
    }

    /// The room for writing.
    async fn write(self: &Arc<Self>) -> Result<RwLockWriteGuard<'_, Option<Loaded>>> {
        let mut guard = self.lock().await;
        self.load_into(&mut guard).await?;
        Ok(guard)
    }

    /// Loads the room, where it is not in memory.
    async fn load_into(self: &Arc<Self>, room: &mut Option<Loaded>) -> Result<()> {
        if room.is_none() {
            *room = Some(self.load().await?.ok_or(Error::UnknownRoom)?);
        }
        Ok(())
    }

    /// The lock for writing, whether or not the room exists. What is in memory is dropped where it
    /// may differ from the store; of what was in a batch that may be written, nobody has heard.
    async fn lock(&self) -> RwLockWriteGuard<'_, Option<Loaded>> {
        let mut guard = self.state.write().await;
        if self.doubt.is_set() {
            *guard = None;
            self.deliveries().outcome_unknown(self.now_ms());
            self.doubt.clear();
        }
        guard
    }

    /// Loads the room anew under the lock, after a batch that has failed. What was written before
    /// that batch, and of which nobody has heard yet, is to be told all the same.
    async fn load_anew(self: &Arc<Self>, room: &mut Loaded) -> Result<()> {
        self.deliveries().outcome_unknown(self.now_ms());
        let anew = self.load().await?.ok_or(Error::UnknownRoom)?;
        let before = std::mem::replace(room, anew);
        room.has_news = before.unwritten.had_news();
        room.effects.has_new = before.effects.has_new;
        room.unwritten.add_untold(before.unwritten.take_untold());
        // States that were given with events name keys by these numbers.
        room.engine_memory.adopt_keys(before.engine_memory.keys);
        self.doubt.clear();
        Ok(())
    }

    /// What who is not in the room is answered: the same as of a room that does not exist here.
    fn unknown() -> Error {
        Error::forbidden(Error::UnknownRoom.to_string())
    }

    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ephemeral_window(&self) -> MutexGuard<'_, EphemeralWindow> {
        self.ephemeral_window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receipt_window(&self) -> MutexGuard<'_, ReceiptWindow> {
        self.receipt_window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outgoing(&self) -> MutexGuard<'_, VecDeque<Outgoing>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn policy_back_off(&self) -> MutexGuard<'_, BackOff> {
        self.policy.back_off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn typing(&self) -> MutexGuard<'_, Typing> {
        self.typing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn statuses(&self) -> MutexGuard<'_, MemberStatuses> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
