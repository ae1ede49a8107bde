//! Pieces of state and forward extremities as a room has them in memory.

use std::sync::Arc;

use ruma::{OwnedUserId, events::room::member::MembershipState};
use serde::Deserialize;
use skerry_core::{Pdu, engine::Num};

use crate::messages::room::Position;

/// A piece of state: the number of its event, and the event.
pub(crate) type StateEvent = (Num, Arc<Pdu>);

/// A forward extremity: its number, and the event.
pub(crate) type Extremity = (Num, Arc<Pdu>);

/// A membership that has changed: whose, to what, where, and by which event.
pub(crate) type Changed = (OwnedUserId, MembershipState, Position, Option<Arc<Pdu>>);

/// The type of the event that makes a room encrypted.
pub(crate) const ENCRYPTION: &str = "m.room.encryption";

/// What an event takes beside its texts, in bytes: about, and rather more.
const PDU_BYTES: usize = 600;

/// What an event takes in memory, in bytes.
pub(super) fn bytes_of(pdu: &Pdu) -> usize {
    // Its content is there twice.
    PDU_BYTES + pdu.json.len() + pdu.content.get().len()
}

/// The membership in the content of a membership event.
pub(crate) fn membership_of(content: &str) -> MembershipState {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    serde_json::from_str::<Content>(content).map_or(MembershipState::Leave, |it| it.membership)
}
