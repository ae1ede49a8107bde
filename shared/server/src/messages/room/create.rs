//! Creating a room.

use ruma::{OwnedRoomAliasId, OwnedUserId, RoomVersionId};
use serde::{Deserialize, Serialize};

use crate::messages::{Caller, RawJson};

/// Begin the room. Refused when it exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct Create {
    /// The creator.
    pub creator: Caller,
    /// The version of the room.
    pub room_version: RoomVersionId,
    /// The signed `m.room.create` event: in room version 12 its hash names the room.
    pub create_event: RawJson,
    /// Every further event in order: type, state key, content. The creator's join is among them.
    pub state: Vec<NewState>,
    /// Users to invite after that, with the `is_direct` flag and their profile.
    pub invites: Vec<(OwnedUserId, RawJson)>,
    /// Whether the directory is to show the room.
    #[serde(default)]
    pub listed: bool,
    /// The alias that is reserved for the room, and is its own when the room has begun.
    #[serde(default)]
    pub alias: Option<OwnedRoomAliasId>,
    /// When it is too late to begin, in milliseconds since the Unix epoch: the alias may be another
    /// room's by then. None: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// A state event yet to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewState {
    /// Event type.
    pub event_type: String,
    /// State key.
    pub state_key: String,
    /// Content.
    pub content: RawJson,
}
