//! The keys of the user and of their devices, for end-to-end encryption. What may be uploaded, and
//! what becomes of it, is decided in [`skerry_core::device_keys`].
//!
//! When they change, the user's other devices learn of it by the stream, and everybody else by the
//! encrypted rooms, which the outbox tells: each has a row for each member whose keys changed.

mod claim;
mod cross_signing;
mod query;
mod shown;
mod signatures;
mod updates;
mod upload;

use ruma::{OwnedDeviceId, OwnedUserId, api::error::ErrorKind};
use skerry_core::{
    device_keys::{Fault, InvalidKeys},
    sync_token::SyncToken,
};

pub(super) use self::shown::Shown;
use super::{Due, State, User, limits, outbox::Effect};
use crate::{
    Error, Result,
    messages::{room, user::StreamPosition},
    objects::agenda::AgendaPlan,
    ports::Stmt,
    store::user::{cross_signing as cross_signing_keys, device_keys, one_time_keys, outbox::Entry},
};

impl From<InvalidKeys> for Error {
    fn from(it: InvalidKeys) -> Self {
        match it.fault {
            Fault::Param => Self::invalid_param(it.message),
            Fault::TooLarge => Self::api(ErrorKind::TooLarge, it.message),
            Fault::Signature => Self::api(invalid_signature(), it.message),
            Fault::Forbidden => Self::forbidden(it.message),
            Fault::Missing => Self::missing_param(it.message),
            Fault::NotFound => Self::not_found(it.message),
        }
    }
}

/// `M_INVALID_SIGNATURE`, which ruma has no word for.
fn invalid_signature() -> ErrorKind {
    let kind = serde_json::json!({ "errcode": "M_INVALID_SIGNATURE" });
    serde_json::from_value(kind).unwrap_or(ErrorKind::InvalidParam)
}

impl User {
    /// When the keys changed last.
    pub(super) async fn keys_changed(&self, state: &mut State) -> Result<StreamPosition> {
        let seq = match state.keys_seq {
            Some(seq) => seq,
            None => device_keys::find_newest(self.sql(), self.scope()).await?,
        };
        Ok(*state.keys_seq.insert(seq))
    }

    /// Of whom the user's clients are to ask for keys anew, as far as the user's own doing goes:
    /// their own keys changed, or they have signed others'.
    pub(super) async fn key_changes_since(
        &self,
        state: &mut State,
        since: Option<SyncToken>,
    ) -> Result<Vec<OwnedUserId>> {
        let Some(since) = since else { return Ok(Vec::new()) };
        if self.keys_changed(state).await? <= since.base {
            return Ok(Vec::new());
        }
        let (sql, scope) = (self.sql(), self.scope());
        let mut users = cross_signing_keys::list_signed_since(sql, scope, since.base).await?;
        users.push(self.id.clone());
        Ok(users)
    }

    /// Writes a change of keys that everybody is to know who shares an encrypted room.
    pub(super) async fn commit_keys(
        &self,
        state: &mut State,
        mut stmts: Vec<Stmt>,
        mut agenda: AgendaPlan<Due>,
    ) -> Result<()> {
        stmts.push(self.outbox_entry(state, &Effect::ChangeDevices {}, &mut agenda)?);
        self.commit_own_keys(state, stmts, agenda).await
    }

    /// Writes a change of keys that only the user's devices are to know.
    async fn commit_own_keys(
        &self,
        state: &mut State,
        stmts: Vec<Stmt>,
        agenda: AgendaPlan<Due>,
    ) -> Result<()> {
        let seq = self.commit_with(state, stmts, agenda).await?;
        state.keys_seq = Some(seq);
        self.host.wake();
        Ok(())
    }

    /// What is written where devices go: their keys with them, and if they had any, whoever knows
    /// them is told.
    pub(super) async fn devices_gone(
        &self,
        state: &mut State,
        device_ids: &[OwnedDeviceId],
        agenda: &mut AgendaPlan<Due>,
    ) -> Result<Vec<Stmt>> {
        let scope = self.scope();
        for device_id in device_ids {
            state.key_counts.pop(device_id);
        }
        let mut stmts = Vec::from(one_time_keys::remove_list(scope, device_ids)?);
        if self.have_keys(device_ids).await? {
            stmts.push(device_keys::update_gone(scope, device_ids, state.seq + 1)?);
            stmts.push(device_keys::remove_surplus(scope, limits::GONE_DEVICES));
            stmts.push(self.outbox_entry(state, &Effect::ChangeDevices {}, agenda)?);
            state.keys_seq = None;
        }
        Ok(stmts)
    }

    /// Writes that a device is called otherwise, if it has keys: then others are told.
    pub(super) async fn renamed(
        &self,
        state: &mut State,
        device_id: OwnedDeviceId,
        mut stmts: Vec<Stmt>,
    ) -> Result<bool> {
        let device_ids = [device_id];
        if !self.have_keys(&device_ids).await? {
            return Ok(false);
        }
        stmts.push(device_keys::update_changed(self.scope(), &device_ids, state.seq + 1)?);
        self.commit_keys(state, stmts, AgendaPlan::default()).await?;
        Ok(true)
    }

    /// Whether some of these devices have keys.
    async fn have_keys(&self, device_ids: &[OwnedDeviceId]) -> Result<bool> {
        let known = device_keys::list_since(self.sql(), self.scope(), 0).await?;
        Ok(known.iter().any(|it| it.json.is_some() && device_ids.contains(&it.device_id)))
    }

    /// Tells a room, which tells its members if it is encrypted.
    pub(super) async fn tell_devices_changed(&self, entry: &Entry) -> Result<()> {
        let change = room::ChangeDevices { user_id: self.id.clone(), server: None };
        self.ask_room(entry, crate::messages::Ask::into_command(change)).await
    }
}
