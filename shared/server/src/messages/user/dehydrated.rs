//! The dehydrated device of the user ([`skerry_core::device_keys::dehydrated`]).

use ruma::OwnedDeviceId;
use serde::{Deserialize, Serialize};
use skerry_core::device_keys::upload::Upload;

use super::{RawJson, StreamPosition};

/// A dehydrated device as clients leave it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DehydratedDevice {
    /// Which device it is.
    pub device_id: OwnedDeviceId,
    /// What a client needs to take it up.
    pub data: RawJson,
}

/// Leave a dehydrated device, in place of the one that there is. One that is left again is the
/// same, with all that has come for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetDehydratedDevice {
    /// The device from which it is left.
    pub by: OwnedDeviceId,
    /// The device.
    pub device: DehydratedDevice,
    /// What people call it.
    pub display_name: Option<String>,
    /// Its keys, which were checked.
    pub upload: Upload,
    /// The keys of the device as they were given, with all signatures.
    pub signed: RawJson,
}

/// The dehydrated device, if there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetDehydratedDevice {}

/// Remove the dehydrated device. The answer says which it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RemoveDehydratedDevice {
    /// The device from which it is removed.
    pub by: OwnedDeviceId,
}

/// Messages that wait for the dehydrated device. They are given again as often as they are asked
/// for: a device goes on where another has not come to the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetDehydratedInbox {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// Those that stand behind this position.
    pub after: StreamPosition,
    /// So many at most.
    pub limit: u64,
}

/// The answer to [`GetDehydratedInbox`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InboxPage {
    /// As clients get them.
    pub events: Vec<RawJson>,
    /// Where the last of them stands.
    pub upto: StreamPosition,
    /// Whether there are more.
    pub has_more: bool,
}
