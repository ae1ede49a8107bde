//! What other servers are told of the user's devices.

use skerry_core::device_keys::updates::{ChangedDevice, edus};

use crate::{
    Result,
    messages::user::{DeviceUpdates, GetDeviceUpdates},
    objects::user::User,
    store::user::{cross_signing, device_keys},
};

impl User {
    /// What a server is to be told that was told so much before.
    pub(in super::super) async fn get_device_updates(
        &self,
        it: GetDeviceUpdates,
    ) -> Result<DeviceUpdates> {
        let _state = self.lock().await?;
        let (sql, scope) = (self.sql(), self.scope());
        let devices = device_keys::list_since(sql, scope, 0).await?;
        let devices = devices.into_iter().map(|it| ChangedDevice {
            device_id: it.device_id,
            json: it.json,
            seq: it.seq,
        });
        let (keys, signing) = cross_signing::find(sql, scope).await?;
        let (edus, sent) = edus(&self.id, devices.collect(), (&keys, signing), it.sent);
        let edus = edus.iter().map(serde_json::value::to_raw_value);
        Ok(DeviceUpdates { edus: edus.collect::<Result<_, _>>()?, sent })
    }
}
