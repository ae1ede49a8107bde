//! What a decision is made of: the room at one moment, and what becomes of an event.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, room_version_rules::RoomVersionRules};

use super::{Incomplete, KeyId, Keys, Num, State, StateAt, Verdict};
use crate::authorize::{self, StateKey};

/// The event of a key before and after a change.
pub type Change = (Option<Num>, Option<Num>);

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
    /// What the state before this server's join may have besides.
    pub unverified: &'a [Unverified],
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
    /// The same of outliers that authorize the event, and of what comes before those. They come
    /// as events do that nobody has asked for, also where the event itself is history.
    Authorizing(Vec<OwnedEventId>),
    /// Nothing but hearsay rejects the event: it goes on waiting for the word of others about the
    /// states after these, which come before it and have none here.
    Hearsay(Vec<OwnedEventId>),
    /// By a state that the event is judged by, or that is resolved, these may be in force: whether
    /// they are comes first.
    Unverified(Vec<OwnedEventId>),
}

impl From<Incomplete> for Undecided {
    fn from(_: Incomplete) -> Self {
        Self::Incomplete
    }
}

/// What a user is told whose event would be authorized by an [`Unverified`] one.
pub const NOT_VERIFIED: &str = "this server does not know yet what the room says of them: the keys \
                                of another server are missing";

/// An event that the state before this server's join may have, and that could not be verified yet.
///
/// Whether the room has it is not known. Who decided as if it had not would take for forbidden what
/// all other servers allow, or the other way round, and would never find out. Hence what would read
/// it is not decided before it is known: what it would authorize, and a conflict that it would
/// decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// Its ID.
    pub event_id: OwnedEventId,
    /// Its key.
    pub key: KeyId,
    /// The state before the join, one of chain 0.
    pub of: StateAt,
    /// Events of its type authorize others: a name of the room that is not known holds up nobody.
    pub(super) authorizes: bool,
}

impl Unverified {
    /// One with this key, in the state before the join.
    pub fn new(event_id: OwnedEventId, key: &StateKey, of: StateAt, keys: &mut Keys) -> Self {
        let authorizes = authorize::authorizes(&key.0);
        Self { event_id, key: keys.intern(&key.0, &key.1), of, authorizes }
    }
}

/// How an event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it happens.
    Live,
    /// The same of an event that is made here, of the state that is believed here: nothing else
    /// comes first.
    Own,
    /// Backfilled: it changes neither the extremities nor the current state, and the current
    /// state is not asked about it.
    History,
    /// The join with which this server comes back to a room that all its users had left: what it
    /// has of the room's present is out of date, and the current state is not asked about it. The
    /// event becomes the only forward extremity, and the state after it the current state.
    Rejoin,
}

/// A state as a peer gave it, of events that the host has stored as outliers.
#[derive(Clone, Debug)]
pub struct Given {
    /// It is the state before this event, and says nothing of any other one: not even of those
    /// that come after it, which have the event itself in their state.
    pub before: OwnedEventId,
    /// The state.
    pub state: State,
    /// It is not the word of the server of the event's sender: it lets the event in, and rejects
    /// none. Whoever says what would reject it may lie.
    pub is_hearsay: bool,
}

/// How an event comes, and what is known of it beside the room.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// How it comes.
    pub mode: Mode,
    /// States that peers have given with it.
    pub given: &'a [Given],
    /// An accepted event here comes after this one already, because it names it, or names one that
    /// does and that is not accepted itself. Then this one is no forward extremity, and whatever
    /// its verdict, those before it no longer are.
    pub is_referenced: bool,
    /// The room's policy server has signed it, where that is needed ([`crate::policy`]). One that
    /// is not is soft-failed, if nothing is worse.
    pub is_recommended: bool,
}

impl Circumstances<'_> {
    /// Those of an event of which nothing more is known.
    pub fn of(mode: Mode) -> Self {
        Self { mode, given: &[], is_referenced: false, is_recommended: true }
    }
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
    /// The event was allowed as an outlier, and is rejected: states that peers have given may have
    /// it, and what cites it counts on it. It is taken out of every stored state, and is among
    /// those no more that cite others. `current_changes` tell what this changes in the current
    /// state.
    pub withdrawal: Option<Withdrawal>,
}

/// An event that no state has from then on, nor ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The event.
    pub num: Num,
    /// What states have in its place: what the state before it has, as after any rejected event;
    /// or, if that state cannot be had, the last event of its key that it builds on. A room is
    /// never left without what all its servers know it has: say, power levels.
    pub instead: Option<Num>,
}

impl Withdrawal {
    /// What a state has for a key for which it had this.
    pub fn of(self, event: Option<Num>) -> Option<Num> {
        if event == Some(self.num) { self.instead } else { event }
    }
}
