//! What may be asked of a user's keys: of their devices, one-time keys, cross-signing.

use std::collections::BTreeMap;

use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};
use skerry_core::device_keys::{
    cross_signing::CrossSigningKeys,
    updates::Sent,
    upload::{OneTimeKey, Upload},
};

use super::StreamPosition;
use crate::messages::RawJson;

/// How many keys a device has left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCounts {
    /// One-time keys that nobody has claimed, by algorithm.
    pub one_time_keys: BTreeMap<String, u64>,
    /// Algorithms of which the fallback key was not used.
    pub unused_fallback: Vec<String>,
}

/// Take keys of a device, which were checked; all of them or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UploadKeys {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The keys.
    pub upload: Upload,
}

/// Who is given keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeysFor {
    /// The user.
    Owner,
    /// Another user of this server.
    User,
    /// Another server.
    Server,
}

/// The keys of a user and of their devices. An account that is not there has none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetUserKeys {
    /// Of these devices; of all, if there are none.
    pub device_ids: Vec<OwnedDeviceId>,
    /// For whom.
    pub reader: KeysFor,
}

/// The answer to [`GetUserKeys`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UserKeys {
    /// When in the user's stream they changed last.
    pub seq: StreamPosition,
    /// Of the devices.
    pub devices: BTreeMap<OwnedDeviceId, RawJson>,
    /// Of the user, as far as they are for the reader.
    pub cross_signing: CrossSigningKeys,
}

/// Give one key of each of these devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimKeys {
    /// The devices, and the algorithm of the key.
    pub devices: BTreeMap<OwnedDeviceId, String>,
}

/// The answer to [`ClaimKeys`]: of devices that have a key.
pub type ClaimedKeys = BTreeMap<OwnedDeviceId, OneTimeKey>;

/// Set cross-signing keys. The answer says whether that was done: the user has to authenticate
/// before theirs are replaced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetCrossSigning {
    /// The keys, as they were uploaded.
    pub keys: CrossSigningKeys,
    /// Whether the user has authenticated.
    pub is_authenticated: bool,
}

/// Take signatures that the user has made of keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddSignatures {
    /// Of the user's own keys: what names each, and the key with the signatures.
    pub own: Vec<(String, RawJson)>,
    /// Of others' master keys.
    pub others: Vec<SignedMaster>,
}

/// Another user's master key that was signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedMaster {
    /// Whose.
    pub user_id: OwnedUserId,
    /// What names it.
    pub key: String,
    /// The key, as it is known; none: it is not.
    pub known: Option<String>,
    /// The key with the signatures.
    pub signed: RawJson,
}

/// The answer to [`AddSignatures`]: what was not taken. Whose key, what names it, why: an error
/// code and words.
pub type RefusedSignatures = Vec<(OwnedUserId, String, String, String)>;

/// What another server is to be told of the user's devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetDeviceUpdates {
    /// What it was told before; none: nothing.
    pub sent: Option<Sent>,
}

/// The answer to [`GetDeviceUpdates`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceUpdates {
    /// EDUs, in their order.
    pub edus: Vec<RawJson>,
    /// What it knows with them.
    pub sent: Sent,
}

/// What the user has signed of others' master keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetSignatures {
    /// Whose keys.
    pub user_ids: Vec<OwnedUserId>,
}

/// The answer to [`GetSignatures`]: for each user the public key, the ID of what has signed it, and
/// the signature.
pub type SignaturesOfOthers = BTreeMap<OwnedUserId, Vec<(String, String, String)>>;
