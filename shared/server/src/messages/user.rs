//! What may be asked of a `User` object.

use ruma::{
    OwnedDeviceId, OwnedMxcUri, OwnedRoomId, OwnedUserId, events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};
use skerry_core::sync_token::SyncToken;

use super::{Caller, RawJson, room::Position};

/// A position in a user's own stream: grows by one with every change and every recorded read.
pub type StreamPosition = u64;

/// What may be asked of one user. The wire form between Worker and Durable Object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variant's line speaks of its fields")]
pub enum Command {
    /// From a room: this user's membership changed. Idempotent by `position`.
    Membership(Box<Membership>),
    /// From a room: something at `position` waits to be read. Not sent again for that room until
    /// the user has read it. Idempotent by `position`.
    RoomActivity { room_id: OwnedRoomId, position: Position },
    /// What changed since a token.
    Changes(ChangesSince),
    /// The rooms that [`Reply::Changes`] named were read: gives the token that says so.
    Read(Box<Read>),
    /// How far a room had been read at a token.
    RoomPosition { room_id: OwnedRoomId, token: SyncToken },
    /// Rooms by membership.
    ListRooms { membership: MembershipState },
    /// Forget a room that was left.
    Forget { room_id: OwnedRoomId },
    /// Create or change a device: what is none stays as it is. With `keep_name` a name that is
    /// there stays too.
    PutDevice { device: Device, keep_name: bool },
    /// The devices.
    ListDevices,
    /// One device.
    GetDevice { device_id: OwnedDeviceId },
    /// Remove devices.
    RemoveDevices { device_ids: Vec<OwnedDeviceId> },
    /// Set account data of the user (`room_id` none) or of a room.
    SetAccountData { room_id: Option<OwnedRoomId>, event_type: String, content: RawJson },
    /// Get account data.
    GetAccountData { room_id: Option<OwnedRoomId>, event_type: String },
    /// Set (content) or remove (none) one tag of a room. The merge is atomic.
    SetTag { room_id: OwnedRoomId, tag: String, info: Option<RawJson> },
    /// Store a filter.
    CreateFilter { filter: RawJson },
    /// A stored filter.
    GetFilter { filter_id: String },
    /// Carry the user's new profile into every room they are joined to.
    ProfileChanged { displayname: Option<String>, avatar_url: Option<OwnedMxcUri> },
    /// Remove everything that is private and leave all rooms: the account is gone.
    Deactivate { caller: Caller },
}

/// [`Command::Membership`].
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
}

/// [`Command::Changes`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangesSince {
    /// The client's token; none: it begins.
    pub since: Option<SyncToken>,
    /// All rooms that were left, where everything is asked for.
    pub include_leave: bool,
    /// All rooms, whether they have something new or not.
    pub full_state: bool,
    /// The device, when members it has been sent need not be sent again (lazy loading).
    pub lazy_loads: Option<OwnedDeviceId>,
}

/// [`Command::Read`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Read {
    /// [`Changes::position`].
    pub position: StreamPosition,
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

/// A device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Device {
    /// ID.
    pub device_id: OwnedDeviceId,
    /// Name for people.
    pub display_name: Option<String>,
    /// Last use, milliseconds since the Unix epoch.
    pub last_seen_ms: Option<u64>,
    /// Address of the last use.
    pub last_seen_ip: Option<String>,
}

/// What a user object answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variant's line speaks of its fields")]
pub enum Reply {
    /// Done.
    Done,
    /// What changed.
    Changes(Box<Changes>),
    /// The token of what was read.
    Token { token: SyncToken },
    /// A position in a room; none: nothing had been read of it.
    RoomPosition { position: Option<Position> },
    /// Rooms.
    Rooms { room_ids: Vec<OwnedRoomId> },
    /// Devices.
    Devices { devices: Vec<Device> },
    /// JSON, if there is any.
    Json { content: Option<RawJson> },
    /// The ID of a filter.
    FilterId { filter_id: String },
}

/// [`Reply::Changes`]. Rooms of one kind stand in one list each.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    /// The stream's position these changes are complete up to.
    pub position: StreamPosition,
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
    /// Whether the room itself has something new; else only its account data.
    pub has_events: bool,
    /// Its account data that changed, as events.
    pub account_data: Vec<RawJson>,
    /// Members whose event the device has already (lazy loading).
    pub known_members: Vec<OwnedUserId>,
}
