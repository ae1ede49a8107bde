//! What sliding sync asks of a user, beside what `/sync` does.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, events::room::member::MembershipState};
use serde::{Deserialize, Serialize};
use skerry_core::{
    sliding_sync::{GivenRoom, Request, RequiredState, Wanted},
    sync_token::SyncToken,
};

use super::{Ending, StreamPosition};
use crate::messages::{
    RawJson,
    room::{Position, RoomFacts},
};

/// What a client asks for on one of its connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AskSliding {
    /// As it says it. Every check was made.
    pub request: Request,
    /// Where it is, as it says it; none: the connection begins.
    pub pos: Option<String>,
    /// A random number: of the connection, if it begins.
    pub nonce: u64,
    /// When the request came: an instant. An earlier one is not answered any more.
    pub asked_us: u64,
    /// The request was given something already which its client does not see: the number of the
    /// position that says so.
    pub continues: Option<u64>,
    /// Up to where of the stream the request has seen everything, if further than the connection.
    pub token: Option<SyncToken>,
    /// [`SlidingChanges::version`], where up to it nothing was found that the client wants to see.
    pub looked_at: Option<u64>,
    /// What rooms have said of themselves that were to be asked; none: nobody was asked.
    pub places: Option<Vec<Place>>,
    /// [`SlidingChanges::index_version`] with which they were to be asked.
    pub placed_at: u64,
    /// The children of each space that a filter names, in which the user is.
    pub children: BTreeMap<OwnedRoomId, Vec<OwnedRoomId>>,
}

/// What a room says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The room.
    pub room_id: OwnedRoomId,
    /// What it says.
    pub facts: RoomFacts,
}

/// What changed for a connection. What belongs to no room stands in
/// [`Changes`](super::Changes), as far as the client asks for it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SlidingChanges {
    /// The position of who is given nothing that has to be remembered.
    pub pos: String,
    /// The client has been given nothing yet.
    pub is_initial: bool,
    /// What was given last was looked up at this instant: what came later has just occurred.
    pub given_us: u64,
    /// Grows with what is new and stands in no stream.
    pub version: u64,
    /// Grows with what changes the order of rooms.
    pub index_version: u64,
    /// How many rooms are in each list.
    pub counts: BTreeMap<String, u64>,
    /// Rooms of which something is to be given.
    pub rooms: Vec<SlidingRoom>,
    /// Rooms that have to say where they stand before anybody knows which are to be given.
    pub unplaced: Vec<OwnedRoomId>,
    /// Rooms that may know of devices which have changed, and up to where they were read.
    pub devices: Vec<(OwnedRoomId, Option<Position>)>,
    /// Account data that changed, by room, as events.
    pub account_data: BTreeMap<OwnedRoomId, Vec<RawJson>>,
}

impl SlidingChanges {
    /// Whether there is nothing in them that a client waits for.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
            && self.unplaced.is_empty()
            && self.devices.is_empty()
            && self.account_data.is_empty()
    }
}

/// A room of which something is to be given.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlidingRoom {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The user's membership.
    pub membership: MembershipState,
    /// When in the stream it was set.
    pub membership_seq: StreamPosition,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// Of how many events the client has been given the newest.
    pub had_limit: u64,
    /// Up to where it was given the room; none: it is new to the client.
    pub from: Option<Position>,
    /// The newest events are given anew.
    pub expands: bool,
    /// State that was not wanted before.
    pub added_state: RequiredState,
    /// Receipts are wanted.
    pub receipts: bool,
    /// Receipts after this; none: all that matter.
    pub receipts_from: Option<Position>,
    /// Who types is wanted.
    pub typing: bool,
    /// Whether the room itself is to be read.
    pub is_read: bool,
    /// Only receipts or who types may be new.
    pub is_ephemeral: bool,
    /// Whether it is a direct one.
    pub is_dm: bool,
    /// That has changed, or is not known to the client.
    pub tells_dm: bool,
    /// When something happened in it, as far as the user knows: an instant.
    pub active_us: u64,
    /// What an invitation or a knock shows of it.
    pub stripped_state: Vec<RawJson>,
    /// How it ended, where it was left and is not here.
    pub ending: Option<Ending>,
}

/// What a connection is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionRead {
    /// Which of the device's connections.
    pub conn_id: String,
    /// [`AskSliding::nonce`], where the connection begins.
    pub begins: Option<u64>,
    /// [`AskSliding::asked_us`].
    pub asked_us: u64,
    /// When it was looked up: an instant.
    pub looked_up_us: u64,
    /// The rooms.
    pub rooms: Vec<ReadGivenRoom>,
}

/// A room of which a connection is given something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadGivenRoom {
    /// The room.
    pub room_id: OwnedRoomId,
    /// What the client has been given then.
    pub given: GivenRoom,
    /// State that was wanted.
    pub required_state: RequiredState,
}
