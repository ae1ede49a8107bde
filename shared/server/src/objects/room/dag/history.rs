//! History that comes later, and states that a peer has given because their history never comes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::OwnedEventId;
use skerry_core::{
    Pdu,
    engine::{Given, State, StateAt, Verdict},
};

use crate::{
    Error, Result,
    messages::room::GivenState,
    objects::room::{
        Room,
        dag::{ahead::Ahead, intake::GapPositions},
        limits,
        loaded::Loaded,
    },
    store::room::{
        gaps::{self, Gap},
        graph, pending,
    },
};

impl Room {
    /// The position of an event in the gap in which it is missing, if it is.
    pub(crate) async fn position_in_gap(
        &self,
        room: &Loaded,
        ahead: &Ahead,
        event_id: &ruma::EventId,
    ) -> Result<Option<(u64, Gap)>> {
        if room.gaps.is_empty() || ahead.is_in_no_gap(event_id) {
            return Ok(None);
        }
        let sql = self.store_of(room).await?;
        for named_by in gaps::list_named_by(sql, self.scope(), event_id).await? {
            let gap = room.gaps.iter().find(|it| it.gap == named_by.gap);
            if let Some(gap) = gap.filter(|it| it.next > it.after + 1) {
                return Ok(Some((gap.next - 1, *gap)));
            }
        }
        Ok(None)
    }

    /// Positions for a part of the history, in the gap that it fills. Only what the missing
    /// events lead to is given one. `events`: the oldest first.
    pub(crate) async fn gap_positions<'a>(
        &self,
        room: &Loaded,
        ahead: &Ahead,
        events: impl DoubleEndedIterator<Item = &'a Pdu>,
    ) -> Result<GapPositions> {
        let mut named: HashMap<OwnedEventId, Gap> = HashMap::new();
        let mut positions = HashMap::new();
        if room.gaps.is_empty() {
            return Ok(positions);
        }
        let mut gaps = room.gaps.clone();
        for pdu in events.rev() {
            let gap = match named.get(&pdu.event_id) {
                Some(gap) => Some(*gap),
                None => {
                    let position = self.position_in_gap(room, ahead, &pdu.event_id).await?;
                    position.map(|(_, gap)| gap)
                }
            };
            let gap = gap.and_then(|gap| gaps.iter_mut().find(|it| it.gap == gap.gap));
            let Some(gap) = gap.filter(|it| it.next > it.after + 1) else { continue };
            gap.next -= 1;
            positions.insert(pdu.event_id.clone(), (gap.next, *gap));
            named.extend(pdu.prev_events.iter().map(|id| (id.clone(), *gap)));
        }
        Ok(positions)
    }

    /// Positions for events that have come, and for those that wait for them: some of these may be
    /// missing in a gap, and what they wait for belongs there too.
    pub(crate) async fn gap_positions_with_waiting(
        &self,
        room: &Loaded,
        ahead: &Ahead,
        events: &[Arc<Pdu>],
    ) -> Result<GapPositions> {
        if room.gaps.is_empty() {
            return Ok(GapPositions::new());
        }
        let mut part = events.to_vec();
        let mut found: HashSet<_> = part.iter().map(|it| it.event_id.clone()).collect();
        let mut looked_at = 0;
        while room.pending > 0
            && found.len() < events.len() + limits::WAITING_PART
            && let Some(event_id) = part.get(looked_at).map(|it| it.event_id.clone())
        {
            looked_at += 1;
            if ahead.nothing_waits(&event_id) {
                continue;
            }
            let sql = self.store_of(room).await?;
            for (id, json) in pending::list_waiting(sql, self.scope(), &event_id).await? {
                if found.insert(id.clone()) {
                    part.push(self.to_pdu(id, json)?);
                }
            }
        }
        part.sort_by_key(|it| it.depth);
        self.gap_positions(room, ahead, part.iter().map(|it| &**it)).await
    }

    /// The states that a peer has given, or the events of them that are not here.
    pub(crate) async fn given_states(
        &self,
        room: &mut Loaded,
        states: &[GivenState],
    ) -> Result<std::result::Result<Vec<Given>, Vec<OwnedEventId>>> {
        let mut given = Vec::with_capacity(states.len());
        let sql = self.store_of(room).await?;
        for it in states {
            let mut entries = HashMap::with_capacity(it.state.len());
            let mut known = HashSet::new();
            for page in it.state.chunks(limits::ENGINE_PAGE) {
                let found = graph::find_nums(sql, self.scope(), page).await?;
                known.extend(found.into_iter().map(|(event_id, _)| event_id));
                for (num, key, verdict) in graph::find_keys(sql, self.scope(), page).await? {
                    if verdict != Verdict::Rejected {
                        let key = room.engine_memory.keys.intern(&key.0, &key.1);
                        if entries.insert(key, num).is_some() {
                            return Err(Error::invalid_param("a state has two events for a key"));
                        }
                    }
                }
            }
            let missing: Vec<_> =
                it.state.iter().filter(|id| !known.contains(*id)).cloned().collect();
            if !missing.is_empty() {
                return Ok(Err(missing));
            }
            let mut state = State::from(room.state);
            let current: StateAt = room.state;
            for (key, num) in graph::list_entries(sql, self.scope(), current).await? {
                let key = room.engine_memory.keys.intern(&key.0, &key.1);
                match entries.remove(&key) {
                    Some(same) if same == num => {}
                    other => {
                        state.changes.insert(key, other);
                    }
                }
            }
            state.changes.extend(entries.into_iter().map(|(key, num)| (key, Some(num))));
            for it in room.engine_memory.unverified() {
                state.changes.entry(it.key).or_insert(None);
            }
            let (before, is_hearsay) = (it.before.clone(), it.is_hearsay);
            given.push(Given { before, state, is_hearsay });
        }
        Ok(Ok(given))
    }
}
