//! An event that the engine has decided: where it goes in the stream, and its row in the making.

use std::sync::Arc;

use skerry_core::{
    Pdu,
    engine::{Decision, Event, Num, States, Verdict},
};

use crate::{
    messages::room::Position,
    objects::room::loaded::Loaded,
    store::room::{events::Judgment, gaps::Gap},
};

/// Where a decided event goes in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// At the end.
    AtEnd,
    /// At the end, behind so many free positions: events before it are missing.
    BehindGap(u64),
    /// In a gap, at this position.
    InGap(Position, Gap),
}

/// An event that the engine has decided.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) event: Event,
    /// The event is stored already, as an outlier.
    pub(crate) was_outlier: bool,
    pub(crate) decision: Decision,
    pub(crate) placement: Placement,
    /// Events before it of which no state is known.
    pub(crate) missing: Vec<ruma::OwnedEventId>,
    pub(crate) may_notify: bool,
}

/// A row of `room_events` in the making.
#[derive(Debug)]
pub(crate) struct EventRow<'a> {
    pub(crate) num: Num,
    pub(crate) position: Position,
    pub(crate) pdu: &'a Arc<Pdu>,
    pub(crate) states: Option<States>,
    pub(crate) replaces: Option<Num>,
    pub(crate) judgment: Judgment,
}

/// An event for the engine to decide.
pub(crate) fn new_event(room: &mut Loaded, num: Num, pdu: &Arc<Pdu>) -> Event {
    let not_decided = (Verdict::Accepted, None);
    let keys = &mut room.engine_memory.keys;
    Event::new(num, Arc::clone(pdu), Box::default(), not_decided, &room.rules, keys)
}
