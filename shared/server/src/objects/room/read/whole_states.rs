//! Whole states: no answer may leave any of them out, so how much of them is in memory at a time is
//! bounded instead. Who reads one waits for space first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{OwnedUserId, api::client::filter::LazyLoadOptions};
use skerry_core::{engine::StateAt, pdu::MAX_PDU_BYTES};
use tokio::sync::SemaphorePermit;

use crate::{
    Result,
    messages::room::Position,
    objects::room::{Room, loaded::Loaded},
    store::room::{
        events::StoredEvent,
        members,
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

/// What is read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Read {
    /// A part of a state.
    State(Part),
    /// The events of those who are joined.
    Joined,
}

/// Space for one part of a state, until it is dropped.
pub(crate) struct PartSpace<'a> {
    part: Part,
    _permit: SemaphorePermit<'a>,
}

/// How large what is read whole of a room has been.
#[derive(Debug, Default)]
pub(in crate::objects::room) struct Sizes(Mutex<BTreeMap<Read, Size>>);

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// The largest that was read.
    bytes: usize,
    /// The newest change of the state that was read with it.
    at: Position,
}

impl Sizes {
    /// Bytes that this may have, where the state has last changed at this position: each
    /// position since it was read may be that of an event of the largest size.
    fn estimate(&self, read: Read, at: Position) -> u64 {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sizes.get(&read).copied().unwrap_or_default();
        let since = at.saturating_sub(known.at).saturating_mul(MAX_PDU_BYTES as u64);
        since.saturating_add(known.bytes as u64)
    }

    fn note(&self, read: Read, bytes: usize, at: Position) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sizes.entry(read).or_default();
        *known = Size { bytes: known.bytes.max(bytes), at: known.at.max(at) };
    }
}

impl Room {
    /// Waits until this part of the room's state may be read. Under no lock of the room: what is
    /// waited for are other rooms' readers.
    pub(crate) async fn space_for(self: &Arc<Self>, part: Part) -> Result<PartSpace<'_>> {
        Ok(PartSpace { part, _permit: self.space(Read::State(part)).await? })
    }

    /// Waits until the events of those who are joined may be read.
    pub(crate) async fn space_for_joined(self: &Arc<Self>) -> Result<SemaphorePermit<'_>> {
        self.space(Read::Joined).await
    }

    async fn space(self: &Arc<Self>, read: Read) -> Result<SemaphorePermit<'_>> {
        let changed_at = self.read().await?.state.group;
        self.host.space().take(self.sizes.estimate(read, changed_at)).await
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
        self.sizes.note(Read::State(space.part), bytes, changed_at);
        Ok(events)
    }

    /// The events of those who are joined, in the order in which they came.
    pub(crate) async fn list_joined(&self, room: &Loaded) -> Result<Vec<(OwnedUserId, String)>> {
        let events = members::list_joined_events(self.sql(), self.scope()).await?;
        let bytes = events.iter().map(|(_, json)| json.len()).sum();
        self.sizes.note(Read::Joined, bytes, room.state.group);
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_as_large_as_it_can_be() {
        const WHOLE: Read = Read::State(Part::Whole);
        const LARGEST: u64 = MAX_PDU_BYTES as u64;
        let sizes = Sizes::default();
        assert_eq!(sizes.estimate(WHOLE, 20), 20 * LARGEST);
        assert_eq!(sizes.estimate(WHOLE, u64::MAX), u64::MAX);
        sizes.note(WHOLE, 3_000, 20);
        assert_eq!(sizes.estimate(WHOLE, 20), 3_000);
        assert_eq!(sizes.estimate(WHOLE, 22), 3_000 + 2 * LARGEST, "two changes since");
        assert_eq!(sizes.estimate(Read::Joined, 20), 20 * LARGEST, "something else");
        sizes.note(WHOLE, 1, 7);
        assert_eq!(sizes.estimate(WHOLE, 20), 3_000, "an older state is no news");
        sizes.note(WHOLE, 1, 30);
        assert_eq!(sizes.estimate(WHOLE, 30), 3_000, "some may read what was larger");
    }
}
