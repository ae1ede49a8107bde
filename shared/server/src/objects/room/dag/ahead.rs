//! What the store is asked at once about events that come together, so that not each of them asks.

use std::{collections::HashSet, sync::Arc};

use ruma::{EventId, OwnedEventId};
use skerry_core::{
    Pdu,
    engine::{Incomplete, KeyId, View as _},
};

use crate::{
    Result,
    messages::room::Kind,
    objects::room::{
        Room,
        loaded::{Loaded, decided::new_event},
    },
    store::room::{gaps, pending, redactions},
};

/// What is known of the events that it was asked about. Of all others the store is asked.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    asked: HashSet<OwnedEventId>,
    /// Those for which redactions wait.
    redacted: HashSet<OwnedEventId>,
    /// Those that are missing in a gap. None: that has changed since.
    in_gaps: Option<HashSet<OwnedEventId>>,
    /// Those that wait, or for which others do. None: that has changed since.
    waiting: Option<HashSet<OwnedEventId>>,
}

impl Ahead {
    /// Whether no redaction waits for this event.
    pub(super) fn is_not_redacted(&self, event_id: &EventId) -> bool {
        self.asked.contains(event_id) && !self.redacted.contains(event_id)
    }

    /// A redaction waits for this event.
    pub(super) fn redaction_waits(&mut self, event_id: OwnedEventId) {
        self.redacted.insert(event_id);
    }

    /// Whether this event is missing in no gap.
    pub(super) fn is_in_no_gap(&self, event_id: &EventId) -> bool {
        let in_gaps = self.in_gaps.as_ref();
        self.asked.contains(event_id) && in_gaps.is_some_and(|it| !it.contains(event_id))
    }

    /// Other events are missing in gaps than before.
    pub(super) fn gaps_changed(&mut self) {
        self.in_gaps = None;
    }

    /// Whether this event does not wait, and none waits for it.
    pub(super) fn nothing_waits(&self, event_id: &EventId) -> bool {
        let waiting = self.waiting.as_ref();
        self.asked.contains(event_id) && waiting.is_some_and(|it| !it.contains(event_id))
    }

    /// One event more waits for others.
    pub(super) fn waits_changed(&mut self) {
        self.waiting = None;
    }
}

impl Room {
    /// Asks the store about events that come together, and has the engine remember what they name.
    pub(super) async fn look_ahead(
        &self,
        room: &mut Loaded,
        pdus: &[Arc<Pdu>],
        kind: Kind,
    ) -> Result<Ahead> {
        let named = |it: &'_ Arc<Pdu>| {
            it.prev_events.iter().chain(&it.auth_events).chain([&it.event_id]).cloned().collect()
        };
        let named: HashSet<OwnedEventId> =
            pdus.iter().flat_map(|it| -> Vec<_> { named(it) }).collect();
        self.load_ahead(room, named).await?;
        if kind == Kind::Outlier {
            return Ok(Ahead::default());
        }
        if pdus.len() > 1 {
            self.load_needed_state(room, pdus).await?;
        }
        let ids: Vec<_> = pdus.iter().map(|it| it.event_id.clone()).collect();
        let (sql, scope) = (self.store_of(room).await?, self.scope());
        let redacted = redactions::list_awaited(sql, scope, &ids).await?;
        let in_gaps = match room.gaps.is_empty() {
            true => Vec::new(),
            false => gaps::list_missing_of(sql, scope, &ids).await?,
        };
        let waiting = match room.pending {
            0 => Vec::new(),
            _ => pending::list_concerned(sql, scope, &ids).await?,
        };
        Ok(Ahead {
            asked: ids.into_iter().collect(),
            redacted: redacted.into_iter().collect(),
            in_gaps: Some(in_gaps.into_iter().collect()),
            waiting: Some(waiting.into_iter().collect()),
        })
    }

    /// What the current state has for the keys that authorize the events, and for their own.
    async fn load_needed_state(&self, room: &mut Loaded, pdus: &[Arc<Pdu>]) -> Result<()> {
        let mut keys = HashSet::<KeyId>::new();
        for pdu in pdus {
            let event = new_event(room, 0, pdu);
            keys.extend(event.needs.iter().copied().chain(event.key));
        }
        let current = room.state;
        let find = |room: &Loaded| {
            let missing =
                keys.iter().filter(|it| room.engine_memory.state(current, **it).is_none());
            match missing.count() {
                0 => Ok(()),
                _ => Err(Incomplete),
            }
        };
        // What is not found is asked for when it is needed.
        self.decide(room, find).await.map(|_| ())
    }
}
