//! What `/sync` asks of a user: what is new, and then that it was read.

use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, presence::PresenceState};
use serde::{Deserialize, Serialize};
use skerry_core::{
    presence::Status,
    sync_token::{EphemeralVersion, Rest, SyncToken},
    user_stream::Instance,
};

use super::{Ending, Inbox, KeyCounts, StreamPosition};
use crate::messages::{RawJson, room::Position};

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
    /// What is said of the user by this request; none: nothing.
    #[serde(default)]
    pub presence: Option<AskedAs>,
}

/// What somebody who asks for what is new says of the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AskedAs {
    /// Whether they are there.
    pub presence: PresenceState,
    /// How long the request may wait, in milliseconds.
    pub wait_ms: u64,
}

/// The rooms that [`Changes`] named were read: the answer has the token that says so.
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
    /// When the user last did something, as far as the rooms tell; none: nobody wants to know.
    #[serde(default)]
    pub active_ms: Option<u64>,
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
    /// Messages that wait for the device.
    #[serde(default)]
    pub inbox: Inbox,
    /// Users whom this user ignores.
    pub ignored_users: Vec<OwnedUserId>,
    /// Statuses that are new.
    #[serde(default)]
    pub statuses: Vec<Status>,
    /// Others may be new, of which nothing is known any more.
    #[serde(default)]
    pub has_lost_statuses: bool,
    /// Of whom keys are to be asked for anew, by the user's own doing: the user themselves, and
    /// whose keys they have signed.
    #[serde(default)]
    pub key_changes: Vec<OwnedUserId>,
    /// How many keys the device has left.
    #[serde(default)]
    pub key_counts: KeyCounts,
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
    /// How it ended, where it was left and is not here.
    #[serde(default)]
    pub ending: Option<Ending>,
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
            inbox: Inbox::default(),
            ignored_users: Vec::new(),
            statuses: Vec::new(),
            has_lost_statuses: false,
            key_changes: Vec::new(),
            key_counts: KeyCounts::default(),
        }
    }

    /// Whether there is nothing in them that a client waits for.
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty()
            && self.left.is_empty()
            && self.invited.is_empty()
            && self.knocked.is_empty()
            && self.account_data.is_empty()
            && self.statuses.is_empty()
            && self.inbox.events.is_empty()
            && self.key_changes.is_empty()
    }
}
