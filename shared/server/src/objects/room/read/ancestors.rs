//! Reading the events that others build on, as far as another server wants them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use ruma::OwnedEventId;
use serde::Deserialize;
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{gather::Gather as _, redact::redacted};

use crate::{
    Error, Result,
    messages::{
        RawJson, Requester,
        room::{Direction, GetAncestors, Position},
    },
    objects::room::{Room, limits, read::found_states::FoundStates},
    store::room::{
        events::{self, StoredEvent},
        served,
    },
};

/// What of an event says how it builds on others.
struct Links {
    prev_events: Vec<OwnedEventId>,
    depth: u64,
}

impl Room {
    /// The events that others build on, the newest first.
    pub(crate) async fn get_ancestors(
        self: &Arc<Self>,
        question: GetAncestors,
    ) -> Result<Vec<RawJson>> {
        let GetAncestors { server, from, with_first, known, min_depth, limit } = question;
        let room = self.read().await?;
        let requester = Requester::Server(server);
        let view = self.view(&room, &requester).await?;
        let audience = self.audience(&room, &requester, &view.timeline);
        let limit = usize::try_from(limit.min(limits::ANCESTORS)).unwrap_or(usize::MAX);
        let mut walk = Walk::new(from, known, room.rules.event_format.require_event_id);
        let mut skipped = if with_first { 0 } else { walk.wanted.len() };
        let (mut pdus, mut bytes, mut found) = (Vec::new(), 0, FoundStates::default());
        while pdus.len() < limit && bytes < limits::PAGE_BYTES && !found.is_full() {
            self.find_wanted(&mut walk).await?;
            let Some((event, depth)) = walk.next() else { break };
            if skipped > 0 {
                skipped -= 1;
                continue;
            }
            if event.position > view.upto || depth < min_depth {
                continue;
            }
            let pdu = match self.may_see_by(audience, &event, &mut found).await? {
                true => event.json,
                false => redacted(&event.json, &room.rules.redaction).map_err(Error::internal)?,
            };
            bytes += pdu.len();
            pdus.push(RawJsonValue::from_string(pdu)?);
        }
        Ok(pdus)
    }

    /// Finds the events that are wanted next. Those that stand right before each other, as most do,
    /// are read in one go.
    async fn find_wanted(&self, walk: &mut Walk) -> Result<()> {
        let (sql, scope) = (self.sql(), self.scope());
        let missing = walk.take_at_hand()?;
        if missing.is_empty() {
            return Ok(());
        }
        for event in served::list(sql, scope, &missing).await? {
            let upto = event.position.saturating_sub(1);
            let page = events::page(sql, scope, 0, upto, Direction::Backward, READ_AHEAD).await?;
            walk.at_hand.extend(page.into_iter().map(|it| (it.event_id.clone(), it)));
            walk.add(event)?;
        }
        Ok(())
    }
}

/// Events that are read beside one that is wanted.
const READ_AHEAD: u64 = 50;

/// A walk from events to those before them.
struct Walk {
    /// Events that were found and not yet given, by their positions.
    found: BTreeMap<Position, (StoredEvent, u64)>,
    /// IDs of events that are still to be found.
    wanted: BTreeSet<OwnedEventId>,
    /// What has been wanted, and what is not to be.
    seen: HashSet<OwnedEventId>,
    /// Events that were read and may be wanted.
    at_hand: HashMap<OwnedEventId, StoredEvent>,
    /// References to events are pairs.
    has_pairs: bool,
}

impl Walk {
    fn new(from: Vec<OwnedEventId>, known: Vec<OwnedEventId>, has_pairs: bool) -> Self {
        let wanted: BTreeSet<_> = from.into_iter().take(limits::ANCESTORS_FROM).gather();
        let seen = known.into_iter().chain(wanted.iter().cloned()).collect();
        Self { found: BTreeMap::new(), wanted, seen, at_hand: HashMap::new(), has_pairs }
    }

    /// Takes what is wanted and has been read; gives the rest of it.
    fn take_at_hand(&mut self) -> Result<Vec<OwnedEventId>> {
        let mut missing = Vec::new();
        for event_id in std::mem::take(&mut self.wanted) {
            match self.at_hand.remove(&event_id) {
                Some(event) => self.add(event)?,
                None => missing.push(event_id),
            }
        }
        Ok(missing)
    }

    fn add(&mut self, event: StoredEvent) -> Result<()> {
        let links = links(&event.json, self.has_pairs)?;
        for event_id in links.prev_events {
            if self.seen.insert(event_id.clone()) {
                self.wanted.insert(event_id);
            }
        }
        self.found.insert(event.position, (event, links.depth));
        Ok(())
    }

    /// The newest event that was found.
    fn next(&mut self) -> Option<(StoredEvent, u64)> {
        self.found.pop_last().map(|(_, it)| it)
    }
}

fn links(json: &str, has_pairs: bool) -> Result<Links> {
    #[derive(Deserialize)]
    struct Event<T> {
        prev_events: Vec<T>,
        #[serde(default)]
        depth: u64,
    }
    if has_pairs {
        let event: Event<(OwnedEventId, serde::de::IgnoredAny)> = serde_json::from_str(json)?;
        let prev_events = event.prev_events.into_iter().map(|(id, _)| id).collect();
        return Ok(Links { prev_events, depth: event.depth });
    }
    let Event { prev_events, depth } = serde_json::from_str(json)?;
    Ok(Links { prev_events, depth })
}
