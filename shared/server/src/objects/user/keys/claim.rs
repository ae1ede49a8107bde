//! Giving out one-time keys: each once, those first that were uploaded first, and then the fallback
//! key.

use crate::{
    Result,
    messages::user::{ClaimKeys, ClaimedKeys},
    objects::{agenda::AgendaPlan, user::User},
    store::user::one_time_keys,
};

impl User {
    /// Gives a key of each device that has one. All is in one batch: whoever is not answered has
    /// claimed keys that nobody will use.
    pub(in super::super) async fn claim_keys(&self, it: ClaimKeys) -> Result<ClaimedKeys> {
        let (sql, scope) = (self.sql(), self.scope());
        let mut state = self.lock().await?;
        let number = self.host.clock().instant_us();
        let (mut claimed, mut stmts) = (ClaimedKeys::new(), Vec::new());
        for (device_id, algorithm) in it.devices {
            let oldest = one_time_keys::find_oldest(sql, scope, &device_id, &algorithm).await?;
            let key = if let Some(key) = oldest {
                stmts.push(one_time_keys::update_claimed(scope, &device_id, &key, number));
                key
            } else {
                let found = one_time_keys::find_fallback(sql, scope, &device_id, &algorithm);
                let Some((key, is_used)) = found.await? else { continue };
                if !is_used {
                    stmts.push(one_time_keys::update_used(scope, &device_id, &algorithm));
                }
                key
            };
            state.key_counts.pop(&device_id);
            claimed.insert(device_id, key);
        }
        self.write(&mut state, stmts, AgendaPlan::default()).await?;
        // Those who wait are told how many are left by then.
        self.host.wake();
        Ok(claimed)
    }
}
