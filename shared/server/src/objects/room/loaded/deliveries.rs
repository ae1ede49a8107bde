//! What the room has to deliver to its members, as memory knows it.

use std::collections::BTreeSet;

use ruma::OwnedUserId;
use skerry_core::delivery::Delivery;

use crate::messages::room::Position;

/// What is to be delivered, what was, and what the store does not know of yet.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    /// The store was read for it. A room that is loaded once more in the same process knows more
    /// than its store does.
    pub(crate) is_loaded: bool,
    /// To whom that events wait is to be delivered.
    pub(crate) activity: Delivery<OwnedUserId>,
    /// Members to whom their membership at this position was delivered: the next batch writes it
    /// down.
    pub(crate) memberships: Vec<(OwnedUserId, Position)>,
    /// How often in a row all were tried, and some membership could not be delivered.
    pub(crate) failed_alarms: u32,
    /// The next alarm goes on with the memberships after this position: so many who cannot be
    /// reached that one alarm does not get beyond them hold up nobody.
    pub(crate) overdue_after: Position,
}

/// Receipts and typing that wait for the end of a window, so that many of them are delivered as
/// one.
#[derive(Debug, Default)]
pub(crate) struct EphemeralWindow {
    /// A window is open: whoever opened it will look at its end.
    pub(crate) is_open: bool,
    /// What has come since it opened.
    pub(crate) pending: Option<EphemeralNews>,
}

/// What is to be delivered of receipts and typing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EphemeralNews {
    /// Where the newest receipt stands; none: only who is typing changed.
    pub(crate) receipt: Option<Position>,
    /// Whose receipts they are: these users are reached in a way of their own.
    pub(crate) own: BTreeSet<OwnedUserId>,
}

impl EphemeralNews {
    /// Both together.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.receipt = self.receipt.max(other.receipt);
        // Who set one of several receipts has to hear of the others.
        self.own.retain(|it| other.own.contains(it));
        self
    }
}
