//! What a decision is made of: the room at one moment, and what becomes of an event.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, room_version_rules::RoomVersionRules};

use super::{Incomplete, KeyId, Num, State, StateAt, Verdict, states::Change};

/// A room at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The rules of its version.
    pub rules: &'a RoomVersionRules,
    /// Its create event. While a room is made: the number that its first event is given.
    pub create: Num,
    /// Its forward extremities: accepted events that no other accepted event names as before it.
    pub extremities: &'a [Num],
    /// Its current state: that of all forward extremities, resolved.
    pub current: StateAt,
}

/// Why there is no decision yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The view noted what to load; then ask again.
    Incomplete,
    /// Other events come first.
    Waits {
        /// Auth events that are not known: needed, as outliers.
        auth: Vec<OwnedEventId>,
        /// Events before this one that are not known, or of which no state is known.
        prev: Vec<OwnedEventId>,
    },
    /// These outliers come first, in this order: they come before the event and all that leads to
    /// them has a state, so that they can be decided as any event. No state that a peer gives is
    /// believed about what is here.
    Outliers(Vec<OwnedEventId>),
}

impl From<Incomplete> for Undecided {
    fn from(_: Incomplete) -> Self {
        Self::Incomplete
    }
}

/// How an event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it happens.
    Live,
    /// Backfilled: it changes neither the extremities nor the current state, and the current
    /// state is not asked about it.
    History,
    /// The join with which this server comes back to a room that all its users had left: what it
    /// has of the room's present is out of date, and the current state is not asked about it. The
    /// event becomes the only forward extremity, and the state after it the current state.
    Rejoin,
}

/// The state after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The state before it.
    SameAsBefore,
    /// The new current state.
    Current,
    /// Neither.
    Other(State),
}

/// What becomes of an event.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is not accepted.
    pub reason: Option<String>,
    /// The auth events it names, as far as they are known. Not all may be when it is rejected.
    pub auth: Box<[Num]>,
    /// The state before it. None only for a rejected event whose state cannot be had: it is
    /// remembered as an outlier.
    pub before: Option<State>,
    /// The state after it.
    pub after: After,
    /// The room's forward extremities from here on.
    pub extremities: Vec<Num>,
    /// What changes in the current state, relative to [`Head::current`].
    pub current_changes: BTreeMap<KeyId, Change>,
}
