//! Invitations to rooms that are not here, and knocks on them. What a room that is here delivers is
//! a [`Membership`](super::Membership), and stands behind all of this.

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId,
    events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};

use crate::messages::RawJson;

/// From another server: this user is invited, has knocked, or is so no more. Every check of the
/// event has been made. Idempotent by the event.
///
/// `M_NOT_FOUND`, where there is no such user; `M_FORBIDDEN`, where they are joined or have too
/// many invitations that they have not answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RemoteMembership {
    /// The room.
    pub room_id: OwnedRoomId,
    /// What the event says.
    pub remote: RemoteRoom,
    /// Stripped state that goes with an invitation or a knock.
    pub stripped_state: Vec<RawJson>,
    /// The event, where it ends an invitation or a knock.
    #[serde(default)]
    pub ending: Option<Ending>,
}

/// The membership event that a user's time with a room that is not here ended with: no room can
/// show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ending {
    /// Its ID.
    pub event_id: OwnedEventId,
    /// The event, as it goes over federation.
    pub event: RawJson,
}

/// What is known of such a membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteRoom {
    /// The membership.
    pub membership: MembershipState,
    /// Who has set it.
    pub sender: OwnedUserId,
    /// The event.
    pub event_id: OwnedEventId,
    /// The version of the room, as the other server says.
    pub room_version: RoomVersionId,
    /// Servers by way of which the room can be joined or left.
    pub servers: Vec<OwnedServerName>,
}

/// What is known of an invitation to a room that is not here, or of a knock on it, or of their end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetRemoteRoom {
    /// The room.
    pub room_id: OwnedRoomId,
}

/// End such an invitation or knock, whatever other servers say to it. The answer is what it was,
/// also where it has been ended so before; none: there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TurnDown {
    /// The room.
    pub room_id: OwnedRoomId,
    /// What the user's clients are shown of it: an event that no other server has.
    pub ending: Ending,
}
