//! What one question has found of states that are not the room's current one at some position.

use std::collections::BTreeMap;

use ruma::events::room::{history_visibility::HistoryVisibility, member::MembershipState};
use skerry_core::engine::StateAt;

use crate::objects::room::limits;

/// What has been found in states that the room's current state never was, while one question is
/// answered. Events that follow each other share their states.
#[derive(Debug, Default)]
pub(crate) struct FoundStates {
    pub(crate) states: BTreeMap<StateAt, FoundState>,
    /// States in which users of a server were looked for.
    pub(crate) searched: usize,
}

impl FoundStates {
    /// Whether enough states were searched for one question.
    pub(crate) fn is_full(&self) -> bool {
        self.searched >= limits::SCANNED_STATES
    }
}

/// What a state says of visibility and of the requester.
#[derive(Clone, Debug)]
pub(crate) struct FoundState {
    pub(crate) visibility: HistoryVisibility,
    /// The requester's; none: not looked for yet.
    pub(crate) membership: Option<MembershipState>,
}
