//! What belongs to events that come together, and what is received of them one by one.

use std::{collections::HashMap, sync::Arc};

use ruma::{EventId, OwnedEventId};
use skerry_core::{
    Pdu,
    engine::{Given, Num, Withdrawal},
};

use crate::{
    messages::room::{Kind, Outcome, Position},
    objects::room::{
        dag::ahead::Ahead,
        limits,
        loaded::{Loaded, decided::Placement, draft::Transaction, state_event::Changed},
    },
    store::room::gaps::Gap,
};

/// Positions of events in gaps.
pub(crate) type GapPositions = HashMap<OwnedEventId, (Position, Gap)>;

/// What belongs to events that come together.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// States after events that are not here.
    pub(crate) given: Vec<Given>,
    /// Where history goes.
    pub(crate) gap_positions: GapPositions,
    /// Memberships that have changed so far.
    pub(crate) changed: Vec<Changed>,
    /// Whether what came is handed on to other servers.
    pub(crate) hands_on: bool,
    /// Something of it waits for what is to be asked for.
    pub(crate) lacks: bool,
    /// What was withdrawn, and is still cited by outliers.
    pub(super) withdrawn: Vec<Num>,
    /// What the store was asked about all of them at once.
    pub(super) ahead: Ahead,
    /// Ordinary next events are planned one on another, and written together.
    pub(super) is_together: bool,
}

impl Intake {
    /// Where an event goes before which these are missing.
    pub(super) fn placement(
        &self,
        pdu: &Pdu,
        in_gap: Option<(Position, Gap)>,
        missing: &[OwnedEventId],
    ) -> Placement {
        let is_told = || self.given.iter().any(|it| it.before == pdu.event_id);
        match in_gap {
            Some((position, gap)) => Placement::InGap(position, gap),
            None if !missing.is_empty() && is_told() => Placement::BehindGap(limits::GAP),
            None => Placement::AtEnd,
        }
    }

    /// Whether an event does not wait, and nothing waits for it.
    pub(super) fn nothing_waits(&self, room: &Loaded, event_id: &EventId) -> bool {
        room.pending == 0 || self.ahead.nothing_waits(event_id)
    }

    /// No state that a peer has given has this event.
    pub(super) fn withdraw(&mut self, it: Withdrawal) {
        self.withdrawn.push(it.num);
        for event in self.given.iter_mut().flat_map(|it| it.state.changes.values_mut()) {
            *event = it.of(*event);
        }
    }
}

/// A verified event that is to be received.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) kind: Kind,
    /// This server has made it: it is written if it is accepted, or not at all.
    pub(crate) own: Option<Own>,
}

/// What this server knows of an event that it has made.
#[derive(Debug)]
pub(crate) struct Own {
    /// The request that it came from.
    pub(crate) transaction: Option<Transaction>,
}

impl Arrived {
    /// An event of another server, or one that was here already.
    pub(crate) fn new(pdu: Arc<Pdu>, kind: Kind) -> Self {
        Self { pdu, kind, own: None }
    }

    pub(super) fn transaction(&self) -> Option<Transaction> {
        self.own.as_ref()?.transaction.clone()
    }
}

/// What receiving one event came to.
#[derive(Debug)]
pub(super) enum Step {
    /// This became of it.
    Done(Outcome),
    /// These outliers are to be received first, in this order.
    OutliersFirst(Vec<Arc<Pdu>>),
    /// The same; they go where nobody has asked for them.
    AuthorizingFirst(Vec<Arc<Pdu>>),
}
