//! Reading history until enough events are found that the requester may see and a filter lets
//! through.

use ruma::{RoomId, api::client::filter::RoomEventFilter};
use skerry_core::filter::{self, Subject};

use crate::{
    Result,
    messages::room::{Direction, Position},
    objects::room::{
        Room, limits,
        loaded::Loaded,
        read::{audience::Audience, found_states::FoundStates, render::content_of},
    },
    store::room::events::{self, StoredEvent},
};

/// A part of history that has been read.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The events found, in the direction of reading.
    pub(crate) events: Vec<StoredEvent>,
    /// Reading can go on from here; none: nothing is left that the requester would get.
    pub(crate) next: Option<Position>,
    /// The newest state event that was read and not taken, because the requester may not see it or
    /// the filter keeps it out.
    pub(crate) passed_over: Option<Position>,
}

impl Room {
    /// Reads history with `after < position <= upto` until `limit` events are found that the
    /// requester may see and the filter lets through.
    pub(crate) async fn scan(
        &self,
        room: &Loaded,
        audience: Audience<'_>,
        range: (Position, Position),
        direction: Direction,
        limit: u64,
        filter: &RoomEventFilter,
    ) -> Result<Scan> {
        let mut scan = Scan { events: Vec::new(), next: None, passed_over: None };
        if passes_nothing(filter, &self.id) {
            return Ok(scan);
        }
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let page_size = (limit + 1).clamp(MIN_PAGE, MAX_PAGE);
        let mut rest = Rest { range, direction, page: Vec::new().into_iter(), is_last: false };
        let (mut scanned, mut found) = (0, FoundStates::default());
        while scan.events.len() < wanted
            && !rest.is_over()
            && scanned < limits::SCANNED_EVENTS
            && !found.is_full()
        {
            self.read_on(room, &mut rest, page_size).await?;
            scanned += rest.page.len();
            while scan.events.len() < wanted
                && !found.is_full()
                && let Some(event) = rest.next()
            {
                if self.is_for(audience, filter, &event, &mut found).await? {
                    scan.events.push(event);
                } else if event.state_key.is_some() {
                    scan.passed_over = scan.passed_over.max(Some(event.position));
                }
            }
        }
        let next = match direction {
            Direction::Backward => rest.range.1,
            Direction::Forward => rest.range.0,
        };
        // Where enough was found, something else for the requester is looked for a page further.
        let mut is_left = scan.events.len() < wanted && !rest.is_over();
        let mut may_read_on = true;
        while !is_left && !rest.is_over() && !found.is_full() {
            match rest.next() {
                Some(event) => {
                    is_left = self.is_for(audience, filter, &event, &mut found).await?;
                }
                None if may_read_on => {
                    self.read_on(room, &mut rest, page_size).await?;
                    may_read_on = false;
                }
                None => break,
            }
        }
        scan.next = (is_left || !rest.is_over()).then_some(next);
        Ok(scan)
    }

    /// Reads the next page of what is left.
    async fn read_on(&self, room: &Loaded, rest: &mut Rest, page_size: u64) -> Result<()> {
        let page = self.page(room, rest.range, rest.direction, page_size).await?;
        rest.is_last = (page.len() as u64) < page_size;
        rest.page = page.into_iter();
        Ok(())
    }

    /// Whether a filter lets an event through that the requester may see and does not ignore.
    async fn is_for(
        &self,
        audience: Audience<'_>,
        filter: &RoomEventFilter,
        event: &StoredEvent,
        found: &mut FoundStates,
    ) -> Result<bool> {
        let is_wanted = !audience.ignores(event) && passes(filter, &self.id, event);
        Ok(is_wanted && self.may_see_by(audience, event, found).await?)
    }

    /// Events with `after < position <= upto`: from memory when it has them, else from the store.
    async fn page(
        &self,
        room: &Loaded,
        (after, upto): (Position, Position),
        direction: Direction,
        limit: u64,
    ) -> Result<Vec<StoredEvent>> {
        if direction == Direction::Backward {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            if let Some(known) = room.memory.newest((after, upto), limit) {
                return Ok(known);
            }
        }
        events::page(self.sql(), self.scope(), after, upto, direction, limit).await
    }
}

/// What a scan has not looked at yet.
struct Rest {
    /// `after < position <= upto`.
    range: (Position, Position),
    direction: Direction,
    /// What has been read of it.
    page: std::vec::IntoIter<StoredEvent>,
    /// Whether that is all.
    is_last: bool,
}

impl Rest {
    /// Whether no events are left. Positions may be: those of receipts.
    fn is_over(&self) -> bool {
        self.page.len() == 0 && (self.is_last || self.range.0 >= self.range.1)
    }

    /// The next event of those that have been read.
    fn next(&mut self) -> Option<StoredEvent> {
        let event = self.page.next()?;
        match self.direction {
            Direction::Backward => self.range.1 = event.position - 1,
            Direction::Forward => self.range.0 = event.position,
        }
        Some(event)
    }
}

/// Events in one read of a scan.
const MIN_PAGE: u64 = 8;

const MAX_PAGE: u64 = 200;

/// Whether a filter lets a stored event of this room through.
pub(crate) fn passes(filter: &RoomEventFilter, room_id: &RoomId, event: &StoredEvent) -> bool {
    // The content is read only where the filter asks for it.
    let has_url = filter.url_filter.is_some()
        && content_of(&event.json).is_ok_and(|content| filter::has_url(&content));
    let subject = Subject { event_type: &event.event_type, sender: Some(&event.sender), has_url };
    filter::passes_room_event(filter, room_id, subject)
}

/// Whether a filter lets no event of this room through, whatever it is.
fn passes_nothing(filter: &RoomEventFilter, room_id: &RoomId) -> bool {
    filter.types.as_ref().is_some_and(Vec::is_empty)
        || filter.senders.as_ref().is_some_and(Vec::is_empty)
        || !filter::passes_room(filter.rooms.as_deref(), &filter.not_rooms, room_id)
}
