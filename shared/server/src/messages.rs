//! The messages between objects and from the API to objects: plain data, also the wire form
//! between a Worker and its Durable Objects.
//!
//! **Invariant:** no behaviour here. Events travel as raw JSON in the client format, without
//! anything the asker may not see.

pub mod room;
pub mod user;

use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue as RawJsonValue;

/// Raw JSON that is passed on as it is.
pub type RawJson = Box<RawJsonValue>;

/// Who asks: an authenticated local user on one of their devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Caller {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device the access token belongs to.
    pub device_id: OwnedDeviceId,
}
