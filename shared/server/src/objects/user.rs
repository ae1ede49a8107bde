//! `User`: one local user's account with its sessions and devices, their profile, stream, account
//! data, tags and filters, and the only writer of them.
//!
//! A command holds the lock for the whole of plan → batch → apply. It never asks another object
//! while it does: rooms ask users while they hold their own lock. What must be done elsewhere is
//! in [`outbox`]; which rooms have news for whom is decided in [`skerry_core::user_stream`].

mod account;
mod account_data;
mod attempts;
mod backups;
mod changes;
mod clean;
mod commit;
mod dehydrated;
mod devices;
mod due;
mod ephemeral;
mod errands;
mod filters;
mod keys;
pub mod limits;
mod openid_tokens;
mod outbox;
pub mod password;
mod presence;
mod profile;
mod registration;
mod remote_rooms;
mod rooms;
mod sent_members;
mod sessions;
mod to_device;
mod turned_down;

use std::sync::Arc;

use lru::LruCache;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use skerry_core::user_stream::{ChangedRooms, HeardRooms, Instance};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use self::{
    account::LoadedAccount,
    due::Due,
    ephemeral::EphemeralNews,
    presence::{OwnPresence, Statuses},
    sent_members::SentMembers,
    to_device::Waiting,
};
use crate::{
    Error, Result,
    messages::user::{Command, KeyCounts, Reply, StreamPosition, ToUser},
    objects::{Answer, Object, agenda::Agenda, held::Total},
    ports::{ObjectHost, Sql},
    store::{
        migrations::{self, Migration},
        user::{meta, rooms::list_for_index},
    },
};

/// One user.
pub struct User {
    id: OwnedUserId,
    host: Arc<dyn ObjectHost>,
    state: Mutex<Option<State>>,
    /// Held by whoever drains the outbox.
    outbox: Mutex<()>,
}

