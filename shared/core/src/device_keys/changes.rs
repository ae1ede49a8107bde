//! What other servers say of the devices and keys of their users ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#device-management

use ruma::{
    OwnedDeviceId, OwnedUserId, ServerName, UserId,
    api::federation::transactions::edu::{DeviceListUpdateContent, SigningKeyUpdateContent},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue as RawJsonValue;

use super::{
    answers::{remote_cross_signing, remote_device},
    cross_signing::{MASTER, SELF_SIGNING},
};
use crate::{
    destination::MAX_EDUS, edu::MAX_EDU_BYTES, gather::Gather as _, identifier::MAX_ID_BYTES,
};

/// Updates that one comes after. Where there are more, nobody knows what it comes after.
const MAX_AFTER: usize = 20;

/// What a server says of one of its users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserChange {
    /// The user.
    pub user_id: OwnedUserId,
    /// What has changed.
    pub change: Change,
}

/// What has changed of a user's devices and keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A device.
    Device(DeviceChange),
    /// The cross-signing keys.
    CrossSigning(CrossSigningChange),
    /// Something, of which nothing is believed: the server is to be asked.
    Unknown,
}

/// A device has other keys, or is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChange {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// Its keys; none: it is gone.
    pub keys: Option<String>,
    /// The ID of the update, which the server gives.
    pub id: u64,
    /// The IDs of those that it comes after.
    pub after: Vec<u64>,
}

/// Cross-signing keys that are new, or signed by more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossSigningChange {
    /// The master key, if it is among them.
    pub master: Option<String>,
    /// The self-signing key, if it is among them.
    pub self_signing: Option<String>,
}

/// What a server says of its own users by its EDUs, in their order. Where it can be told of whom an
/// EDU is and not what it says, or it is not to be believed, something has changed.
pub fn read<'a>(origin: &ServerName, edus: impl IntoIterator<Item = &'a str>) -> Vec<UserChange> {
    edus.into_iter().filter_map(|it| read_one(origin, it)).take(MAX_EDUS).collect()
}

fn read_one(origin: &ServerName, json: &str) -> Option<UserChange> {
    #[derive(Deserialize)]
    struct Edu<'a> {
        edu_type: String,
        #[serde(borrow)]
        content: &'a RawJsonValue,
    }
    #[derive(Deserialize)]
    struct Of {
        user_id: OwnedUserId,
    }
    let edu: Edu<'_> = serde_json::from_str(json).ok()?;
    let read: fn(&str, &UserId) -> Option<Change> = match &*edu.edu_type {
        "m.device_list_update" => device,
        // The second one is what Synapse sends.
        "m.signing_key_update" | "org.matrix.signing_key_update" => cross_signing,
        _ => return None,
    };
    let content = edu.content.get();
    let Of { user_id } = serde_json::from_str(content).ok()?;
    // Nobody speaks for another server's users.
    if user_id.server_name() != origin || user_id.as_str().len() > MAX_ID_BYTES {
        return None;
    }
    let change = if json.len() <= MAX_EDU_BYTES { read(content, &user_id) } else { None };
    Some(UserChange { user_id, change: change.unwrap_or(Change::Unknown) })
}

fn device(content: &str, user_id: &UserId) -> Option<Change> {
    let update: DeviceListUpdateContent = serde_json::from_str(content).ok()?;
    let device_id = update.device_id;
    if device_id.as_str().len() > MAX_ID_BYTES || update.prev_id.len() > MAX_AFTER {
        return None;
    }
    let keys = match update.deleted {
        Some(true) => None,
        // One that does not say what the keys are may be about the name alone.
        _ => {
            let (keys, name) = (update.keys?, update.device_display_name);
            Some(remote_device(keys.json().get(), (user_id, &device_id), name.as_deref())?)
        }
    };
    let after = update.prev_id.into_iter().map(u64::from).gather();
    Some(Change::Device(DeviceChange { device_id, keys, id: update.stream_id.into(), after }))
}

fn cross_signing(content: &str, user_id: &UserId) -> Option<Change> {
    let update: SigningKeyUpdateContent = serde_json::from_str(content).ok()?;
    let read =
        |key: &ruma::serde::Raw<_>, usage| remote_cross_signing(key.json().get(), user_id, usage);
    let (master, own) = (&update.master_key, &update.self_signing_key);
    let change = CrossSigningChange {
        master: master.as_ref().and_then(|it| read(it, MASTER)),
        self_signing: own.as_ref().and_then(|it| read(it, SELF_SIGNING)),
    };
    let is_believed = change.master.is_some() == master.is_some()
        && change.self_signing.is_some() == own.is_some()
        && (master.is_some() || own.is_some());
    is_believed.then_some(Change::CrossSigning(change))
}

#[cfg(test)]
mod tests {
    use ruma::{server_name, user_id};
    use serde_json::{Value, json};

    use super::*;
    use crate::device_keys::{
        MAX_KEYS_BYTES,
        testing::{cross_signing as key, device as keys},
    };

