//! What may be asked of a `User` object.

mod account;

use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedUserId, UserId, events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};
use skerry_core::{
    sync_token::{EphemeralVersion, Rest, SyncToken},
    user_stream::{Instance, Whereabouts},
};

pub use self::account::{
    Account, Authenticate, Authenticated, ChangePassword, CheckPassword, Deactivate, Device,
    EndAllSessions, EndSessions, GetAccount, GetDevice, GetProfile, ListDevices, Login, NewSession,
    NewTokens, Profile, Refresh, Register, Reservation, SetDeviceName, SetProfileField,
    WasRegisteredWith,
};
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
    RoomActivity => Delivered, repeatable;
    EphemeralActivity => (), repeatable;
    GetChanges => Box<Changes>, repeatable;
    Read => SyncToken, repeatable;
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
    Refresh => (), repeatable;
    EndSessions => (), repeatable;
    EndAllSessions => (), repeatable;
    CheckPassword => bool, repeatable;
    ChangePassword => (), repeatable;
    Deactivate => (), repeatable;
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

/// What changed since a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetChanges {
    /// The client's token; none: it begins.
    pub since: Option<SyncToken>,
    /// All rooms that were left, where everything is asked for.
    pub include_leave: bool,
    /// All rooms, whether they have something new or not.
    pub full_state: bool,
    /// The hash of the access token of the device that asks. It is checked first.
    pub access_hash: String,
    /// Members that the device has been sent need not be sent again (lazy loading).
    pub lazy_loads: bool,
    /// Of who waits: up to here nothing was found that the client wants to see.
    pub looked_at: Option<StreamPosition>,
    /// About how many rooms are wanted at a time; the rest comes with the next token.
    pub limit: usize,
}

/// The rooms that [`Changes`] named were read: the answer is the token that says so.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Read {
    /// [`Changes::position`].
    pub position: StreamPosition,
    /// [`Changes::instance`].
    pub instance: Instance,
    /// Which device reads.
    pub device_id: OwnedDeviceId,
    /// The rooms.
    pub rooms: Vec<ReadRoom>,
}

/// A room that was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadRoom {
    /// The room.
    pub room_id: OwnedRoomId,
    /// How far.
    pub to: Position,
    /// Members whose event was sent with it (lazy loading).
    pub members: Vec<OwnedUserId>,
}

/// The answer to [`GetChanges`]. Rooms of one kind stand in one list each.
#[derive(Debug, Serialize, Deserialize)]
pub struct Changes {
    /// The stream's position these changes are complete up to.
    pub position: StreamPosition,
    /// When they were looked up: an instant of the user's object.
    #[serde(default)]
    pub looked_up_us: u64,
    /// Which memory of the user they come from: [`Read`] brings it back.
    pub instance: Instance,
    /// The device that asked.
    pub device_id: OwnedDeviceId,
    /// The client has no token, or one that is not of this stream: it is given everything.
    pub is_from_beginning: bool,
    /// How much of receipts and typing is given with these changes.
    pub ephemeral: EphemeralVersion,
    /// [`SyncToken::rest`] of the token that these changes lead to.
    pub rest: Option<Rest>,
    /// Joined rooms with something new.
    pub joined: Vec<RoomChange>,
    /// Rooms left (or banned from) since, or all of them when so asked.
    pub left: Vec<RoomChange>,
    /// New invitations: room and stripped state.
    pub invited: Vec<(OwnedRoomId, Vec<RawJson>)>,
    /// New knocks: room and stripped state.
    pub knocked: Vec<(OwnedRoomId, Vec<RawJson>)>,
    /// Global account data that changed, as events.
    pub account_data: Vec<RawJson>,
    /// Users whom this user ignores.
    pub ignored_users: Vec<OwnedUserId>,
}

/// A room with something new.
#[derive(Debug, Serialize, Deserialize)]
pub struct RoomChange {
    /// The room.
    pub room_id: OwnedRoomId,
    /// What was seen of it already; none: the room is new to this client.
    pub from: Option<Position>,
    /// Whether the room itself is to be read; else only its account data is new.
    pub has_events: bool,
    /// Only receipts or who is typing may be new: a read that finds no more is not recorded.
    pub is_ephemeral: bool,
    /// When in the stream the membership was set: pages follow this order.
    #[serde(default)]
    pub membership_seq: StreamPosition,
    /// Its account data that changed, as events.
    pub account_data: Vec<RawJson>,
    /// Members whose event the device has already (lazy loading).
    pub known_members: Vec<OwnedUserId>,
}

impl Changes {
    /// No changes, up to this position.
    pub fn none(
        position: StreamPosition,
        looked_up_us: u64,
        instance: Instance,
        ephemeral: EphemeralVersion,
        device_id: OwnedDeviceId,
    ) -> Self {
        Self {
            position,
            looked_up_us,
            instance,
            device_id,
            is_from_beginning: false,
            ephemeral,
            rest: None,
            joined: Vec::new(),
            left: Vec::new(),
            invited: Vec::new(),
            knocked: Vec::new(),
            account_data: Vec::new(),
            ignored_users: Vec::new(),
        }
    }

    /// Whether there is nothing in them that a client waits for.
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty()
            && self.left.is_empty()
            && self.invited.is_empty()
            && self.knocked.is_empty()
            && self.account_data.is_empty()
    }
}
