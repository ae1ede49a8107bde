//! Changing memberships.

use ruma::{OwnedMxcUri, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::messages::Caller;

/// What a user wants done to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipAction {
    /// Join (own membership).
    Join,
    /// Leave, or reject an invitation, or retract a knock (own membership).
    Leave,
    /// Invite `target`.
    Invite,
    /// Remove `target`.
    Kick,
    /// Ban `target`.
    Ban,
    /// Lift the ban of `target`.
    Unban,
    /// Knock (own membership).
    Knock,
}

/// [`super::Command::ChangeMembership`].
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
