//! Reading history until enough events are found that the requester may see and a filter lets
//! through.

use std::collections::{BTreeMap, BTreeSet};

use ruma::api::client::filter::RoomEventFilter;
use skerry_core::{
    engine::Num,
    filter::{self, Matcher},
    gather::Gather as _,
    pdu::MAX_PDU_BYTES,
};

use crate::{
    Result,
    messages::room::{Direction, Position},
    objects::room::{
        Room, limits,
        loaded::Loaded,
        read::{audience::Audience, found_states::FoundStates, render::content_of},
    },
    store::room::{
        events::{self, StoredEvent},
        sizes,
    },
};

/// A part of history that has been read.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The events found, in the direction of reading.
    pub(crate) events: Vec<StoredEvent>,
    /// Reading can go on from here; none: nothing is left that the requester would get.
    pub(crate) next: Option<Position>,
    /// The newest state event that was read and not taken, because the requester may not see it or
    /// the filter keeps it out.
    pub(crate) passed_over: Option<Position>,
    /// KiB of events that were looked at and are not among those found.
    pub(crate) searched_kib: u32,
}

/// How much one read of history may give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Events.
    pub(crate) events: u64,
    /// Bytes of them and of what they tell of others; a single event may have more.
    pub(crate) bytes: usize,
}

impl Room {
    /// Reads history with `after < position <= upto` until as much is found that the requester may
    /// see and the filter lets through, or enough was looked at.
    pub(crate) async fn scan(
        &self,
        room: &Loaded,
        audience: Audience<'_>,
        range: (Position, Position),
        direction: Direction,
        budget: Budget,
        filter: &RoomEventFilter,
    ) -> Result<Scan> {
        let matcher = Matcher::of_room(filter, &self.id);
        if matcher.passes_nothing() {
            return Ok(Scan::default());
        }
        let mut rest = Rest::new(range, direction);
        let mut scan = self.look_through(room, audience, &mut rest, budget, &matcher).await?;
        let given = scan.events.iter().map(|it| it.json.len()).sum();
        scan.searched_kib =
            u32::try_from(rest.looked_at.1.saturating_sub(given) / 1024).unwrap_or(u32::MAX);
        Ok(scan)
    }

    async fn look_through(
        &self,
        room: &Loaded,
        audience: Audience<'_>,
        rest: &mut Rest,
        budget: Budget,
        matcher: &Matcher<'_>,
    ) -> Result<Scan> {
        let mut scan = Scan::default();
        let wanted = usize::try_from(budget.events).unwrap_or(usize::MAX);
        let page_size = (budget.events + 1).clamp(MIN_PAGE, MAX_PAGE);
        let (mut told, mut found) = (Told::default(), FoundStates::default());
        while scan.events.len() < wanted
            && !rest.is_over()
            && !rest.is_looked_through()
            && !found.is_full()
        {
            self.read_on(room, rest, page_size).await?;
            while scan.events.len() < wanted
                && !found.is_full()
                && let Some(event) = rest.next()
            {
                if self.is_for(audience, matcher, &event, &mut found).await? {
                    scan.events.push(event);
                } else if event.state_key.is_some() {
                    scan.passed_over = scan.passed_over.max(Some(event.position));
                }
            }
            if let Some(fitting) = self.add_told(&scan.events, &mut told, budget.bytes).await? {
                scan.events.truncate(fitting);
                scan.next = scan.events.last().map(|it| behind(rest.direction, it.position));
                return Ok(scan);
            }
        }
        let next = rest.next_position();
        // Where enough was found, something else for the requester is looked for a page further.
        let mut is_left = scan.events.len() < wanted && !rest.is_over();
        let mut may_read_on = true;
        while !is_left && !rest.is_over() && !found.is_full() {
            match rest.next() {
                Some(event) => {
                    is_left = self.is_for(audience, matcher, &event, &mut found).await?;
                }
                None if may_read_on => {
                    self.read_on(room, rest, page_size).await?;
                    may_read_on = false;
                }
                None => break,
            }
        }
        scan.next = (is_left || !rest.is_over()).then_some(next);
        Ok(scan)
    }

