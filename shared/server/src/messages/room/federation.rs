//! What other servers ask of a room. Each question says which server asks, whose request was
//! verified.

use ruma::{OwnedEventId, OwnedServerName, OwnedUserId, RoomVersionId};
use serde::{Deserialize, Serialize};
use skerry_core::edu::ReadReceipt;

use super::{MembershipAction, Position};
use crate::messages::{RawJson, ServerKey};

/// An event, as it goes over federation: also one that is known only because others name it, and
/// one that is hidden from clients.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetPdu {
    /// Who asks.
    pub server: OwnedServerName,
    /// Which event.
    pub event_id: OwnedEventId,
}

/// Events that others build on, the newest first. What the server may not see comes redacted: it
/// needs the events to know how others build on each other.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetAncestors {
    /// Who asks.
    pub server: OwnedServerName,
    /// Where to begin.
    pub from: Vec<OwnedEventId>,
    /// Whether those are among the answer.
    pub with_first: bool,
    /// Events that the server knows: neither they nor what only they build on are wanted.
    pub known: Vec<OwnedEventId>,
    /// Events that are not as deep are not wanted.
    pub min_depth: u64,
    /// At most so many events.
    pub limit: u64,
}

/// Which events the state before an event is made of, and its auth chain.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetStateBefore {
    /// Who asks.
    pub server: OwnedServerName,
    /// Which event.
    pub event_id: OwnedEventId,
}

/// The answer to [`GetStateBefore`]: numbers of events, for [`GetStateIds`] and [`GetStatePdus`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StateBefore {
    /// The state.
    pub state: Vec<u64>,
    /// The events that authorize those of the state, and so on.
    pub auth_chain: Vec<u64>,
}

/// Which events authorize an event, and so on: numbers, as in [`StateBefore`].
#[derive(Debug, Serialize, Deserialize)]
pub struct GetAuthChain {
    /// Who asks.
    pub server: OwnedServerName,
    /// Which event.
    pub event_id: OwnedEventId,
}

/// The IDs of state events of these numbers.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetStateIds {
    /// Who asks.
    pub server: OwnedServerName,
    /// The numbers.
    pub numbers: Vec<u64>,
}

/// The state events of these numbers, in their order: as many of the first as one answer holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetStatePdus {
    /// Who asks.
    pub server: OwnedServerName,
    /// The numbers.
    pub numbers: Vec<u64>,
}

/// The event by which a user of the asking server would join, leave or knock. Nothing is written.
#[derive(Debug, Serialize, Deserialize)]
pub struct MakeMembership {
    /// Who asks.
    pub server: OwnedServerName,
    /// The user.
    pub user_id: OwnedUserId,
    /// Join, leave or knock.
    pub action: MembershipAction,
    /// The room versions that the server knows; none: whichever it is.
    pub versions: Option<Vec<RoomVersionId>>,
}

/// The answer to [`MakeMembership`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Template {
    /// The version of the room.
    pub room_version: RoomVersionId,
    /// The event, without hashes and signatures.
    pub event: RawJson,
}

/// Let a user of the asking server join, leave or knock by this event.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendMembership {
    /// Who asks.
    pub server: OwnedServerName,
    /// What the server says that the event's ID is.
    pub event_id: OwnedEventId,
    /// Join, leave or knock.
    pub action: MembershipAction,
    /// The event.
    pub event: RawJson,
    /// As in [`Receive`](super::Receive).
    pub keys: Vec<ServerKey>,
    /// Of a join: the server goes on with a state without members, and asks for the whole later.
    #[serde(default)]
    pub omit_members: bool,
}

/// The answer to [`SendMembership`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Sent {
    /// The event, signed by this server too where it had to be.
    pub event: RawJson,
    /// After a join: the state before it, and the auth chain of all of that.
    pub before: StateBefore,
    /// Where members are left out of that state: the servers that were in the room.
    #[serde(default)]
    pub servers_in_room: Option<Vec<OwnedServerName>>,
    /// After a knock: the state that is shown of the room.
    pub shown_state: Vec<RawJson>,
}

/// What waits in the room for another server: asked by its `Destination`, before it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetOutgoing {
    /// The server.
    pub server: OwnedServerName,
    /// Up to where it has acknowledged everything. None: nothing yet.
    pub after: Option<Position>,
    /// At most so many events.
    pub limit: u64,
    /// The newest one alone: the server asks for the others as it sees fit.
    pub newest_only: bool,
    /// At most so many receipts.
    #[serde(default)]
    pub receipts: u64,
    /// At most so many users whose devices have changed. None: who asks knows of no such thing.
    #[serde(default)]
    pub devices: Option<u64>,
}

/// Who shares an encrypted room no more since a position: the devices of these are not told of for
/// this room's sake. Nothing is said of rooms that are not encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departures {
    /// Users of the server who have left since, maybe to come back.
    pub user_ids: Vec<OwnedUserId>,
    /// All of them: no user of this server was in the room at some time, or nobody knows.
    pub are_all: bool,
}

/// The answer to [`GetOutgoing`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outgoing {
    /// The events, in their order.
    pub pdus: Vec<RawJson>,
    /// What local users have read, in the order in which they did.
    #[serde(default)]
    pub receipts: Vec<ReadReceipt>,
    /// Local users whose devices have changed.
    #[serde(default)]
    pub devices: Vec<OwnedUserId>,
    /// With these, everything up to here is given.
    pub upto: Position,
    /// More waits behind them, of which the room does not tell: it is to be read again.
    #[serde(default)]
    pub has_more: bool,
    /// The server is not in the room any more, and nothing comes after these.
    pub is_over: bool,
    /// Who has left since what was acknowledged.
    #[serde(default)]
    pub departures: Departures,
}