    const ANN: &str = "@ann:b.example";
    const DEVICES: &str = "m.device_list_update";

    fn read_all(edus: &[Value]) -> Vec<UserChange> {
        let edus: Vec<_> = edus.iter().map(Value::to_string).collect();
        read(server_name!("b.example"), edus.iter().map(|it| &**it))
    }

    fn edu(kind: &str, content: &Value) -> Value {
        json!({ "edu_type": kind, "content": content })
    }

    /// What is read of one EDU about Ann.
    fn change(kind: &str, content: &Value) -> Change {
        let mut read = read_all(&[edu(kind, content)]);
        assert_eq!(read.len(), 1, "{content}");
        assert_eq!(read[0].user_id, ANN);
        read.remove(0).change
    }

    #[test]
    fn changes_are_believed_of_the_users_of_the_server() {
        for kind in [DEVICES, "m.signing_key_update", "org.matrix.signing_key_update"] {
            let of_ann = edu(kind, &json!({ "user_id": ANN }));
            assert_eq!(read_all(&[of_ann.clone(), of_ann]).len(), 2, "{kind}");
            let of_another = edu(kind, &json!({ "user_id": "@ann:a.example" }));
            assert!(read_all(&[of_another]).is_empty(), "another server's user");
            assert!(read_all(&[edu(kind, &json!([]))]).is_empty());
        }
        assert!(read_all(&[edu("m.typing", &json!({ "user_id": ANN })), json!(7)]).is_empty());
        let of = |it: usize| edu(DEVICES, &json!({ "user_id": format!("@{it}:b.example") }));
        let many: Vec<_> = (0..MAX_EDUS + 9).map(of).collect();
        assert_eq!(read_all(&many).len(), MAX_EDUS);
    }

    #[test]
    fn a_device_changes_by_what_is_believed() {
        let ann = user_id!("@ann:b.example");
        let phone = keys(1, ann, "PHONE");
        let good = json!({ "user_id": ANN, "device_id": "PHONE", "stream_id": 7, "prev_id": [5, 6],
            "keys": phone, "device_display_name": "Ann's" });
        let Change::Device(it) = change(DEVICES, &good) else { panic!("{good}") };
        assert_eq!((it.device_id.as_str(), it.id, &*it.after), ("PHONE", 7, &[5, 6][..]));
        let shown: Value = serde_json::from_str(&it.keys.unwrap()).unwrap();
        assert_eq!(shown["unsigned"]["device_display_name"], "Ann's");
        assert_eq!(shown["keys"], phone["keys"]);
        let mut gone = good.clone();
        gone["deleted"] = json!(true);
        let Change::Device(it) = change(DEVICES, &gone) else { panic!("{gone}") };
        assert_eq!(it.keys, None);
        let with = |field: &str, value: Value| {
            let mut bad = good.clone();
            bad[field] = value;
            bad
        };
        let mut large = keys(1, ann, "PHONE");
        large["more"] = json!("x".repeat(MAX_KEYS_BYTES));
        let mut nameless = good.clone();
        nameless.as_object_mut().unwrap().remove("keys");
        for bad in [
            nameless,
            with("keys", keys(1, ann, "TABLET")),
            with("keys", keys(1, user_id!("@bob:b.example"), "PHONE")),
            with("keys", large),
            with("device_id", json!("x".repeat(MAX_ID_BYTES + 1))),
            with("stream_id", json!(-1)),
            with("stream_id", json!(1_u64 << 53)),
            with("stream_id", json!(1.5)),
            with("stream_id", json!("7")),
            with("prev_id", json!([5, -6])),
            with("prev_id", json!(vec![5; MAX_AFTER + 1])),
            with("prev_id", json!(5)),
            with("more", json!("x".repeat(MAX_EDU_BYTES))),
        ] {
            assert_eq!(change(DEVICES, &bad), Change::Unknown, "{bad}");
        }
    }

    #[test]
    fn cross_signing_keys_are_believed_together() {
        let ann = user_id!("@ann:b.example");
        let kind = "m.signing_key_update";
        let master = key(MASTER, ann, 1, None);
        let own = key(SELF_SIGNING, ann, 2, Some(1));
        let both = json!({ "user_id": ANN, "master_key": master, "self_signing_key": own });
        let Change::CrossSigning(it) = change(kind, &both) else { panic!("{both}") };
        assert!(it.master.is_some() && it.self_signing.is_some());
        let one = json!({ "user_id": ANN, "self_signing_key": own, "master_key": null });
        let Change::CrossSigning(it) = change(kind, &one) else { panic!("{one}") };
        assert!(it.master.is_none() && it.self_signing.is_some());
        for bad in [
            json!({ "user_id": ANN }),
            json!({ "user_id": ANN, "master_key": own }),
            json!({ "user_id": ANN, "master_key": 5 }),
            json!({ "user_id": ANN, "master_key": master, "self_signing_key": master }),
        ] {
            assert_eq!(change(kind, &bad), Change::Unknown, "{bad}");
        }
    }
}
