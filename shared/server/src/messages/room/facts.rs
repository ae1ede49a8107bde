//! What lists of rooms look at.

use serde::{Deserialize, Serialize};

/// What lists look at and the room alone knows for sure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomFacts {
    /// When its newest event was stored: an instant.
    pub active_us: u64,
    /// Its type, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_type: Option<String>,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
}
