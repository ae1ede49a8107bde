//! What is shown of a room to those outside, and what they ask before they write of it elsewhere.

use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId,
    events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};

/// What the room directory and summaries show; no access is checked.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetPublicInfo {}

/// What the room shows to somebody who may not be in it, and what decides whether they may know of
/// it; no access is checked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Summarize {
    /// Who.
    pub viewer: Viewer,
    /// Whether the children of a space are wanted.
    pub children: bool,
}

/// Who may want to know of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Viewer {
    /// Who has not said who they are.
    Anyone,
    /// A local user.
    User(OwnedUserId),
    /// Another server, whose request was verified.
    Server(OwnedServerName),
}

/// Servers that are in the room besides this one, those with the most members first: as many as
/// whoever wants to join needs. No access is checked.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListServers {}

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
use crate::messages::RawJson;

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
    /// Invite by a third-party identifier: joined, and power to invite.
    InviteByThirdParty,
}

/// The answer to [`Summarize`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// What is shown.
    pub info: PublicInfo,
    /// The rooms whose members may join; none: the join rule is of another kind.
    pub allowed_room_ids: Option<Vec<OwnedRoomId>>,
    /// The membership of the viewer: of a server, that of its users taken together.
    pub membership: MembershipState,
    /// The room's access control list keeps the viewer out.
    pub is_kept_out: bool,
    /// Whether a user of this server is in the room: else what is known of it is out of date.
    pub is_resident: bool,
    /// Of a space: the events that give it children.
    pub children: Vec<RawJson>,
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
