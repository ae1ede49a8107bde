//! The room engine: what is true in a room when servers disagree or lie.
//!
//! Pure decisions over a [`View`]: what a room knows, as integers. A host that keeps a room in a
//! store gives what it has in memory; what a decision needs beyond that is noted by the view, the
//! decision ends with [`Incomplete`], the host loads what was noted and asks again. So nothing
//! here waits, and nothing needs a whole room in memory.

mod authorization;
mod decide;
mod decision;
mod event;
mod extremities;
mod gather;
mod outliers;
pub mod redaction;
mod related;
mod repair;
pub mod states;
mod view_with;

use std::{collections::BTreeMap, sync::Arc};

use ruma::EventId;

pub use self::{
    decide::decide,
    decision::{
        After, Change, Circumstances, Decision, Given, Head, Mode, NOT_VERIFIED, Undecided,
        Unverified, Withdrawal,
    },
    event::{Event, KeyId, Keys, States, Verdict},
    extremities::{choose_prev, state_before},
    outliers::{OutlierDecision, decide_outlier},
    repair::{Repair, repair},
};

/// An event's number in its room. Given in the order in which events are stored, so that the
/// events that authorize an event have smaller numbers than the event itself.
pub type Num = u64;

/// Names a stored state: a chain of deltas, and the last group of it that counts. The default,
/// group 0 of chain 0, is the empty state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateAt {
    /// The chain. Chain 0 is the room's current state over time.
    pub chain: u64,
    /// The group.
    pub group: u64,
}

/// A state: one that is stored, and what differs from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    /// The stored one.
    pub base: StateAt,
    /// Keys that have another event, or none.
    pub changes: BTreeMap<KeyId, Option<Num>>,
}

impl From<StateAt> for State {
    fn from(base: StateAt) -> Self {
        Self { base, changes: BTreeMap::new() }
    }
}

/// Where an event stands among those that authorize state events.
#[derive(Clone, Debug)]
pub struct Edges<'a> {
    /// Its key.
    pub key: KeyId,
    /// The events that authorize it.
    pub auth: std::borrow::Cow<'a, [Num]>,
}

/// What was asked of a [`View`] is not in memory: the view has noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete;

/// What a room knows. Every method answers `None` when the answer is not in memory, and notes
/// what was asked.
pub trait View {
    /// The number of the event with this ID; `Some(None)`: the room does not know it.
    fn find(&self, event_id: &EventId) -> Option<Option<Num>>;

    /// An event.
    fn event(&self, num: Num) -> Option<Arc<Event>>;

    /// Where a state event stands among those that authorize state events: cheaper than
    /// [`View::event`].
    fn edges(&self, num: Num) -> Option<Edges<'_>>;

    /// The state events that are not rejected and name this one among their auth events: those
    /// with a number below `before`, newest first; at least one when there is one, not necessarily
    /// all.
    fn cited_by(&self, num: Num, before: Num) -> Option<Vec<Num>>;

    /// The event a stored state has for a key; `Some(None)`: it has none.
    fn state(&self, at: StateAt, key: KeyId) -> Option<Option<Num>>;

    /// The stored state that a chain hangs on; `Some(None)`: on none, as chain 0.
    fn parent(&self, chain: u64) -> Option<Option<StateAt>>;

    /// What a chain changes in groups with `after < group <= upto`: each key once, with the event
    /// that it has from its last change on, or none.
    fn deltas(&self, chain: u64, after: u64, upto: u64) -> Option<Vec<(KeyId, Option<Num>)>>;
}
