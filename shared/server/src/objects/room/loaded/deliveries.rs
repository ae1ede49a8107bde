//! What the room has to deliver to its members, as memory knows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut},
};

use ruma::{OwnedServerName, OwnedUserId};
use skerry_core::delivery::RoomDeliveries;

use crate::{messages::room::Position, store::room::readers::Reader};

/// What is to be delivered, what was, and what the store does not know of yet.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    /// The store was read for it. A room that is loaded once more in the same process knows more
    /// than its store does.
    pub(crate) is_loaded: bool,
    deliveries: RoomDeliveries<Reader, OwnedUserId>,
}

impl Deliveries {
    /// Those of a room that comes into memory.
    pub(crate) fn loaded(deliveries: RoomDeliveries<Reader, OwnedUserId>) -> Self {
        Self { is_loaded: true, deliveries }
    }
}

impl Deref for Deliveries {
    type Target = RoomDeliveries<Reader, OwnedUserId>;

    fn deref(&self) -> &Self::Target {
        &self.deliveries
    }
}

impl DerefMut for Deliveries {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.deliveries
    }
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
    /// Local users who type, or do not any more: what other servers are told.
    pub(crate) typing: BTreeMap<OwnedUserId, bool>,
}

/// Receipts of local users that wait for the end of a window, so that other servers are told of
/// many of them at once.
#[derive(Debug, Default)]
pub(crate) struct ReceiptWindow {
    /// A window is open: whoever opened it will look at its end.
    pub(crate) is_open: bool,
    /// The servers.
    pub(crate) servers: BTreeSet<OwnedServerName>,
    /// Where the newest receipt stands.
    pub(crate) newest: Position,
}

impl EphemeralNews {
    /// Both together.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.receipt = self.receipt.max(other.receipt);
        // Who set one of several receipts has to hear of the others.
        self.own.retain(|it| other.own.contains(it));
        self.typing.extend(other.typing.clone());
        self
    }
}
