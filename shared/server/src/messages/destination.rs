//! What may be asked of a `Destination` object: of another server, as this one knows it.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedServerSigningKeyId, OwnedUserId, ServerName};
use serde::{Deserialize, Serialize};
use skerry_core::{
    device_keys::{changes::UserChange, lists::DeviceList},
    faults::Faults,
    presence::Status,
};

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
    TypingActivity => (), repeatable;
    StatusActivity => (), repeatable;
    ReceiveStatuses => (), repeatable;
    SendEdus => (), repeatable;
    SignOfLife => (), repeatable;
    CountFaults => (), once;
    Leave => (), repeatable;
    ListRooms => Vec<OwnedRoomId>, repeatable;
    ChangeDevices => (), repeatable;
    GetDeviceLists => Box<DeviceLists>, repeatable;
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
    /// It is a receipt: what a crash loses of it comes with the room's next event.
    #[serde(default)]
    pub is_weak: bool,
}

/// From a room: local users type, or do not any more. Kept in memory alone, and not for long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TypingActivity {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The users, and whether they type.
    pub users: BTreeMap<OwnedUserId, bool>,
}

/// Local users who share rooms with the server have these statuses. Kept in memory alone, and not
/// for long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusActivity {
    /// Rooms that they share: those that may have news of users of the server.
    pub rooms: Vec<OwnedRoomId>,
    /// The statuses.
    pub statuses: Vec<Status>,
}

/// The server says that its users have these statuses. The users in rooms that they share are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReceiveStatuses {
    /// The statuses.
    pub statuses: Vec<Status>,
}

/// Send what is no event and must not get lost, in this order, and behind what waits: it is kept
/// until the server has taken it. What is in it tells the server that it has come before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendEdus {
    /// EDUs.
    pub edus: Vec<RawJson>,
}

/// The server has made a request: if it did not answer before, it may do so now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignOfLife {}

/// The server has sent what was not taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CountFaults {
    /// How much.
    pub faults: Faults,
}

/// Have a user of this server leave a room that is not here by way of the server: they have turned
/// an invitation down, or retract a knock. `M_FORBIDDEN`: it does not let them; `M_UNKNOWN` (502):
/// it was not reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leave {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The user.
    pub user_id: OwnedUserId,
    /// What the membership is to say.
    pub content: RawJson,
}

/// The server says that the devices or keys of its users have changed: the lists that are kept of
/// them change, and their encrypted rooms are told. Twice does no harm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeDevices {
    /// The users. Of whom nothing more is said, nobody knows what has changed.
    pub user_ids: Vec<OwnedUserId>,
    /// What has changed, in order.
    #[serde(default)]
    pub changes: Vec<UserChange>,
}

/// The devices of users of the server, with their keys: as they are known here, else as the server
/// says when it is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetDeviceLists {
    /// The users.
    pub user_ids: Vec<OwnedUserId>,
    /// The local user who wants to know.
    pub reader: OwnedUserId,
    /// How long the server is waited for, in milliseconds.
    pub wait_ms: u64,
}

/// The answer to [`GetDeviceLists`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeviceLists {
    /// The lists.
    pub lists: BTreeMap<OwnedUserId, DeviceList>,
    /// Lists are missing, because the server has not answered.
    pub has_failed: bool,
}

/// Rooms in which the server is given events. No access is checked: the rooms know better.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListRooms {
    /// At most so many.
    pub limit: u64,
}
