//! Who is to ask for whose keys, in rooms that are encrypted. Rooms that are not tell nothing.

use ruma::{OwnedServerName, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::Position;

/// The devices of a user, or their keys, have changed: the members learn of it. Twice does no harm.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangeDevices {
    /// Whose.
    pub user_id: OwnedUserId,
    /// The user's server, which says so; none: this one.
    pub server: Option<OwnedServerName>,
}

/// Of whom a member is to ask for keys anew, since they have read the room up to a position.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetDeviceChanges {
    /// The member.
    pub user_id: OwnedUserId,
    /// Up to where; none: the room is new to them.
    pub from: Option<Position>,
}

/// Of whom a member is to ask for keys anew, and of whom they need not know keys for this room's
/// sake any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChanges {
    /// Whose devices have changed, and with whom the room is shared now.
    pub changed: Vec<OwnedUserId>,
    /// With whom it is not shared any more.
    pub left: Vec<OwnedUserId>,
}

/// Which of these users are joined, where the room is encrypted and somebody is joined who asks.
#[derive(Debug, Serialize, Deserialize)]
pub struct WhoShares {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// Of whom.
    pub others: Vec<OwnedUserId>,
}