/// What is kept in memory: little, and all of it can be read or made again.
#[derive(Debug)]
struct State {
    seq: StreamPosition,
    agenda: Agenda<Due>,
    /// None: it has not been asked for.
    account: Option<LoadedAccount>,
    /// A batch is on its way, or failed without saying how far it got.
    is_in_doubt: bool,
    ignored_users: Option<Vec<OwnedUserId>>,
    /// Unread rooms, and how far rooms have told of them since.
    heard: HeardRooms<OwnedRoomId>,
    /// Which rooms may have something new for which token.
    changed: ChangedRooms<OwnedRoomId>,
    ephemeral: EphemeralNews,
    /// No account data has changed since this position: most syncs need not look.
    account_data_quiet_since: Option<StreamPosition>,
    /// [`account_data::find_bytes`](crate::store::user::account_data::find_bytes). None: it has not
    /// been asked for.
    account_data_bytes: Option<u64>,
    sent_members: SentMembers,
    presence: OwnPresence,
    statuses: Statuses,
    /// None: it has not been asked for.
    waiting: Option<Waiting>,
    /// When the keys changed last. None: it has not been asked for.
    keys_seq: Option<StreamPosition>,
    keys_shown: keys::Shown,
    /// How many keys devices have left.
    key_counts: LruCache<OwnedDeviceId, KeyCounts>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Object for User {
    const KIND: &'static str = "user";
    const HELD: &'static Total = &limits::USERS;
    const MIGRATIONS: &'static [Migration] = migrations::USER;
    type Id = OwnedUserId;
    type Recipient = ToUser;
    type Context = ();

    fn new(id: Self::Id, (): (), host: Arc<dyn ObjectHost>) -> Arc<Self> {
        Arc::new(Self { id, host, state: Mutex::new(None), outbox: Mutex::new(()) })
    }

    #[expect(clippy::too_many_lines, reason = "an arm for each question")]
    async fn ask(self: &Arc<Self>, command: Command) -> Result<Reply> {
        // Each in a box: a future has the size of the largest it may become, and is moved with it.
        Ok(match command {
            Command::Membership(it) => {
                Reply::Membership(Box::pin(self.take_membership(*it)).await?)
            }
            Command::RemoteMembership(it) => {
                Reply::RemoteMembership(Box::pin(self.take_remote_membership(*it)).await?)
            }
            Command::GetRemoteRoom(it) => {
                Reply::GetRemoteRoom(Box::pin(self.get_remote_room(&it.room_id)).await?)
            }
            Command::TurnDown(it) => Reply::TurnDown(Box::pin(self.turn_down(*it)).await?),
            Command::RoomActivity(it) => {
                Reply::RoomActivity(Box::pin(self.take_activity(*it)).await?)
            }
            Command::EphemeralActivity(it) => {
                Reply::EphemeralActivity(Box::pin(self.note_ephemeral(*it)).await?)
            }
            Command::StatusActivity(it) => {
                Reply::StatusActivity(Box::pin(self.note_statuses(it.statuses)).await?)
            }
            Command::SetPresence(it) => Reply::SetPresence(Box::pin(self.set_presence(*it)).await?),
            Command::GetStatus(it) => {
                Reply::GetStatus(Box::pin(self.get_status(&it.user_id)).await?)
            }
            Command::DeliverToDevice(it) => {
                Reply::DeliverToDevice(Box::pin(self.take_to_device(*it)).await?)
            }
            Command::GetChanges(it) => Reply::GetChanges(Box::pin(self.changes(*it)).await?),
            Command::Read(it) => Reply::Read(Box::pin(self.read(*it)).await?),
            Command::GetWhereabouts(it) => {
                Reply::GetWhereabouts(Box::pin(self.whereabouts(*it)).await?)
            }
            Command::ListIgnored(_) => Reply::ListIgnored(Box::pin(self.list_ignored()).await?),
            Command::ListRooms(it) => {
                Reply::ListRooms(Box::pin(self.list_rooms(&it.membership)).await?)
            }
            Command::Forget(it) => Reply::Forget(Box::pin(self.forget(&it.room_id)).await?),
            Command::ListDevices(_) => Reply::ListDevices(Box::pin(self.list_devices()).await?),
            Command::GetDevice(it) => {
                Reply::GetDevice(Box::pin(self.get_device(&it.device_id)).await?)
            }
            Command::SetDeviceName(it) => {
                Reply::SetDeviceName(Box::pin(self.set_device_name(*it)).await?)
            }
            Command::SetAccountData(it) => {
                Reply::SetAccountData(Box::pin(self.set_account_data(*it)).await?)
            }
            Command::GetAccountData(it) => {
                Reply::GetAccountData(Box::pin(self.get_account_data(*it)).await?)
            }
            Command::SetTag(it) => Reply::SetTag(Box::pin(self.set_tag(*it)).await?),
            Command::CreateFilter(it) => {
                Reply::CreateFilter(Box::pin(self.create_filter(&it.filter)).await?)
            }
            Command::GetFilter(it) => {
                Reply::GetFilter(Box::pin(self.get_filter(&it.filter_id)).await?)
            }
            Command::GetProfile(_) => Reply::GetProfile(Box::pin(self.get_profile()).await?),
            Command::SetProfileField(it) => {
                Reply::SetProfileField(Box::pin(self.set_profile_field(*it)).await?)
            }
            Command::Register(it) => Reply::Register(Box::pin(self.register(*it)).await?),
            Command::GetAccount(_) => Reply::GetAccount(Box::pin(self.get_account()).await?),
            Command::WasRegisteredWith(it) => {
                Reply::WasRegisteredWith(Box::pin(self.was_registered_with(*it)).await?)
            }
            Command::Login(it) => Reply::Login(Box::pin(self.login(*it)).await?),
            Command::Authenticate(it) => {
                Reply::Authenticate(Box::pin(self.check_token(&it.access_hash)).await?)
            }
            Command::MakeOpenIdToken(it) => {
                Reply::MakeOpenIdToken(Box::pin(self.make_openid_token(*it)).await?)
            }
            Command::HasOpenIdToken(it) => {
                Reply::HasOpenIdToken(Box::pin(self.has_openid_token(&it.token_hash)).await?)
            }
            Command::Refresh(it) => Reply::Refresh(Box::pin(self.refresh(*it)).await?),
            Command::EndSessions(it) => {
                Reply::EndSessions(Box::pin(self.end_sessions(it.device_ids)).await?)
            }
            Command::EndAllSessions(_) => {
                Reply::EndAllSessions(Box::pin(self.end_all_sessions()).await?)
            }
            Command::CheckPassword(it) => {
                Reply::CheckPassword(Box::pin(self.check_password(&it.password)).await?)
            }
            Command::ChangePassword(it) => {
                Reply::ChangePassword(Box::pin(self.change_password(*it)).await?)
            }
            Command::CreateBackup(it) => {
                Reply::CreateBackup(Box::pin(self.create_backup(*it)).await?)
            }
            Command::GetBackup(it) => Reply::GetBackup(Box::pin(self.get_backup(*it)).await?),
            Command::UpdateBackup(it) => {
                Reply::UpdateBackup(Box::pin(self.update_backup(*it)).await?)
            }
            Command::DeleteBackup(it) => {
                Reply::DeleteBackup(Box::pin(self.delete_backup(*it)).await?)
            }
            Command::PutBackupKeys(it) => {
                Reply::PutBackupKeys(Box::pin(self.put_backup_keys(*it)).await?)
            }
            Command::GetBackupKeys(it) => {
                Reply::GetBackupKeys(Box::pin(self.get_backup_keys(*it)).await?)
            }
            Command::DeleteBackupKeys(it) => {
                Reply::DeleteBackupKeys(Box::pin(self.delete_backup_keys(*it)).await?)
            }
            Command::Deactivate(it) => {
                Reply::Deactivate(Box::pin(self.deactivate(it.caller)).await?)
            }
            Command::UploadKeys(it) => Reply::UploadKeys(Box::pin(self.upload_keys(*it)).await?),
            Command::GetUserKeys(it) => {
                Reply::GetUserKeys(Box::pin(self.get_user_keys(*it)).await?)
            }
            Command::ClaimKeys(it) => Reply::ClaimKeys(Box::pin(self.claim_keys(*it)).await?),
            Command::SetCrossSigning(it) => {
                Reply::SetCrossSigning(Box::pin(self.set_cross_signing(*it)).await?)
            }
            Command::AddSignatures(it) => {
                Reply::AddSignatures(Box::pin(self.add_signatures(*it)).await?)
            }
            Command::GetSignatures(it) => {
                Reply::GetSignatures(Box::pin(self.get_signatures(*it)).await?)
            }
            Command::GetDeviceUpdates(it) => {
                Reply::GetDeviceUpdates(Box::pin(self.get_device_updates(*it)).await?)
            }
            Command::SetDehydratedDevice(it) => {
                Reply::SetDehydratedDevice(Box::pin(self.set_dehydrated_device(*it)).await?)
            }
            Command::GetDehydratedDevice(_) => {
                Reply::GetDehydratedDevice(Box::pin(self.get_dehydrated_device()).await?)
            }
            Command::RemoveDehydratedDevice(it) => Reply::RemoveDehydratedDevice(
                Box::pin(self.remove_dehydrated_device(&it.by)).await?,
            ),
            Command::RunErrands(it) => Reply::RunErrands(Box::pin(self.run_errands(*it)).await?),
            Command::GetDehydratedInbox(it) => {
                Reply::GetDehydratedInbox(Box::pin(self.get_dehydrated_inbox(*it)).await?)
            }
        })
    }

    async fn alarm(self: &Arc<Self>) -> Result<()> {
        let now_ms = self.host.clock().now_ms();
        let due = self.lock().await?.agenda.due(now_ms);
        for due in due {
            match due {
                Due::Outbox => self.drain_outbox().await?,
                Due::Lapse => self.end_lapsed_sessions().await?,
                Due::Presence => self.look_at_presence().await?,
                Due::Clean => self.clean().await?,
            }
        }
        // The alarm that has gone off is none that is yet to come.
        match self.lock().await?.agenda.next_ms() {
            Some(next_ms) => self.host.commit(Vec::new(), Some(next_ms)).await.map(drop),
            None => Ok(()),
        }
    }

    async fn answer_waiting(self: &Arc<Self>, command: Command) -> Result<Answer<Reply>> {
        match command {
            Command::GetChanges(it) => self.changes_if_any(*it).await,
            other => self.ask(other).await.map(Answer::News),
        }
    }
}

impl User {
    fn sql(&self) -> &dyn Sql {
        self.host.sql()
    }

