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

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &str = r#"{"n": 1.0,  "z": [], "a": null}"#;

    /// A tag inside the object (`#[serde(tag = …)]`) would make serde buffer the rest, and raw
    /// JSON cannot be read from that buffer.
    #[test]
    fn raw_json_survives_the_wire() {
        let raw = || RawJsonValue::from_string(RAW.to_owned()).unwrap();
        let reply = room::Reply::Events { events: vec![raw()] };
        let json = serde_json::to_string(&reply).unwrap();
        let Ok(room::Reply::Events { events }) = serde_json::from_str(&json) else {
            panic!("{json}")
        };
        assert_eq!(events[0].get(), raw().get());
        let command = user::Command::SetAccountData {
            room_id: None,
            event_type: "org.example".to_owned(),
            content: raw(),
        };
        let json = serde_json::to_string(&command).unwrap();
        let Ok(user::Command::SetAccountData { content, .. }) = serde_json::from_str(&json) else {
            panic!("{json}")
        };
        assert_eq!(content.get(), raw().get());
    }
}
