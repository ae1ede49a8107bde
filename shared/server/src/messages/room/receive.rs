//! Events of other servers: how they come to a room, and what becomes of them.

use ruma::{OwnedEventId, OwnedServerName, OwnedServerSigningKeyId, RoomVersionId};
use serde::{Deserialize, Serialize};

use crate::messages::{RawJson, ServerKey};

/// Receive events of other servers; the answer says what became of each, in the order they came.
/// The room does all checks; whoever asks brings bytes and keys.
#[derive(Debug, Serialize, Deserialize)]
pub struct Receive {
    /// The server that sends them, if one does: what the room keeps it from sending is dropped.
    #[serde(default)]
    pub origin: Option<OwnedServerName>,
    /// Whether they are handed on to the other servers in the room, once they are accepted.
    #[serde(default)]
    pub hand_on: bool,
    /// The PDUs as they came.
    pub events: Vec<RawJson>,
    /// Keys that may have signed them, found and vouched for by the asker.
    pub keys: Vec<ServerKey>,
    /// What the events are to the room.
    pub kind: Kind,
    /// States that a peer gave because the events they come from cannot be had. The events
    /// they are made of must have come as outliers. An outlier that comes before an event and
    /// builds on what is here is judged first, and no state is believed about it.
    pub states: Vec<GivenState>,
}

/// What received events are to the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// They may be new.
    Live,
    /// They are wanted only because others name them among their auth events.
    Outlier,
    /// They are a connected part of the history before events of the room.
    History,
}

/// A state as a peer gave it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GivenState {
    /// Before this event.
    pub before: OwnedEventId,
    /// The state events.
    pub state: Vec<OwnedEventId>,
    /// It is not the word of the server of the event's sender: an event is let in by it, and not
    /// rejected. One that it would reject goes on waiting.
    #[serde(default)]
    pub is_hearsay: bool,
}

/// A server is asked to let somebody in who joins: what others send of a room that is not here yet
/// is kept until the room is, or nobody has joined for an hour. Nothing where it is here.
#[derive(Debug, Serialize, Deserialize)]
pub struct Expect {
    /// The version of the room.
    pub room_version: RoomVersionId,
}

/// Keep, for an attempt to join, a part of the state and of the auth chain that the join was
/// answered with, in any order. An event may come twice. What is refused with `M_UNKNOWN` and the
/// status 409 belongs to an attempt that another one has superseded.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stage {
    /// The attempt: a random ID that whoever joins has chosen for this one answer.
    pub attempt: String,
    /// Whether this is its first part: what another attempt has left is removed, and the other
    /// attempt is superseded.
    pub begins: bool,
    /// The version of the room.
    pub room_version: RoomVersionId,
    /// The PDUs as they came.
    pub events: Vec<RawJson>,
    /// Whether they are the state, or else its auth chain.
    pub is_state: bool,
    /// As in [`Receive`].
    pub keys: Vec<ServerKey>,
}

/// Join the room by this event, with the state that has been staged as the state before it. A room
/// that is not here begins. One that is here goes on: where local users are joined the event is
/// received like any other, else the room's present is what the staged state says.
///
/// `M_BAD_JSON` and `M_TOO_LARGE` say that the answer was bad; then, and when the event is not
/// accepted, nothing is left of the attempt. [`Outcome::Waits`] leaves it: stage what is missing,
/// and ask again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Join {
    /// The attempt, as in [`Stage`].
    pub attempt: String,
    /// The version of the room.
    pub room_version: RoomVersionId,
    /// The join event.
    pub event: RawJson,
    /// As in [`Receive`].
    pub keys: Vec<ServerKey>,
}

/// What became of a received event.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is part of the room; `redacted`: only in its redacted form, because what is not signed
    /// of it had been changed.
    Accepted { redacted: bool },
    /// It is kept and hidden from clients: the current state does not allow it.
    SoftFailed { reason: String },
    /// It is remembered and never used.
    Rejected { reason: String },
    /// It is not kept: it is no event, or not by whom it says.
    Dropped { reason: String },
    /// It was known already.
    Known,
    /// It waits for events that are not known here: those it names among its auth events, and
    /// those it names as coming before it.
    Waits { auth: Vec<OwnedEventId>, prev: Vec<OwnedEventId> },
    /// Keys are missing to check who it is by.
    NeedsKeys { keys: Vec<(OwnedServerName, OwnedServerSigningKeyId)> },
}

/// A received event, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Received {
    /// Its ID; none when it is no event.
    pub event_id: Option<OwnedEventId>,
    /// What became of it.
    pub outcome: Outcome,
}