    fn scope(&self) -> i64 {
        self.host.scope()
    }

    /// The user, alone: no other command reads or writes until the guard is dropped.
    async fn lock(&self) -> Result<MappedMutexGuard<'_, State>> {
        let mut guard = self.state.lock().await;
        if guard.as_ref().is_none_or(|it| it.is_in_doubt) {
            *guard = Some(self.load().await?);
        }
        MutexGuard::try_map(guard, Option::as_mut)
            .map_err(|_| Error::internal("the user was unloaded while it was being read"))
    }

    /// The user, alone, for what a client stores: only an account in use has something stored. A
    /// request may come after the account was closed, let in by what was remembered of its token.
    async fn lock_in_use(&self) -> Result<MappedMutexGuard<'_, State>> {
        let mut state = self.lock().await?;
        match self.account(&mut state).await?.active() {
            Some(_) => Ok(state),
            None => Err(Error::unknown_token(false, "the account is not in use")),
        }
    }

    async fn load(&self) -> Result<State> {
        let (sql, scope) = (self.sql(), self.scope());
        let seq = meta::find_seq(sql, scope).await?;
        let agenda = Agenda::load(sql, scope).await?;
        let changed = ChangedRooms::load(list_for_index(sql, scope).await?);
        let mut random = [0; 8];
        self.host.random().fill(&mut random)?;
        let random = u64::from_le_bytes(random);
        Ok(State {
            seq,
            agenda,
            account: None,
            is_in_doubt: false,
            ignored_users: None,
            heard: HeardRooms::new(Instance::new(random)),
            changed,
            ephemeral: EphemeralNews::new(random % limits::EPHEMERAL_EPOCHS),
            account_data_bytes: None,
            account_data_quiet_since: None,
            sent_members: SentMembers::default(),
            presence: OwnPresence::default(),
            statuses: Statuses::default(),
            waiting: None,
            keys_seq: None,
            keys_shown: keys::Shown::default(),
            key_counts: LruCache::sparse(limits::COUNTED_DEVICES),
        })
    }
}
