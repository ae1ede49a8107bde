//! The keys, for whom they may be shown to.

use serde_json::value::RawValue as RawJsonValue;
use skerry_core::device_keys::answers::with_display_name;

use crate::{
    Result,
    messages::user::{GetSignatures, GetUserKeys, KeysFor, SignaturesOfOthers, UserKeys},
    objects::user::User,
    store::user::{cross_signing, device_keys},
};

impl User {
    /// The keys of the user and of their devices. What people call a device is not for other
    /// servers, and the user-signing key is for its owner.
    pub(in super::super) async fn get_user_keys(&self, it: GetUserKeys) -> Result<Box<UserKeys>> {
        let GetUserKeys { device_ids, reader } = it;
        let mut state = self.lock().await?;
        if self.account(&mut state).await?.active().is_none() {
            return Ok(Box::default());
        }
        let is_for_users = reader == KeysFor::User && device_ids.is_empty();
        if is_for_users && let Some(shown) = state.keys_shown.get() {
            return Ok(shown);
        }
        let (sql, scope) = (self.sql(), self.scope());
        let (devices, mut cross_signing, newest) = device_keys::list_published(sql, scope).await?;
        if reader != KeysFor::Owner {
            cross_signing.user_signing = None;
        }
        let mut keys = UserKeys { seq: newest, cross_signing, ..UserKeys::default() };
        for device in devices {
            keys.seq = keys.seq.max(device.seq);
            let is_wanted = device_ids.is_empty() || device_ids.contains(&device.device_id);
            let Some(json) = device.json.filter(|_| is_wanted) else { continue };
            let name = device.display_name.filter(|_| reader != KeysFor::Server);
            let json = with_display_name(json, name.as_deref());
            keys.devices.insert(device.device_id, RawJsonValue::from_string(json)?);
        }
        if is_for_users {
            state.keys_shown.keep(&keys);
        }
        Ok(Box::new(keys))
    }

    /// What the user has signed of others' master keys.
    pub(in super::super) async fn get_signatures(
        &self,
        it: GetSignatures,
    ) -> Result<SignaturesOfOthers> {
        let _state = self.lock().await?;
        cross_signing::list_signatures(self.sql(), self.scope(), &it.user_ids).await
    }
}
