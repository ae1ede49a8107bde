//! A room's state, asked anew of a server that the operator names.

use ruma::{OwnedEventId, OwnedServerName};
use serde::{Deserialize, Serialize};

/// Ask a server for the state at the room's forward extremities, and resolve what it says with what
/// is here. Refused where no user of this server is in the room, and where the other server says
/// nothing.
#[derive(Debug, Serialize, Deserialize)]
pub struct RefetchState {
    /// The server.
    pub server: OwnedServerName,
}

/// What has come of a state that was asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Refetched {
    /// The extremities of which the server has told the state.
    pub told: Vec<OwnedEventId>,
    /// Those of which it has not, or which are none any more.
    pub untold: Vec<OwnedEventId>,
    /// Events that the server names as parts of the state and that are not here all the same: it
    /// does not give them, or they are none.
    pub missing: u64,
    /// Events of the state that are rejected here.
    pub rejected: u64,
    /// In how many pieces what it tells differs from what is here.
    pub differ: u64,
    /// Some of them: at an extremity, before it.
    pub differences: Vec<Difference>,
    /// How many pieces of the room's current state have changed.
    pub changed: u64,
    /// Some of them.
    pub changes: Vec<Change>,
}

/// A piece of the state in which two servers differ.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// The type.
    pub event_type: String,
    /// The state key.
    pub state_key: String,
    /// The event that this server has.
    pub here: Option<OwnedEventId>,
    /// The event that the other one has.
    pub there: Option<OwnedEventId>,
}

/// A piece of the current state that has changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The type.
    pub event_type: String,
    /// The state key.
    pub state_key: String,
    /// Its event until then.
    pub before: Option<OwnedEventId>,
    /// Its event from then on.
    pub after: Option<OwnedEventId>,
}
