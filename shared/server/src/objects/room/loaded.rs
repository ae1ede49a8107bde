//! What a room keeps in memory: small, and rebuilt from the store at any time.
//!
//! **Invariant:** types alone. Nothing here reads or writes.

mod cache;
mod chains;
pub(super) mod current_states;
pub(super) mod decided;
pub(super) mod deliveries;
pub(super) mod doubt;
pub(super) mod draft;
pub(super) mod effects;
pub(super) mod engine_memory;
pub(super) mod memory;
pub(super) mod outgoing;
pub(super) mod plan;
pub(super) mod policy;
pub(super) mod recent;
pub(super) mod state_event;
pub(super) mod statuses;
pub(super) mod typing;
pub(super) mod unwritten;

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};
use skerry_core::engine::{Head, Num, StateAt};
use tokio::sync::RwLockWriteGuard;

use self::{
    effects::Effects,
    engine_memory::EngineMemory,
    memory::Memory,
    state_event::{Extremity, bytes_of},
    unwritten::Unwritten,
};
use crate::{
    Error, Result,
    messages::room::Position,
    objects::{held::Held, room::limits},
    store::room::gaps::Gap,
};

/// A room in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) version: RoomVersionId,
    pub(crate) rules: RoomVersionRules,
    /// The newest position of the stream.
    pub(crate) head: Position,
    /// A commit has taken positions of which nobody who reads the room has been told yet.
    pub(crate) has_news: bool,
    /// When the newest event was stored: the instant of a clock.
    pub(crate) stored_us: u64,
    /// The forward extremities: what the next event comes after.
    pub(crate) extremities: Vec<Extremity>,
    /// What they hold.
    extremities_held: Held,
    /// Whether the store says which they are: they are not just the newest event.
    pub(crate) extremities_stored: bool,
    /// The current state.
    pub(crate) state: StateAt,
    pub(crate) joined: u64,
    pub(crate) invited: u64,
    /// The newest position of a receipt.
    pub(crate) receipts_head: Position,
    /// The newest position of a change of members' devices.
    pub(crate) devices_head: Position,
    pub(crate) memory: Memory,
    /// What the engine knows.
    pub(crate) engine_memory: EngineMemory,
    /// Where history is missing, the newest first.
    pub(crate) gaps: Vec<Gap>,
    /// Events that wait for others.
    pub(crate) pending: u64,
    /// Events that came with its join and could not be verified: of the state before the join,
    /// and of the auth chain.
    pub(crate) unverified: u64,
    /// Each event came after the one before it, and the current state has only ever changed by the
    /// event that stands where it changed.
    pub(crate) is_linear: bool,
    /// What must follow its commits elsewhere, and what it has to do at a later time.
    pub(crate) effects: Effects,
    /// What memory has and the store has not yet.
    pub(crate) unwritten: Unwritten,
}

impl Loaded {
    /// A room that has no events yet.
    pub(crate) fn empty(version: RoomVersionId, rules: RoomVersionRules) -> Self {
        Self {
            version,
            rules,
            head: 0,
            has_news: false,
            stored_us: 0,
            extremities: Vec::new(),
            extremities_held: Held::of(&limits::ROOMS),
            extremities_stored: false,
            state: StateAt::default(),
            joined: 0,
            invited: 0,
            receipts_head: 0,
            devices_head: 0,
            memory: Memory::new(0),
            engine_memory: EngineMemory::default(),
            gaps: Vec::new(),
            pending: 0,
            unverified: 0,
            is_linear: true,
            effects: Effects::default(),
            unwritten: Unwritten::default(),
        }
    }

    /// From now on these are the forward extremities.
    pub(crate) fn set_extremities(&mut self, extremities: Vec<Extremity>) {
        let bytes = extremities.iter().map(|(_, pdu)| bytes_of(pdu)).sum();
        self.extremities_held.set(bytes);
        self.extremities = extremities;
    }

    /// The room as the engine sees it.
    pub(crate) fn engine_head<'a>(&'a self, create: Num, extremities: &'a [Num]) -> Head<'a> {
        let unverified = self.engine_memory.unverified();
        Head { rules: &self.rules, create, extremities, current: self.state, unverified }
    }
}

/// The room that [`Room::write`](crate::objects::room::Room::write) has loaded.
pub(crate) fn in_memory<'a>(
    guard: &'a mut RwLockWriteGuard<'_, Option<Loaded>>,
) -> Result<&'a mut Loaded> {
    guard.as_mut().ok_or_else(|| Error::internal("the room is not loaded"))
}
