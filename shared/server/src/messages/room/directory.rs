//! What is shown of a room to those outside, and what they ask before they write of it elsewhere.

use ruma::{OwnedRoomAliasId, OwnedUserId};
use serde::{Deserialize, Serialize};

/// What the room directory and summaries show; no access is checked.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetPublicInfo {}

/// Whether the room was created with this alias.
#[derive(Debug, Serialize, Deserialize)]
pub struct WasCreatedWith {
    /// The alias.
    pub alias: OwnedRoomAliasId,
}

/// List the room in the directory, or take it out: for members with the power to send
/// `m.room.canonical_alias`.
#[derive(Debug, Serialize, Deserialize)]
pub struct SetListed {
    /// Who wants it.
    pub user_id: OwnedUserId,
    /// Whether the directory is to show the room.
    pub listed: bool,
}

/// Whether the user may do this: used by endpoints that write outside the room (aliases,
/// directory). Refused with `M_FORBIDDEN` when not.
#[derive(Debug, Serialize, Deserialize)]
pub struct CheckMay {
    /// The user.
    pub user_id: OwnedUserId,
    /// What they want to do.
    pub action: Action,
}

use super::Position;

/// Things outside the room's own events that the room's power levels decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Change the room's entry in the directory: power to send `m.room.canonical_alias`.
    ChangeDirectory,
    /// Remove somebody else's alias: power to send `m.room.canonical_alias`.
    RemoveAlias,
    /// See the room's aliases: joined, or the room is world-readable.
    ReadAliases,
    /// Be a joined member.
    BeJoined,
}

/// The answer to [`GetPublicInfo`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicInfo {
    /// `m.room.name`.
    pub name: Option<String>,
    /// `m.room.topic`.
    pub topic: Option<String>,
    /// `m.room.avatar`.
    pub avatar_url: Option<String>,
    /// `m.room.canonical_alias`.
    pub canonical_alias: Option<OwnedRoomAliasId>,
    /// Joined members.
    pub joined_members: u64,
    /// Join rule.
    pub join_rule: String,
    /// Whether everybody may read.
    pub world_readable: bool,
    /// Whether guests may join.
    pub guest_can_join: bool,
    /// `type` of the create event.
    pub room_type: Option<String>,
    /// The room's version.
    pub room_version: String,
    /// `algorithm` of `m.room.encryption`.
    pub encryption: Option<String>,
    /// Whether the directory is to show the room.
    #[serde(default)]
    pub listed: bool,
    /// The room's position that all this is true at.
    pub position: Position,
}
