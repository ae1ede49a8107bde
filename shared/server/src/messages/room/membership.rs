//! Changing memberships.

use ruma::{OwnedEventId, OwnedMxcUri, OwnedServerName, OwnedUserId, RoomVersionId};
use serde::{Deserialize, Serialize};
pub use skerry_core::membership::Action as MembershipAction;

use crate::messages::{Caller, RawJson};

/// Whether a user is joined; asked by another room that admits members of this one. None: no user
/// of this server is in the room, which therefore cannot be told.
#[derive(Debug, Serialize, Deserialize)]
pub struct IsJoined {
    /// The user.
    pub user_id: OwnedUserId,
}

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

/// The event by which a user of another server is invited. Nothing is written: it is received when
/// that server has signed it.
#[derive(Debug, Serialize, Deserialize)]
pub struct MakeInvite {
    /// Who invites.
    pub caller: Caller,
    /// Who is invited.
    pub target: OwnedUserId,
    /// What the event is to say.
    pub content: RawJson,
}

/// The answer to [`MakeInvite`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Invitation {
    /// The version of the room.
    pub room_version: RoomVersionId,
    /// The event's ID.
    pub event_id: OwnedEventId,
    /// The event, signed by this server.
    pub event: RawJson,
    /// The state that is shown of the room.
    pub shown_state: Vec<RawJson>,
}

/// The event by which a user is invited who has shown to an identity server that the third-party
/// identifier is theirs by which a member of this server has invited them. Nothing is written: it
/// is received as any other, when their server has signed it.
#[derive(Debug, Serialize, Deserialize)]
pub struct MakeExchange {
    /// The server that asks; none: this one.
    pub server: Option<OwnedServerName>,
    /// Who has invited.
    pub sender: OwnedUserId,
    /// Who is invited.
    pub target: OwnedUserId,
    /// What the identity server has signed.
    pub signed: RawJson,
}

/// The answer to [`MakeExchange`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// The event; none: they are invited by it already.
    pub invitation: Option<Invitation>,
    /// The keys of which one must be valid still: those that have signed.
    pub keys: Vec<InviteKey>,
}

/// A key of an identity server, by which it has signed an invitation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InviteKey {
    /// The key, base64.
    pub public_key: String,
    /// Where it is asked whether it is valid; none: it is.
    pub validity_url: Option<String>,
}