    /// Counts the bytes of events, where they may not all fit. How many do, if not all; the first
    /// always does.
    async fn add_told(
        &self,
        events: &[StoredEvent],
        told: &mut Told,
        budget: usize,
    ) -> Result<Option<usize>> {
        let new = events.get(told.events..).unwrap_or_default();
        let others: BTreeSet<Num> = new.iter().flat_map(others_of).gather();
        let own: usize = new.iter().map(|it| it.json.len()).sum();
        if told.bytes + own + others.len().saturating_mul(MAX_PDU_BYTES) <= budget {
            return Ok(None);
        }
        let others: Vec<_> = others.into_iter().collect();
        let sizes = sizes::list(self.sql(), self.scope(), &others).await?;
        let sizes: BTreeMap<Num, usize> = sizes.into_iter().gather();
        for event in new {
            let others = others_of(event).filter_map(|it| sizes.get(&it));
            let size = event.json.len() + others.sum::<usize>();
            if told.events > 0 && told.bytes + size > budget {
                return Ok(Some(told.events));
            }
            told.events += 1;
            told.bytes += size;
        }
        Ok(None)
    }

    /// Reads the next page of what is left.
    async fn read_on(&self, room: &Loaded, rest: &mut Rest, page_size: u64) -> Result<()> {
        let page = self.page(room, rest.range, rest.direction, page_size).await?;
        rest.is_last = (page.len() as u64) < page_size;
        rest.looked_at.0 += page.len();
        rest.looked_at.1 += page.iter().map(|it| it.json.len()).sum::<usize>();
        rest.page = page.into_iter();
        Ok(())
    }

    /// Whether a filter lets an event through that the requester may see and that is not kept from
    /// them.
    async fn is_for(
        &self,
        audience: Audience<'_>,
        matcher: &Matcher<'_>,
        event: &StoredEvent,
        found: &mut FoundStates,
    ) -> Result<bool> {
        let is_wanted = !audience.is_kept_from(event) && passes(matcher, event);
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

/// How much of what a scan has found was counted.
#[derive(Debug, Default)]
struct Told {
    events: usize,
    bytes: usize,
}

/// The events that are read to tell of them where an event is told.
fn others_of(event: &StoredEvent) -> impl Iterator<Item = Num> + use<> {
    [event.replaces, event.redacted_by].into_iter().flatten()
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
    /// How many events were read, and how many bytes.
    looked_at: (usize, usize),
}

impl Rest {
    fn new(range: (Position, Position), direction: Direction) -> Self {
        Self { range, direction, page: Vec::new().into_iter(), is_last: false, looked_at: (0, 0) }
    }

    /// Whether no events are left. Positions may be: those of receipts.
    fn is_over(&self) -> bool {
        self.page.len() == 0 && (self.is_last || self.range.0 >= self.range.1)
    }

    /// Whether enough was read for one answer.
    fn is_looked_through(&self) -> bool {
        self.looked_at.0 >= limits::SCANNED_EVENTS || self.looked_at.1 >= limits::SCANNED_BYTES
    }

    /// Where reading goes on.
    fn next_position(&self) -> Position {
        match self.direction {
            Direction::Backward => self.range.1,
            Direction::Forward => self.range.0,
        }
    }

    /// The next event of those that have been read.
    fn next(&mut self) -> Option<StoredEvent> {
        let event = self.page.next()?;
        let next = behind(self.direction, event.position);
        match self.direction {
            Direction::Backward => self.range.1 = next,
            Direction::Forward => self.range.0 = next,
        }
        Some(event)
    }
}

/// Where reading goes on after the event at a position.
fn behind(direction: Direction, position: Position) -> Position {
    match direction {
        Direction::Backward => position - 1,
        Direction::Forward => position,
    }
}

/// Events in one read of a scan.
const MIN_PAGE: u64 = 8;

/// The same, at most: a client's page of a hundred, and one more to know whether something is left.
/// So many of the largest have 6 MiB.
const MAX_PAGE: u64 = 101;

/// Whether a filter lets a stored event of its room through.
pub(crate) fn passes(matcher: &Matcher<'_>, event: &StoredEvent) -> bool {
    matcher.passes(&event.event_type, Some(&event.sender), || {
        content_of(&event.json).is_ok_and(|content| filter::has_url(&content))
    })
}
