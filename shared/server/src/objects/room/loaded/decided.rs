//! An event that has been decided and is to be written: where it goes, and its row in the making.

use std::sync::Arc;

use skerry_core::{
    Pdu,
    engine::{Decision, Known, Num, States, Verdict},
};

use crate::{
    messages::room::Position,
    objects::room::loaded::Loaded,
    store::room::{events::Standing, gaps::Gap},
};

/// Where a decided event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To the end of the stream.
    End,
    /// To the end of the stream, behind so many free positions: events before it are missing.
    BehindGap(u64),
    /// Into a gap, at this position.
    Gap(Position, Gap),
}

/// An event that the engine has decided.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) known: Known,
    /// It was known as an outlier.
    pub(crate) is_stored: bool,
    pub(crate) decision: Decision,
    pub(crate) place: Place,
    /// Events before it of which no state is known.
    pub(crate) missing: Vec<ruma::OwnedEventId>,
    pub(crate) may_notify: bool,
}

/// A row of `room_events` in the making.
#[derive(Debug)]
pub(crate) struct Entering<'a> {
    pub(crate) num: Num,
    pub(crate) position: Position,
    pub(crate) pdu: &'a Arc<Pdu>,
    pub(crate) states: Option<States>,
    pub(crate) replaces: Option<Num>,
    pub(crate) standing: Standing,
}

/// An event for the engine to decide.
pub(crate) fn new_known(room: &mut Loaded, num: Num, pdu: &Arc<Pdu>) -> Known {
    let standing = (Verdict::Accepted, None);
    let keys = &mut room.graph.keys;
    Known::new(num, Arc::clone(pdu), Box::default(), standing, &room.rules, keys)
}
