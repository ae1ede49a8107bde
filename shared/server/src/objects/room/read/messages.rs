//! Reading a page of history.

use std::{collections::HashSet, sync::Arc};

use crate::{
    Result,
    messages::{
        Requester,
        room::{Direction, GetMessages, Page, Position},
    },
    objects::room::{Room, fetch::Filled, limits, loaded::Loaded, read::scan::Budget},
    store::room::{gaps::Gap, stored_us},
};

impl Room {
    /// A page of history. Where it gets to what is not here, other servers are asked for that: what
    /// comes is on the page. What nobody has is passed over.
    pub(crate) async fn get_messages(self: &Arc<Self>, command: GetMessages) -> Result<Box<Page>> {
        let mut passed_over = HashSet::new();
        for _ in 0..limits::BACKFILLS_A_PAGE {
            let (page, gap) = self.read_page(&command, &passed_over).await?;
            let Some(gap) = gap else { return Ok(page) };
            match self.backfill(gap).await {
                Filled::Partly => {}
                Filled::Nothing => {
                    passed_over.insert(gap.gap);
                }
                Filled::Late => return Ok(page),
            }
        }
        self.read_page(&command, &passed_over).await.map(|(page, _)| page)
    }

    /// What is here of a page of history, and the gap at which it ends. `passed_over`: gaps at
    /// which it does not.
    async fn read_page(
        self: &Arc<Self>,
        command: &GetMessages,
        passed_over: &HashSet<Position>,
    ) -> Result<(Box<Page>, Option<Gap>)> {
        let GetMessages { requester, from, to, direction, limit, filter, ignored_users } = command;
        let room = self.read().await?;
        let view = self.view(&room, requester).await?;
        let budget =
            Budget { events: (*limit).min(limits::PAGE_EVENTS), bytes: limits::PAGE_BYTES };
        let audience = self.audience(&room, requester, &view.timeline).ignoring(ignored_users);
        // How far the room has got is not told who may see less of it.
        let within = |position: Option<Position>| position.map(|it| it.min(view.upto));
        let (start, range) = match direction {
            Direction::Backward => {
                let from = within(*from).unwrap_or(view.upto);
                (from, (to.unwrap_or(0), from))
            }
            Direction::Forward => {
                let from = within(*from).unwrap_or(0);
                (from, (from, within(*to).unwrap_or(view.upto)))
            }
        };
        let gap = match (direction, requester) {
            (Direction::Backward, Requester::User(_)) => gap_within(&room, range, passed_over),
            _ => None,
        };
        let gap = gap.filter(|it| view.timeline.may_see(it.next - 1));
        let upto_gap = gap.map_or(range, |gap| (range.0.max(gap.next - 1).min(range.1), range.1));
        let scan = self.scan(&room, audience, upto_gap, *direction, budget, filter).await?;
        let gap = gap.filter(|_| scan.next.is_none());
        let state = self.members_of_senders(audience, &view.state, &scan.events, filter).await?;
        let end = match (scan.next, gap, direction) {
            // New events may come at the end of a room that is read forward.
            (None, _, Direction::Forward) => scan.events.last().map(|it| it.position),
            (None, Some(gap), Direction::Backward) => Some(start.min(gap.next - 1)),
            (next, ..) => next,
        };
        let chunk = self.render(audience, &scan.events).await?;
        let has_room = (scan.events.len() as u64) < budget.events;
        let searched_kib = scan.searched_kib;
        let page = Page { start, end, chunk, state, searched_kib };
        Ok((Box::new(page), gap.filter(|_| has_room)))
    }

    /// Where the room was at an instant.
    pub(crate) async fn position_before(self: &Arc<Self>, instant_us: u64) -> Result<Position> {
        // Between two batches, and where the room exists.
        let _room = self.read().await?;
        stored_us::find_position_before(self.sql(), self.scope(), instant_us).await
    }
}

/// The first gap that who reads back through `after < position <= upto` gets to.
fn gap_within(
    room: &Loaded,
    (after, upto): (Position, Position),
    passed_over: &HashSet<Position>,
) -> Option<Gap> {
    // The newest comes first.
    let mut gaps = room.gaps.iter();
    let is_within = |it: &&Gap| it.after < upto && after + 1 < it.next;
    gaps.find(|it| is_within(it) && !passed_over.contains(&it.gap)).copied()
}
