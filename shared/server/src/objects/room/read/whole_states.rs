//! Whole states: no answer may leave any of them out, so how much of them is in memory at a time is
//! bounded instead. Who reads one waits for space first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ruma::api::client::filter::LazyLoadOptions;
use skerry_core::{engine::StateAt, pdu::MAX_PDU_BYTES};
use tokio::sync::SemaphorePermit;

use crate::{
    Result,
    messages::room::Position,
    objects::room::Room,
    store::room::{
        events::StoredEvent,
        state::{self, Part},
    },
};

/// What of a state is given to a client that loads members in this way.
pub(crate) fn part_for(members: LazyLoadOptions) -> Part {
    match members {
        LazyLoadOptions::Enabled { .. } => Part::WithoutMembers,
        LazyLoadOptions::Disabled => Part::Whole,
    }
}

/// Space for one part of a state, until it is dropped.
pub(crate) struct PartSpace<'a> {
    part: Part,
    _permit: SemaphorePermit<'a>,
}

/// How large parts of a room's state have been when they were read.
#[derive(Debug, Default)]
pub(in crate::objects::room) struct Sizes(Mutex<BTreeMap<Part, Size>>);

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// The largest that was read.
    bytes: usize,
    /// The newest change of the state that was read with it.
    at: Position,
}

impl Sizes {
    /// Bytes that this part may have, where the state has last changed at this position: each
    /// position since it was read may be that of an event of the largest size.
    fn estimate(&self, part: Part, at: Position) -> u64 {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sizes.get(&part).copied().unwrap_or_default();
        let since = at.saturating_sub(known.at).saturating_mul(MAX_PDU_BYTES as u64);
        since.saturating_add(known.bytes as u64)
    }

    fn note(&self, part: Part, bytes: usize, at: Position) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sizes.entry(part).or_default();
        *known = Size { bytes: known.bytes.max(bytes), at: known.at.max(at) };
    }
}

impl Room {
    /// Waits until this part of the room's state may be read. Under no lock of the room: what is
    /// waited for are other rooms' readers.
    pub(crate) async fn space_for(self: &Arc<Self>, part: Part) -> Result<PartSpace<'_>> {
        let changed_at = self.read().await?.state.group;
        let bytes = self.sizes.estimate(part, changed_at);
        Ok(PartSpace { part, _permit: self.host.space().take(bytes).await? })
    }

    /// The part of a state that there is space for: its events, in the order of the room.
    pub(crate) async fn list_state(
        &self,
        at: StateAt,
        space: &PartSpace<'_>,
    ) -> Result<Vec<StoredEvent>> {
        let events = state::list(self.sql(), self.scope(), at, space.part).await?;
        let bytes = events.iter().map(|it| it.json.len()).sum();
        // The chain of the current state is the one whose groups are positions.
        let changed_at = if at.chain == 0 { at.group } else { 0 };
        self.sizes.note(space.part, bytes, changed_at);
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_as_large_as_it_can_be() {
        const LARGEST: u64 = MAX_PDU_BYTES as u64;
        let sizes = Sizes::default();
        assert_eq!(sizes.estimate(Part::Whole, 20), 20 * LARGEST);
        assert_eq!(sizes.estimate(Part::Whole, u64::MAX), u64::MAX);
        sizes.note(Part::Whole, 3_000, 20);
        assert_eq!(sizes.estimate(Part::Whole, 20), 3_000);
        assert_eq!(sizes.estimate(Part::Whole, 22), 3_000 + 2 * LARGEST, "two changes since");
        assert_eq!(sizes.estimate(Part::Members, 20), 20 * LARGEST, "another part");
        sizes.note(Part::Whole, 1, 7);
        assert_eq!(sizes.estimate(Part::Whole, 20), 3_000, "an older state is no news");
        sizes.note(Part::Whole, 1, 30);
        assert_eq!(sizes.estimate(Part::Whole, 30), 3_000, "some may read what was larger");
    }
}
