//! What may be asked of a `Destination` object: of another server, as this one knows it.

use ruma::{OwnedRoomId, OwnedServerSigningKeyId, ServerName};
use serde::{Deserialize, Serialize};

use super::{RawJson, Recipient, ServerKey, asks, room::Position, user::Delivered};

/// Destinations, as those see them who ask them.
#[derive(Debug)]
pub struct ToDestination;

impl Recipient for ToDestination {
    type Id = ServerName;
    type Command = Command;
    type Reply = Reply;
}

asks! { ToDestination:
    GetKeys => Vec<ServerKey>, repeatable;
    GetKeyAnswer => Option<RawJson>, repeatable;
    RoomActivity => Delivered, repeatable;
    SignOfLife => (), repeatable;
}

/// The keys of the server, current and old ones. Where one that is wanted is not known, or not as
/// valid for so long, the server is asked for it, as often as is decent; what is not to be had
/// is not among the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetKeys {
    /// Which keys are wanted.
    pub key_ids: Vec<OwnedServerSigningKeyId>,
    /// Until when they are to be valid, if they are current ones. In milliseconds since the Unix
    /// epoch.
    pub valid_until_ms: u64,
}

/// What the server has answered when it was last asked for its keys, as it has signed that; for
/// whom this one is a notary.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetKeyAnswer {
    /// Which keys are wanted. None: whichever there are.
    pub key_ids: Vec<OwnedServerSigningKeyId>,
    /// Until when it is to be valid. In milliseconds since the Unix epoch.
    pub valid_until_ms: u64,
}

/// From a room: something at `position` waits for the server. Not sent again for that room until it
/// was read ([`skerry_core::delivery`]). Idempotent by `position`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomActivity {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Where.
    pub position: Position,
}

/// The server has made a request: if it did not answer before, it may do so now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignOfLife {}
