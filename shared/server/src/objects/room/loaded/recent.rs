//! The newest events of a room, so that most reads of what is new need no store.

use std::collections::VecDeque;

use crate::{
    messages::room::Position,
    objects::{held::Held, room::limits},
    store::room::{events::StoredEvent, unread::Unread},
};

/// What an event takes beside its JSON, in bytes: about, and rather more.
const EVENT_BYTES: usize = 800;

/// An event, and what it is to those who have not read it.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    pub(crate) stored: StoredEvent,
    pub(crate) unread: Unread,
}

impl Recent {
    fn bytes(&self) -> usize {
        EVENT_BYTES + self.stored.json.len()
    }
}

/// Every event after a position.
#[derive(Debug)]
pub(super) struct RecentEvents {
    /// Oldest first.
    events: VecDeque<Recent>,
    held: Held,
    complete_after: Position,
}

impl RecentEvents {
    /// None of those that stand at or before `head`.
    pub(super) fn after(head: Position) -> Self {
        Self { events: VecDeque::new(), held: Held::of(&limits::ROOMS), complete_after: head }
    }

    /// The room has a new newest event.
    pub(super) fn append(&mut self, event: Recent) {
        self.held.grow(event.bytes());
        self.events.push_back(event);
        while self.events.len() > limits::RECENT_EVENTS
            || self.held.exceeds(limits::RECENT_EVENTS_BYTES)
        {
            let Some(oldest) = self.events.pop_front() else { break };
            self.held.shrink(oldest.bytes());
            self.complete_after = oldest.stored.position;
        }
    }

    /// Forgets all, up to the newest.
    pub(super) fn forget(&mut self, head: Position) {
        *self = Self::after(head);
    }

    /// The newest events with `after < position <= upto`, newest first, when `limit` of them are
    /// here, or all.
    pub(super) fn newest(
        &self,
        (after, upto): (Position, Position),
        limit: usize,
    ) -> Option<Vec<StoredEvent>> {
        let last = self.events.partition_point(|it| it.stored.position <= upto);
        let first = self.events.partition_point(|it| it.stored.position <= after);
        let is_whole = after >= self.complete_after;
        if !is_whole && last.saturating_sub(first) < limit {
            return None;
        }
        let newest = self.events.range(first..last.max(first)).rev().take(limit);
        Some(newest.map(|it| it.stored.clone()).collect())
    }

    /// Every event after a position, oldest first, when they are all here.
    pub(super) fn list_after<T>(
        &self,
        after: Position,
        take: impl Fn(&Recent) -> Option<T>,
    ) -> Option<Vec<T>> {
        if after < self.complete_after {
            return None;
        }
        let first = self.events.partition_point(|it| it.stored.position <= after);
        Some(self.events.iter().skip(first).filter_map(take).collect())
    }
}

#[cfg(test)]
mod tests {
    use ruma::EventId;

    use super::*;

    fn recent(position: Position) -> Recent {
        let stored = StoredEvent {
            num: position,
            position,
            states: None,
            event_id: EventId::parse("$event").unwrap(),
            event_type: "m.room.message".into(),
            state_key: None,
            sender: "@a:b".into(),
            json: "{}".into(),
            auth_content: None,
            redacted_by: None,
            replaces: None,
            sent_by: None,
        };
        let unread =
            Unread { position, sender: "@a:b".into(), notifies: 1, mentions: None, thread: None };
        Recent { stored, unread }
    }

    fn positions(events: &RecentEvents, after: Position) -> Option<Vec<Position>> {
        events.list_after(after, |it| Some(it.stored.position))
    }

    #[test]
    fn it_answers_only_for_what_it_has_whole() {
        let mut events = RecentEvents::after(10);
        assert_eq!(positions(&events, 9), None, "an event at 10 was never seen");
        assert_eq!(positions(&events, 10), Some(vec![]));
        events.append(recent(12));
        assert_eq!(positions(&events, 10), Some(vec![12]));
        assert_eq!(positions(&events, 12), Some(vec![]));
        for position in 13..13 + limits::RECENT_EVENTS as u64 {
            events.append(recent(position));
        }
        assert_eq!(positions(&events, 11), None, "12 was dropped");
        assert_eq!(positions(&events, 12).unwrap().len(), limits::RECENT_EVENTS);
        let newest = |after, upto, limit| {
            let found = events.newest((after, upto), limit)?;
            Some(found.iter().map(|it| it.position).collect::<Vec<_>>())
        };
        assert_eq!(newest(0, 20, 3), Some(vec![20, 19, 18]), "enough of them are there");
        assert_eq!(newest(0, 14, 3), None, "12 was dropped");
        assert_eq!(newest(12, 14, 3), Some(vec![14, 13]), "there are no more");
        assert_eq!(newest(14, 14, 3), Some(vec![]));
        events.forget(50);
        assert_eq!(positions(&events, 49), None);
        assert!(events.newest((0, 60), 1).is_none());
    }

    #[test]
    fn they_are_remembered_in_bytes_too() {
        const BYTES: usize = limits::RECENT_EVENTS_BYTES.most;
        let mut events = RecentEvents::after(0);
        let large = |position, bytes| {
            let mut event = recent(position);
            event.stored.json = "x".repeat(bytes);
            event
        };
        for position in 1..=3 {
            events.append(large(position, BYTES / 2 - EVENT_BYTES));
        }
        assert_eq!(positions(&events, 0), None);
        assert_eq!(positions(&events, 1), Some(vec![2, 3]));
        events.append(large(4, BYTES));
        assert_eq!(positions(&events, 3), None);
        assert_eq!(positions(&events, 4), Some(vec![]), "it is not remembered");
        events.append(recent(5));
        assert_eq!(positions(&events, 4), Some(vec![5]));
    }
}
