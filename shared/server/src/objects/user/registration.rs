//! The beginning and the end of an account, each one batch.

use std::sync::Arc;

use ruma::api::error::ErrorKind;
use skerry_core::sessions::SessionPlan;

use super::{State, User, outbox::Effect, password};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{Register, Reservation, WasRegisteredWith},
    },
    objects::agenda::AgendaPlan,
    store::user::{
        account::{self, Account},
        account_data, cross_signing, dehydrated, device_keys, devices, filters, one_time_keys,
        openid_tokens, presence, profile, to_device, tokens,
    },
};

impl User {
    /// Makes the account, and its first session if one is wished for. The name is unique because
    /// the object is.
    pub(super) async fn register(self: &Arc<Self>, register: Register) -> Result<()> {
        let Register { password, is_admin, reservation, session, address } = register;
        self.refuse_taken(&mut *self.lock().await?).await?;
        let asker = self.at_address(address.as_deref());
        let password_hash = Some(password::hash(&*self.host, &password, asker).await?);
        let mut state = self.lock().await?;
        // Another registration may have come in between.
        self.refuse_taken(&mut state).await?;
        let now_ms = self.host.clock().now_ms();
        refuse_late(reservation.as_ref(), now_ms)?;
        let account = Account {
            password_hash,
            is_admin,
            created_at_ms: now_ms,
            deactivated_at_ms: None,
            registration_token: reservation.map(|it| it.token_hash),
        };
        let mut stmts = vec![account::insert(self.scope(), &account)];
        let mut agenda = AgendaPlan::default();
        let mut plan = SessionPlan::default();
        if let Some(session) = session {
            let (session_plan, device) = self.plan_session(&mut state, session).await?;
            let (writes, lapse) = self.session_writes(&state, &session_plan)?;
            stmts.extend(device.into_iter().chain(writes));
            (plan, agenda) = (session_plan, lapse);
        }
        stmts.push(self.outbox_entry(&state, &Effect::ListAccount {}, &mut agenda)?);
        self.commit_with(&mut state, stmts, agenda).await?;
        self.account(&mut state).await?.account = Some(account);
        self.sessions_changed(&mut state, plan);
        drop(state);
        self.drain_outbox_later();
        Ok(())
    }

    /// Whether the account is a use of this registration token.
    pub(super) async fn was_registered_with(&self, asked: WasRegisteredWith) -> Result<bool> {
        let mut state = self.lock().await?;
        let account = &self.account(&mut state).await?.account;
        let token = account.as_ref().and_then(|it| it.registration_token.as_deref());
        Ok(token == Some(&*asked.token_hash))
    }

    async fn refuse_taken(&self, state: &mut State) -> Result<()> {
        match self.account(state).await?.account {
            Some(_) => Err(Error::api(ErrorKind::UserInUse, "this user name is taken")),
            None => Ok(()),
        }
    }

    /// The account is gone for good: no password, no session, nothing private, and all rooms are
    /// left. Asked twice, it is gone once.
    pub(super) async fn deactivate(self: &Arc<Self>, caller: Caller) -> Result<()> {
        let scope = self.scope();
        let mut state = self.lock().await?;
        let loaded = self.account(&mut state).await?;
        let Some(old) = loaded.active() else { return Ok(()) };
        let account = Account {
            password_hash: None,
            is_admin: false,
            created_at_ms: old.created_at_ms,
            deactivated_at_ms: Some(self.host.clock().now_ms()),
            registration_token: old.registration_token.clone(),
        };
        let device_ids = loaded.devices_except(None);
        let plan = loaded.sessions.plan_end(&device_ids);
        let mut agenda = AgendaPlan::default();
        let mut stmts = vec![
            account::update(scope, &account),
            tokens::remove_all(scope),
            devices::remove_all(scope),
            dehydrated::remove(scope),
            profile::remove_all(scope),
            account_data::remove_all(scope),
            filters::remove_all(scope),
            device_keys::remove_all(scope),
            openid_tokens::remove_all(scope),
            presence::remove(scope),
            self.nothing_to_do(&Effect::UpdateProfile {}),
        ];
        stmts.extend(to_device::remove_all(scope));
        stmts.extend(self.drop_backups(&mut agenda).await?);
        stmts.extend(one_time_keys::remove_list(scope, &device_ids)?);
        stmts.extend(cross_signing::remove_all(scope));
        let effects = [Effect::Leave { device_id: caller.device_id }, Effect::ListAccount {}];
        for effect in &effects {
            stmts.push(self.outbox_entry(&state, effect, &mut agenda)?);
        }
        self.commit_with(&mut state, stmts, agenda).await?;
        state.ignored_users = None;
        self.presence_is_over(&mut state);
        state.keys_seq = None;
        state.key_counts.clear();
        let loaded = self.account(&mut state).await?;
        (loaded.account, loaded.dehydrated) = (Some(account), None);
        self.sessions_changed(&mut state, plan);
        state.waiting = None;
        for device_id in &device_ids {
            state.sent_members.forget(device_id);
        }
        drop(state);
        self.host.wake();
        self.drain_outbox_later();
        Ok(())
    }
}

/// A use of a registration token that was reserved too long ago may be somebody else's.
fn refuse_late(reservation: Option<&Reservation>, now_ms: u64) -> Result<()> {
    match reservation {
        Some(reservation) if reservation.until_ms <= now_ms => {
            Err(Error::forbidden("the registration took too long: please try again"))
        }
        _ => Ok(()),
    }
}
