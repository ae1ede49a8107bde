//! Sessions: logging in, tokens and their refresh, logging out. Each is one batch; a device is
//! written and removed together with its tokens, save for the [dehydrated](super::dehydrated) one,
//! which has none. The rules: [`skerry_core::sessions`].

use std::sync::Arc;

use ruma::OwnedDeviceId;
use skerry_core::sessions::{Refusal, SessionPlan};
use tokio::sync::MappedMutexGuard;

use super::{Due, State, User, account::LoadedAccount, devices::merge, limits, password};
use crate::{
    Error, Result,
    messages::{
        Caller,
        secret::Secret,
        user::{Authenticated, ChangePassword, Login, NewSession, Refresh},
    },
    objects::agenda::AgendaPlan,
    ports::Stmt,
    store::user::{
        account::{self, Account},
        dehydrated, devices, to_device,
    },
};

impl User {
    /// Begins a session by password. The password is checked outside the lock, which takes long;
    /// the session begins only if the password is still the one that was checked. A deactivated
    /// account has none: whoever tries one is told what is told of an account that never was.
    pub(super) async fn login(&self, login: Login) -> Result<()> {
        let Login { password, session, limited_for_ms } = login;
        let address = session.device.last_seen_ip.as_deref();
        let attempt = self.begin_login(address, limited_for_ms).await?;
        let checked = self.find_account().await?.and_then(|it| it.password_hash);
        let is_right = self.try_password(attempt, &password, checked.as_ref()).await?;
        let mut state = self.lock().await?;
        match &self.account(&mut state).await?.account {
            Some(account) if is_right && account.password_hash == checked => {}
            _ => return Err(Error::forbidden("the user name or the password is wrong")),
        }
        let (plan, mut stmts) = self.plan_session(&mut state, session).await?;
        let (writes, agenda) = self.session_writes(&state, &plan)?;
        stmts.extend(writes);
        self.write(&mut state, stmts, agenda).await?;
        self.sessions_changed(&mut state, plan);
        Ok(())
    }

    /// The session, and the statement of its device.
    pub(super) async fn plan_session(
        &self,
        state: &mut State,
        session: NewSession,
    ) -> Result<(SessionPlan, Vec<Stmt>)> {
        let NewSession { device, tokens } = session;
        let LoadedAccount { sessions, dehydrated, .. } = self.account(state).await?;
        if dehydrated.as_ref() == Some(&device.device_id) {
            return Err(Error::forbidden("nobody logs in on the dehydrated device"));
        }
        if !sessions.has_device(&device.device_id) && sessions.count_devices() >= limits::DEVICES {
            return Err(Error::forbidden("there are too many devices: log out of some of them"));
        }
        let plan = sessions.plan_open(&device.device_id, tokens.into());
        let old = devices::find(self.sql(), self.scope(), &device.device_id).await?;
        Ok((plan, vec![devices::upsert(self.scope(), &merge(old, device))]))
    }

    /// Whose access token it is. With the account in memory nothing is read; the first use of a
    /// token after a refresh is written.
    ///
    /// # Errors
    ///
    /// `M_UNKNOWN_TOKEN`, with a soft logout when the token has only expired.
    pub(super) async fn authenticate(
        &self,
        state: &mut State,
        access_hash: &str,
    ) -> Result<Authenticated> {
        let now_ms = self.host.clock().now_ms();
        let loaded = self.account(state).await?;
        let (pair, plan) = loaded.sessions.authenticate(access_hash, now_ms).map_err(refused)?;
        let device_id = pair.device_id.clone();
        let caller = Caller { user_id: self.id.clone(), device_id };
        let is_admin = loaded.account.as_ref().is_some_and(|it| it.is_admin);
        let expires_at_ms = pair.expires_at_ms;
        let authenticated = Authenticated { caller, expires_at_ms, ignores_users: false, is_admin };
        if !plan.is_empty() {
            self.write_sessions(state, plan).await?;
        }
        Ok(authenticated)
    }

    /// Checks an access token for somebody else.
    pub(super) async fn check_token(&self, access_hash: &str) -> Result<Authenticated> {
        let mut state = self.lock().await?;
        let authenticated = self.authenticate(&mut state, access_hash).await?;
        let ignores_users = !self.ignored_users(&mut state).await?.is_empty();
        Ok(Authenticated { ignores_users, ..authenticated })
    }

    /// Exchanges a refresh token for a new pair. One that was spent before ends its session: who
    /// shows it, or whoever has used it, is not its client.
    pub(super) async fn refresh(&self, refresh: Refresh) -> Result<()> {
        let Refresh { refresh_hash, tokens } = refresh;
        let mut state = self.lock().await?;
        let sessions = &self.account(&mut state).await?.sessions;
        if let Some(plan) = sessions.plan_refresh(&refresh_hash, tokens.into()) {
            return self.write_sessions(&mut state, plan).await;
        }
        if let Some(device_id) = sessions.replayed(&refresh_hash) {
            tracing::warn!(user_id = %self.id, "a refresh token was used twice: its session ends");
            let ended = [device_id];
            self.end_devices(&mut state, &ended, Vec::new(), AgendaPlan::default()).await?;
        }
        Err(Error::unknown_token(false, "the refresh token is unknown or was used"))
    }

    async fn write_sessions(&self, state: &mut State, plan: SessionPlan) -> Result<()> {
        let (stmts, agenda) = self.session_writes(state, &plan)?;
        self.write(state, stmts, agenda).await?;
        self.sessions_changed(state, plan);
        Ok(())
    }

