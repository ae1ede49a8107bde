//! What may be asked of a `User` object.

mod account;
mod backup;
mod changes;
mod dehydrated;
mod errands;
mod keys;
mod remote;
mod to_device;

use std::collections::BTreeMap;

use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedUserId, UserId, events::room::member::MembershipState,
    presence::PresenceState,
};
use serde::{Deserialize, Serialize};
use skerry_core::{presence::Status, sync_token::SyncToken, user_stream::Whereabouts};

pub use self::account::{
    Account, Authenticate, Authenticated, ChangePassword, CheckPassword, Deactivate, Device,
    EndAllSessions, EndSessions, GetAccount, GetDevice, GetProfile, HasOpenIdToken, ListDevices,
    Login, MakeOpenIdToken, NewSession, NewTokens, Profile, Refresh, Register, Reservation,
    SetDeviceName, SetProfileField, WasRegisteredWith,
};
pub use self::backup::{
    Backup, BackupKey, BackupPage, CreateBackup, DeleteBackup, DeleteBackupKeys, GetBackup,
    GetBackupKeys, HeldKeys, PutBackupKeys, UpdateBackup, WhichKeys,
};
pub use self::changes::{AskedAs, Changes, GetChanges, Read, ReadRoom, RoomChange};
pub use self::dehydrated::{
    DehydratedDevice, GetDehydratedDevice, GetDehydratedInbox, InboxPage, RemoveDehydratedDevice,
    SetDehydratedDevice,
};
pub use self::errands::RunErrands;
pub use self::keys::{
    AddSignatures, ClaimKeys, ClaimedKeys, DeviceUpdates, GetDeviceUpdates, GetSignatures,
    GetUserKeys, KeyCounts, KeysFor, RefusedSignatures, SetCrossSigning, SignaturesOfOthers,
    SignedMaster, UploadKeys, UserKeys,
};
pub use self::remote::{Ending, GetRemoteRoom, RemoteMembership, RemoteRoom, TurnDown};
pub use self::to_device::{DeliverToDevice, Inbox, Recorded};
use super::{RawJson, Recipient, asks, room::Position};

/// A position in a user's own stream: grows by one with every change and every recorded read.
pub type StreamPosition = u64;

/// Local users, as those see them who ask them.
#[derive(Debug)]
pub struct ToUser;

impl Recipient for ToUser {
    type Id = UserId;
    type Command = Command;
    type Reply = Reply;
}

asks! { ToUser:
    Membership => (), repeatable;
    RemoteMembership => (), repeatable;
    GetRemoteRoom => Option<RemoteRoom>, repeatable;
    TurnDown => Option<RemoteRoom>, repeatable;
    RoomActivity => Delivered, repeatable;
    EphemeralActivity => (), repeatable;
    StatusActivity => (), repeatable;
    SetPresence => (), repeatable;
    GetStatus => Option<Status>, repeatable;
    DeliverToDevice => (), repeatable;
    GetChanges => Box<Changes>, repeatable;
    Read => Recorded, repeatable;
    GetWhereabouts => Whereabouts, repeatable;
    ListIgnored => Vec<OwnedUserId>, repeatable;
    ListRooms => Vec<OwnedRoomId>, repeatable;
    Forget => (), repeatable;
    ListDevices => Vec<Device>, repeatable;
    GetDevice => Option<Device>, repeatable;
    SetDeviceName => bool, repeatable;
    SetAccountData => (), repeatable;
    GetAccountData => Option<RawJson>, repeatable;
    SetTag => (), repeatable;
    CreateFilter => String, repeatable;
    GetFilter => Option<RawJson>, repeatable;
    GetProfile => Option<Profile>, repeatable;
    SetProfileField => (), repeatable;
    Register => (), once;
    GetAccount => Option<Account>, repeatable;
    WasRegisteredWith => bool, repeatable;
    Login => (), repeatable;
    Authenticate => Authenticated, repeatable;
    MakeOpenIdToken => (), repeatable;
    HasOpenIdToken => bool, repeatable;
    Refresh => (), repeatable;
    EndSessions => (), repeatable;
    EndAllSessions => (), repeatable;
    CheckPassword => bool, repeatable;
    ChangePassword => (), repeatable;
    Deactivate => (), repeatable;
    CreateBackup => u64, once;
    GetBackup => Option<Backup>, repeatable;
    UpdateBackup => (), repeatable;
    DeleteBackup => (), repeatable;
    PutBackupKeys => HeldKeys, repeatable;
    GetBackupKeys => BackupPage, repeatable;
    DeleteBackupKeys => HeldKeys, repeatable;
    UploadKeys => BTreeMap<String, u64>, repeatable;
    GetUserKeys => Box<UserKeys>, repeatable;
    ClaimKeys => ClaimedKeys, repeatable;
    SetCrossSigning => bool, repeatable;
    AddSignatures => RefusedSignatures, repeatable;
    GetSignatures => SignaturesOfOthers, repeatable;
    GetDeviceUpdates => DeviceUpdates, repeatable;
    SetDehydratedDevice => (), repeatable;
    GetDehydratedDevice => Option<DehydratedDevice>, repeatable;
    RemoveDehydratedDevice => Option<OwnedDeviceId>, repeatable;
    GetDehydratedInbox => InboxPage, repeatable;
    RunErrands => Vec<Reply>, repeatable;
}

