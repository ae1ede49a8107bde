//! Devices.

use ruma::{DeviceId, OwnedDeviceId};

use super::{User, limits};
use crate::{
    Error, Result,
    messages::user::{Device, PutDevice},
    store::user::devices,
};

impl User {
    /// Creates or changes a device.
    pub(super) async fn put_device(&self, put: PutDevice) -> Result<()> {
        let PutDevice { device: new, keep_name } = put;
        let _state = self.lock().await?;
        let (sql, scope) = (self.sql(), self.scope());
        let old = devices::find(sql, scope, &new.device_id).await?;
        if old.is_none() && devices::count(sql, scope).await? >= limits::DEVICES {
            return Err(Error::forbidden("there are too many devices: log out of some of them"));
        }
        let mut device = merge(old, new, keep_name);
        device.display_name =
            device.display_name.map(|it| it.chars().take(limits::DEVICE_NAME_CHARS).collect());
        self.host.commit(vec![devices::upsert(scope, &device)], None).await?;
        Ok(())
    }

    /// The devices.
    pub(super) async fn list_devices(&self) -> Result<Vec<Device>> {
        let _state = self.lock().await?;
        devices::list(self.sql(), self.scope()).await
    }

    /// One device, or none.
    pub(super) async fn get_device(&self, device_id: &DeviceId) -> Result<Option<Device>> {
        let _state = self.lock().await?;
        devices::find(self.sql(), self.scope(), device_id).await
    }

    /// Removes devices.
    pub(super) async fn remove_devices(&self, device_ids: &[OwnedDeviceId]) -> Result<()> {
        let mut state = self.lock().await?;
        self.host.commit(vec![devices::remove_list(self.scope(), device_ids)?], None).await?;
        for device_id in device_ids {
            state.sent_members.forget(device_id);
        }
        Ok(())
    }
}

/// What is none in `new` stays as it was.
fn merge(old: Option<Device>, new: Device, keep_name: bool) -> Device {
    let Some(old) = old else { return new };
    let display_name = match keep_name {
        true => old.display_name.or(new.display_name),
        false => new.display_name.or(old.display_name),
    };
    Device {
        device_id: new.device_id,
        display_name,
        last_seen_ms: new.last_seen_ms.or(old.last_seen_ms),
        last_seen_ip: new.last_seen_ip.or(old.last_seen_ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(display_name: Option<&str>, last_seen_ms: Option<u64>) -> Device {
        Device {
            device_id: "D".into(),
            display_name: display_name.map(str::to_owned),
            last_seen_ms,
            last_seen_ip: None,
        }
    }

    #[test]
    fn which_name_a_device_has() {
        let cases = [
            ("a new device", None, Some("new"), false, Some("new")),
            ("a new name", Some(Some("old")), Some("new"), false, Some("new")),
            ("logged in again", Some(Some("old")), Some("new"), true, Some("old")),
            ("had none", Some(None), Some("new"), true, Some("new")),
            ("seen", Some(Some("old")), None, false, Some("old")),
        ];
        for (name, old, new, keep_name, expected) in cases {
            let merged = merge(old.map(|it| device(it, Some(1))), device(new, Some(2)), keep_name);
            assert_eq!(merged.display_name.as_deref(), expected, "{name}");
            assert_eq!(merged.last_seen_ms, Some(2), "{name}");
        }
    }
}
