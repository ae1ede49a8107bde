//! Devices.

use std::sync::Arc;

use ruma::DeviceId;

use super::{User, limits};
use crate::{
    Result,
    messages::user::{Device, SetDeviceName},
    objects::agenda::AgendaPlan,
    store::user::devices,
};

impl User {
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

    /// Gives a device another name, if there is such a device.
    pub(super) async fn set_device_name(self: &Arc<Self>, set: SetDeviceName) -> Result<bool> {
        let SetDeviceName { device_id, display_name } = set;
        let mut state = self.lock().await?;
        let Some(old) = devices::find(self.sql(), self.scope(), &device_id).await? else {
            return Ok(false);
        };
        let name = Some(cut(&display_name));
        let is_renamed = old.display_name != name;
        let device = Device { display_name: name, ..old };
        let stmts = vec![devices::upsert(self.scope(), &device)];
        if is_renamed && self.renamed(&mut state, device_id, stmts.clone()).await? {
            drop(state);
            self.drain_outbox_soon().await;
        } else {
            self.write(&mut state, stmts, AgendaPlan::default()).await?;
        }
        Ok(true)
    }
}

/// A device that is logged in to. One that is known keeps its name, and what is none in `new`.
pub(super) fn merge(old: Option<Device>, new: Device) -> Device {
    let new = Device { display_name: new.display_name.as_deref().map(cut), ..new };
    let Some(old) = old else { return new };
    Device {
        device_id: new.device_id,
        display_name: old.display_name.or(new.display_name),
        last_seen_ms: new.last_seen_ms.or(old.last_seen_ms),
        last_seen_ip: new.last_seen_ip.or(old.last_seen_ip),
    }
}

/// As much of a name as is kept.
pub(super) fn cut(name: &str) -> String {
    name.chars().take(limits::DEVICE_NAME_CHARS).collect()
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
        let long = "ß".repeat(limits::DEVICE_NAME_CHARS);
        let cases = [
            ("a new device", None, Some("new"), Some("new")),
            ("logged in again", Some(Some("old")), Some("new"), Some("old")),
            ("had none", Some(None), Some("new"), Some("new")),
            ("wishes for none", Some(Some("old")), None, Some("old")),
            ("a long name", None, Some(&*format!("{long}x")), Some(&*long)),
        ];
        for (name, old, new, expected) in cases {
            let merged = merge(old.map(|it| device(it, Some(1))), device(new, Some(2)));
            assert_eq!(merged.display_name.as_deref(), expected, "{name}");
            assert_eq!(merged.last_seen_ms, Some(2), "{name}");
        }
    }
}
