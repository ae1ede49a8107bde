//! What other servers are told of the devices of this server's users ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#device-management

use ruma::{
    OwnedDeviceId, UInt, UserId,
    api::federation::transactions::edu::{DeviceListUpdateContent, Edu, SigningKeyUpdateContent},
    serde::Raw,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue as RawJsonValue;

use super::cross_signing::CrossSigningKeys;

/// EDUs about devices of one user in one transaction. Where more of them have changed, or nobody
/// knows which, the server is told of one in a way that makes it ask for all of them.
pub const MAX_DEVICE_UPDATES: usize = 2;

/// EDUs about one user in one transaction.
pub const MAX_UPDATES: usize = MAX_DEVICE_UPDATES + 1;

/// What a server was told of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The newest change of devices.
    pub devices: u64,
    /// The newest change of cross-signing keys.
    pub signing: u64,
}

/// A device that has changed.
#[derive(Clone, Debug)]
pub struct ChangedDevice {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// Its keys; none: it is gone.
    pub json: Option<String>,
    /// When it changed: the ID of the update.
    pub seq: u64,
}

/// What a server is to be told of a user, and what it knows then. `devices`: all of them, also
/// those that are gone. `sent`: what it was told before; none: nothing.
pub fn edus(
    user_id: &UserId,
    mut devices: Vec<ChangedDevice>,
    (keys, signing): (&CrossSigningKeys, u64),
    sent: Option<Sent>,
) -> (Vec<Edu>, Sent) {
    let before = sent.unwrap_or_default();
    devices.retain(|it| it.seq > before.devices);
    devices.sort_by_key(|it| it.seq);
    let is_alike = |it: &[ChangedDevice]| matches!(it, [one, other] if one.seq == other.seq);
    let is_chain = sent.is_some_and(|it| it.devices > 0)
        && devices.len() <= MAX_DEVICE_UPDATES
        && !devices.windows(2).any(is_alike);
    if !is_chain {
        // An update that nothing comes before has the server ask for the list.
        devices.drain(..devices.len().saturating_sub(1));
    }
    let mut after = before;
    let mut edus = Vec::with_capacity(MAX_UPDATES);
    for device in devices {
        let id = UInt::new_saturating(device.seq);
        let mut update = DeviceListUpdateContent::new(user_id.to_owned(), device.device_id, id);
        if is_chain {
            update.prev_id = vec![UInt::new_saturating(after.devices)];
        }
        update.deleted = device.json.is_none().then_some(true);
        update.keys = device.json.and_then(raw);
        after.devices = device.seq;
        edus.push(Edu::DeviceListUpdate(update));
    }
    if signing > before.signing {
        let mut update = SigningKeyUpdateContent::new(user_id.to_owned());
        update.master_key = keys.master.clone().and_then(raw);
        update.self_signing_key = keys.self_signing.clone().and_then(raw);
        after.signing = signing;
        edus.push(Edu::SigningKeyUpdate(update));
    }
    (edus, after)
}

fn raw<T>(json: String) -> Option<Raw<T>> {
    RawJsonValue::from_string(json).ok().map(Raw::from_json)
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::{Value, json};

    use super::*;

    fn told(devices: &[(&str, bool, u64)], signing: u64, sent: Option<Sent>) -> (Vec<Value>, Sent) {
        let devices = devices.iter().map(|(id, is_there, seq)| ChangedDevice {
            device_id: (*id).into(),
            json: is_there.then(|| "{}".to_owned()),
            seq: *seq,
        });
        let keys =
            CrossSigningKeys { master: Some("{}".to_owned()), ..CrossSigningKeys::default() };
        let (edus, after) = edus(user_id!("@ann:a"), devices.collect(), (&keys, signing), sent);
        (edus.iter().map(|it| serde_json::to_value(it).unwrap()).collect(), after)
    }

    #[test]
    fn updates_are_a_chain() {
        let sent = |devices, signing| Some(Sent { devices, signing });
        let devices = [("A", true, 5), ("B", true, 7), ("C", false, 9)];
        let (edus, after) = told(&devices, 0, None);
        assert_eq!(edus.len(), 1, "the newest alone: it will ask");
        assert_eq!((&edus[0]["content"]["device_id"], after.devices), (&json!("C"), 9));
        assert!(edus[0]["content"]["prev_id"].is_null(), "{edus:?}");
        let (edus, after) = told(&devices, 0, sent(5, 0));
        let ids: Vec<_> = edus
            .iter()
            .map(|it| (&it["content"]["stream_id"], &it["content"]["prev_id"]))
            .collect();
        assert_eq!(ids, [(&json!(7), &json!([5])), (&json!(9), &json!([7]))]);
        assert_eq!((&edus[1]["content"]["deleted"], after.devices), (&json!(true), 9));
        assert!(edus[1]["content"]["keys"].is_null() && edus[0]["content"]["keys"].is_object());
        assert_eq!(told(&devices, 0, sent(9, 0)), (Vec::new(), Sent { devices: 9, signing: 0 }));
        let (edus, _) = told(&devices, 0, sent(3, 0));
        assert_eq!(edus.len(), 1, "too many");
        let (edus, _) = told(&[("A", false, 8), ("B", false, 8)], 0, sent(3, 0));
        assert_eq!(edus.len(), 1, "two at once have no IDs of their own");
        assert!(edus[0]["content"]["prev_id"].is_null());
        let (edus, after) = told(&devices, 4, sent(9, 3));
        assert_eq!(edus[0]["edu_type"], "m.signing_key_update");
        assert_eq!(after, Sent { devices: 9, signing: 4 });
    }
}
