//! The account as a loaded user has it, and how a change of its sessions is written.

use ruma::{DeviceId, OwnedDeviceId};
use skerry_core::sessions::{SessionPlan, Sessions};

use super::{Due, State, User, limits};
use crate::{
    Result,
    messages::user::Account as Known,
    objects::agenda::AgendaPlan,
    ports::Stmt,
    store::user::{
        account::{self, Account},
        dehydrated, tokens,
    },
};

/// The account and all its sessions: with these in memory, no check of a token reads the store.
#[derive(Debug)]
pub(super) struct LoadedAccount {
    /// None: nobody has registered the name.
    pub(super) account: Option<Account>,
    pub(super) sessions: Sessions,
    /// The device that has no session and is there all the same.
    pub(super) dehydrated: Option<OwnedDeviceId>,
}

impl LoadedAccount {
    /// The account, if it is in use.
    pub(super) fn active(&self) -> Option<&Account> {
        self.account.as_ref().filter(|it| it.deactivated_at_ms.is_none())
    }

    /// Whether the account was taken out of use for good.
    pub(super) fn is_closed(&self) -> bool {
        self.account.as_ref().is_some_and(|it| it.deactivated_at_ms.is_some())
    }

    /// All devices, save for one if so wished.
    pub(super) fn devices_except(&self, except: Option<&DeviceId>) -> Vec<OwnedDeviceId> {
        let mut devices = self.sessions.devices_except(except);
        devices.extend(self.dehydrated.clone());
        devices
    }

    /// Whether there is such a device.
    pub(super) fn has_device(&self, device_id: &DeviceId) -> bool {
        self.sessions.has_device(device_id) || self.dehydrated.as_deref() == Some(device_id)
    }
}

impl User {
    /// The account, read when it is asked for first.
    pub(super) async fn account<'a>(&self, state: &'a mut State) -> Result<&'a mut LoadedAccount> {
        let loaded = match state.account.take() {
            Some(loaded) => loaded,
            None => {
                let (sql, scope) = (self.sql(), self.scope());
                let account = account::find(sql, scope).await?;
                let (pairs, dehydrated) = match account {
                    Some(_) => {
                        let pairs = tokens::list(sql, scope).await?;
                        (pairs, dehydrated::find_id(sql, scope).await?)
                    }
                    None => (Vec::new(), None),
                };
                LoadedAccount { account, sessions: Sessions::new(pairs), dehydrated }
            }
        };
        Ok(state.account.insert(loaded))
    }

    /// What is known of the account.
    pub(super) async fn get_account(&self) -> Result<Option<Known>> {
        let mut state = self.lock().await?;
        let loaded = self.account(&mut state).await?;
        Ok(loaded.account.as_ref().map(|account| Known {
            is_admin: account.is_admin,
            is_deactivated: account.deactivated_at_ms.is_some(),
        }))
    }

    /// The statements of a plan, and when sessions that begin with it may lapse.
    pub(super) fn session_writes(
        &self,
        state: &State,
        plan: &SessionPlan,
    ) -> Result<(Vec<Stmt>, AgendaPlan<Due>)> {
        let (mut stmts, mut agenda) = (Vec::new(), AgendaPlan::default());
        if !plan.removed.is_empty() {
            stmts.push(tokens::remove_list(self.scope(), &plan.removed)?);
        }
        stmts.extend(plan.stored.iter().map(|pair| tokens::upsert(self.scope(), pair)));
        let expiries = plan.stored.iter().filter_map(|pair| pair.expires_at_ms);
        // An entry that is there comes earlier, and is followed by the right one.
        if let Some(at_ms) = expiries.min().filter(|_| state.agenda.at_ms(Due::Lapse).is_none()) {
            agenda.set(Due::Lapse, at_ms.saturating_add(limits::SESSION_IDLE_MS));
        }
        Ok((stmts, agenda))
    }

    /// The plan was written: the sessions are as it says, and nobody who remembers a token of
    /// those that ended may go by it.
    pub(super) fn sessions_changed(&self, state: &mut State, plan: SessionPlan) {
        let ends_any = !plan.removed.is_empty();
        if let Some(loaded) = &mut state.account {
            loaded.sessions.apply(plan);
        }
        if ends_any {
            self.host.forget_sessions();
        }
    }
}
