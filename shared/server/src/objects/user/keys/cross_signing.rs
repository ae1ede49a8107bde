//! The cross-signing keys.

use std::sync::Arc;

use ruma::DeviceId;
use skerry_core::device_keys::cross_signing::{Plan, USER_SIGNING, plan_upload};

use crate::{
    Result,
    messages::user::SetCrossSigning,
    objects::{agenda::AgendaPlan, user::User},
    store::user::cross_signing,
};

impl User {
    /// Sets cross-signing keys, if the user may without authenticating or has done so. Where the
    /// key is another that signs others' keys, what the old one has signed is forgotten.
    pub(in super::super) async fn set_cross_signing(
        self: &Arc<Self>,
        it: SetCrossSigning,
    ) -> Result<bool> {
        let SetCrossSigning { keys, is_authenticated } = it;
        let mut state = self.lock_in_use().await?;
        let (sql, scope) = (self.sql(), self.scope());
        let (stored, _) = cross_signing::find(sql, scope).await?;
        let loaded = self.account(&mut state).await?;
        let is_device = |it: &str| loaded.has_device(<&DeviceId>::from(it));
        let Plan { after, needs_auth } = plan_upload(&self.id, &keys, &stored, is_device)?;
        if needs_auth && !is_authenticated {
            return Ok(false);
        }
        let seq = state.seq + 1;
        let mut stmts = Vec::new();
        let mut is_public = false;
        for ((usage, before), (_, after)) in stored.each().into_iter().zip(after.each()) {
            if before == after {
                continue;
            }
            is_public |= usage != USER_SIGNING;
            stmts.push(match after {
                Some(json) => cross_signing::upsert(scope, usage, json, seq),
                None => cross_signing::remove(scope, usage),
            });
            if usage == USER_SIGNING {
                stmts.push(cross_signing::remove_signatures(scope));
            }
        }
        let agenda = AgendaPlan::default();
        match (is_public, stmts.is_empty()) {
            (_, true) => return Ok(true),
            (true, _) => self.commit_keys(&mut state, stmts, agenda).await?,
            (false, _) => self.commit_own_keys(&mut state, stmts, agenda).await?,
        }
        drop(state);
        self.drain_outbox_soon().await;
        Ok(true)
    }
}