    /// Ends the sessions of devices, and removes the devices.
    pub(super) async fn end_sessions(
        self: &Arc<Self>,
        device_ids: Vec<OwnedDeviceId>,
    ) -> Result<()> {
        let mut state = self.lock().await?;
        self.account(&mut state).await?;
        self.end_devices(&mut state, &device_ids, Vec::new(), AgendaPlan::default()).await?;
        self.tell_of_ended(state);
        Ok(())
    }

    /// Ends all sessions, and removes all devices.
    pub(super) async fn end_all_sessions(self: &Arc<Self>) -> Result<()> {
        let mut state = self.lock().await?;
        let device_ids = self.account(&mut state).await?.devices_except(None);
        self.end_devices(&mut state, &device_ids, Vec::new(), AgendaPlan::default()).await?;
        self.tell_of_ended(state);
        Ok(())
    }

    /// Whoever knows the keys of devices that have gone learns of it after the reply.
    fn tell_of_ended(self: &Arc<Self>, state: MappedMutexGuard<'_, State>) {
        let has_effects = state.agenda.at_ms(Due::Outbox).is_some();
        drop(state);
        if has_effects {
            self.drain_outbox_later();
        }
    }

    /// Ends the sessions of devices in one batch with `stmts`. Clients that wait for news on them
    /// are woken: the next thing they do is refused.
    pub(super) async fn end_devices(
        &self,
        state: &mut State,
        device_ids: &[OwnedDeviceId],
        mut stmts: Vec<Stmt>,
        mut agenda: AgendaPlan<Due>,
    ) -> Result<()> {
        let (plan, ends_dehydrated) = match &state.account {
            Some(loaded) => {
                let dehydrated = loaded.dehydrated.as_ref();
                let plan = loaded.sessions.plan_end(device_ids);
                (plan, dehydrated.is_some_and(|it| device_ids.contains(it)))
            }
            None => (SessionPlan::default(), false),
        };
        if !plan.is_empty() || ends_dehydrated {
            stmts.extend(self.session_writes(state, &plan)?.0);
            if ends_dehydrated {
                stmts.push(dehydrated::remove(self.scope()));
            }
            stmts.push(devices::remove_list(self.scope(), device_ids)?);
            stmts.push(to_device::remove_of(self.scope(), device_ids)?);
            stmts.extend(self.devices_gone(state, device_ids, &mut agenda).await?);
            self.commit_with(state, stmts, agenda).await?;
            self.sessions_changed(state, plan);
            if let Some(loaded) = state.account.as_mut().filter(|_| ends_dehydrated) {
                loaded.dehydrated = None;
            }
            state.forget_inboxes(device_ids);
            self.host.wake();
        } else {
            self.write(state, stmts, agenda).await?;
        }
        for device_id in device_ids {
            state.sent_members.forget(device_id);
        }
        Ok(())
    }

    /// Changes the password, and ends other sessions if so wished.
    pub(super) async fn change_password(self: &Arc<Self>, change: ChangePassword) -> Result<()> {
        let ChangePassword { password, only_device } = change;
        let hash = password::hash(&*self.host, &password, self.in_session()).await?;
        let mut state = self.lock().await?;
        let loaded = self.account(&mut state).await?;
        let Some(old) = loaded.active() else {
            return Err(Error::forbidden("there is no such account, or no longer"));
        };
        let new = Account { password_hash: Some(hash), ..old.clone() };
        let ended = match &only_device {
            Some(device_id) => loaded.devices_except(Some(device_id)),
            None => Vec::new(),
        };
        let stmts = vec![account::update(self.scope(), &new)];
        self.end_devices(&mut state, &ended, stmts, AgendaPlan::default()).await?;
        if let Some(LoadedAccount { account, .. }) = &mut state.account {
            *account = Some(new);
        }
        self.tell_of_ended(state);
        Ok(())
    }

    /// Whether this is the password of the account, which is in use.
    pub(super) async fn check_password(&self, given: &Secret) -> Result<bool> {
        let attempt = self.begin_check()?;
        let hash = self.find_account().await?.and_then(|it| it.password_hash);
        self.try_password(attempt, given, hash.as_ref()).await
    }

    async fn find_account(&self) -> Result<Option<Account>> {
        let mut state = self.lock().await?;
        Ok(self.account(&mut state).await?.account.clone())
    }

    /// Ends sessions that have lapsed, a page at a time.
    pub(super) async fn end_lapsed_sessions(&self) -> Result<()> {
        let now_ms = self.host.clock().now_ms();
        let idle_ms = limits::SESSION_IDLE_MS;
        let mut state = self.lock().await?;
        let sessions = &self.account(&mut state).await?.sessions;
        let lapsed = sessions.lapsed(now_ms, idle_ms, limits::LAPSED_PER_ROUND);
        let mut agenda = AgendaPlan::default();
        // A further page that is due comes with the next alarm.
        match sessions.next_lapse_ms(idle_ms, &lapsed) {
            Some(at_ms) => agenda.set(Due::Lapse, at_ms),
            None => agenda.clear(Due::Lapse),
        }
        self.end_devices(&mut state, &lapsed, Vec::new(), agenda).await
    }
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Unknown => Error::unknown_token(false, "the access token is unknown"),
        Refusal::Expired => Error::unknown_token(true, "the access token has expired"),
    }
}
