//! Messages to devices of the user.

use serde::{Deserialize, Serialize};
use skerry_core::{sync_token::SyncToken, to_device::Message};

use super::{RawJson, StreamPosition};

/// Messages to devices of the user, in their order. They are stored when it is answered. One that
/// has come before is passed over, and so are devices that are not there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliverToDevice {
    /// The messages.
    pub messages: Vec<Message>,
}

/// The first messages that wait for a device.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Inbox {
    /// As clients get them.
    pub events: Vec<RawJson>,
    /// Where the last of them stands: the token says so ([`SyncToken::to_device`]).
    pub upto: Option<StreamPosition>,
}

/// The answer to [`Read`](super::Read).
#[derive(Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// The token that says what was read.
    pub token: SyncToken,
    /// What waits for the device now: whoever has sent a message before an event that was read has
    /// it in here.
    pub inbox: Inbox,
}
