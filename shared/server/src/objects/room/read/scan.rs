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
        read::{access::FoundStates, audience::Audience, render::content_of},
    },
    store::room::events::{self, StoredEvent},
};

/// A part of history that has been read.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The events found, in the direction of reading.
    pub(crate) events: Vec<StoredEvent>,
    /// Reading can go on from here; none: the end was reached.
    pub(crate) next: Option<Position>,
}

impl Room {
    /// Reads history with `after < position <= upto` until `limit` events are found that the
    /// requester may see and the filter lets through.
    pub(crate) async fn scan(
        &self,
        room: &Loaded,
        audience: Audience<'_>,
        (after, upto): (Position, Position),
        direction: Direction,
        limit: u64,
        filter: &RoomEventFilter,
    ) -> Result<Scan> {
        let (mut after, mut upto) = (after, upto);
        let mut events = Vec::new();
        let (mut scanned, mut found) = (0, FoundStates::default());
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let nothing = passes_nothing(filter, &self.id);
        while events.len() < wanted
            && after < upto
            && !nothing
            && scanned < limits::SCANNED_EVENTS
            && !found.is_full()
        {
            let page_size = (limit + 1).clamp(MIN_PAGE, MAX_PAGE);
            let page = self.page(room, (after, upto), direction, page_size).await?;
            let is_last = (page.len() as u64) < page_size;
            scanned += page.len();
            let mut page = page.into_iter();
            while events.len() < wanted
                && !found.is_full()
                && let Some(event) = page.next()
            {
                match direction {
                    Direction::Backward => upto = event.position - 1,
                    Direction::Forward => after = event.position,
                }
                if passes(filter, &self.id, &event)
                    && self.may_see_by(audience, &event, &mut found).await?
                {
                    events.push(event);
                }
            }
            // Positions that are left may be those of receipts: only events count.
            if is_last && page.len() == 0 {
                return Ok(Scan { events, next: None });
            }
        }
        let next = match direction {
            Direction::Backward => upto,
            Direction::Forward => after,
        };
        Ok(Scan { events, next: (after < upto && !nothing).then_some(next) })
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
