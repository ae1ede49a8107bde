//! Changing memberships.

use ruma::{OwnedMxcUri, OwnedUserId};
use serde::{Deserialize, Serialize};
pub use skerry_core::membership::Action as MembershipAction;

use crate::messages::Caller;

/// Whether a user is joined; asked by another room that admits members of this one. None: no user
/// of this server is in the room, which therefore cannot be told.
#[derive(Debug, Serialize, Deserialize)]
pub struct IsJoined {
    /// The user.
    pub user_id: OwnedUserId,
}

/// The rooms whose members may join without an invitation; no access is checked.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListAllowedRooms {}

/// Close the room to a user who has left it and wants to see nothing more of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Forget {
    /// The user.
    pub user_id: OwnedUserId,
}

/// Write a user's new profile into their membership here, if they are joined.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpdateProfile {
    /// The user.
    pub user_id: OwnedUserId,
    /// The name they go by.
    pub displayname: Option<String>,
    /// Their picture.
    pub avatar_url: Option<OwnedMxcUri>,
}

/// Change a membership.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangeMembership {
    /// Who acts.
    pub caller: Caller,
    /// Whose membership changes.
    pub target: OwnedUserId,
    /// How.
    pub action: MembershipAction,
    /// Why.
    pub reason: Option<String>,
    /// The target's display name, where it is known here.
    pub displayname: Option<String>,
    /// The target's avatar, where it is known here.
    pub avatar_url: Option<OwnedMxcUri>,
    /// Whether an invitation is meant as a direct chat.
    pub is_direct: bool,
}