/// From a room: something at `position` waits to be read. Not sent again for that room until the
/// user has read it ([`skerry_core::delivery`]). Idempotent by `position`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomActivity {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Where.
    pub position: Position,
}

/// What became of a [`RoomActivity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivered {
    /// The user's stream knows of that position.
    Noted,
    /// The room was unread already, or the user is not in it: nothing was written.
    Unread,
}

/// From a room: a receipt was set, or who is typing changed. Kept in memory for the clients that
/// wait; when none does, a receipt is noted as [`RoomActivity`] is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EphemeralActivity {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Where a receipt stands in the room; none: only who is typing changed.
    pub receipt: Option<Position>,
    /// The receipt is this user's own: their other devices must learn of it.
    pub is_own: bool,
}

/// Users who share a room with this one have these statuses. Kept in memory for the clients that
/// ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusActivity {
    /// The statuses.
    pub statuses: Vec<Status>,
}

/// A client sets the user's status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetPresence {
    /// On which device.
    pub device_id: OwnedDeviceId,
    /// Whether they are there.
    pub presence: PresenceState,
    /// What they say of it.
    pub status_msg: Option<String>,
}

/// The status of this user, or of another one as this one was told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetStatus {
    /// Whose.
    pub user_id: OwnedUserId,
}

/// Where a room was when a token was made, as far as the user's stream knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetWhereabouts {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The token.
    pub token: SyncToken,
}

/// Whom the user ignores, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListIgnored {}

/// Rooms by membership.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListRooms {
    /// Which membership.
    pub membership: MembershipState,
}

/// Forget a room that was left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forget {
    /// The room.
    pub room_id: OwnedRoomId,
}

/// Set account data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetAccountData {
    /// Of a room; none: of the user.
    pub room_id: Option<OwnedRoomId>,
    /// Its type.
    pub event_type: String,
    /// Its content.
    pub content: RawJson,
}

/// Get account data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetAccountData {
    /// Of a room; none: of the user.
    pub room_id: Option<OwnedRoomId>,
    /// Its type.
    pub event_type: String,
}

/// Set or remove one tag of a room. The merge with the others is atomic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetTag {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The tag.
    pub tag: String,
    /// What is said of it; none: it is removed.
    pub info: Option<RawJson>,
}

/// Store a filter; the answer is its ID.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateFilter {
    /// The filter.
    pub filter: RawJson,
}

/// A stored filter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetFilter {
    /// Its ID.
    pub filter_id: String,
}

/// From a room: this user's membership changed. Idempotent by `position`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Membership {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The new membership.
    pub membership: MembershipState,
    /// The position of the membership event in the room.
    pub position: Position,
    /// Who changed it.
    pub sender: OwnedUserId,
    /// Stripped state that goes with an invite or a knock.
    pub stripped_state: Vec<RawJson>,
    /// What a join repeats of the profile; none: it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<ShownProfile>,
}

/// What a membership event repeats of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownProfile {
    /// The display name.
    pub displayname: Option<String>,
    /// The avatar's URL.
    pub avatar_url: Option<String>,
}
