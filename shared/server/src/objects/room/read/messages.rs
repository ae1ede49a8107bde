//! Reading a page of history.

use std::sync::Arc;

use crate::{
    Result,
    messages::room::{Direction, GetMessages, Page, Position},
    objects::room::{Room, limits, read::scan::Budget},
    store::room::stored_us,
};

impl Room {
    pub(crate) async fn get_messages(self: &Arc<Self>, command: GetMessages) -> Result<Box<Page>> {
        let GetMessages { requester, from, to, direction, limit, filter, ignored_users } = command;
        let room = self.read().await?;
        let view = self.view(&room, &requester).await?;
        let budget = Budget { events: limit.min(limits::PAGE_EVENTS), bytes: limits::PAGE_BYTES };
        let audience = self.audience(&room, &requester, &view.timeline).ignoring(&ignored_users);
        // How far the room has got is not told who may see less of it.
        let within = |position: Option<Position>| position.map(|it| it.min(view.upto));
        let (start, range) = match direction {
            Direction::Backward => {
                let from = within(from).unwrap_or(view.upto);
                (from, (to.unwrap_or(0), from))
            }
            Direction::Forward => {
                let from = within(from).unwrap_or(0);
                (from, (from, within(to).unwrap_or(view.upto)))
            }
        };
        let scan = self.scan(&room, audience, range, direction, budget, &filter).await?;
        let state = self.members_of_senders(audience, &view.state, &scan.events, &filter).await?;
        let end = match (scan.next, direction) {
            // New events may come at the end of a room that is read forward.
            (None, Direction::Forward) => scan.events.last().map(|it| it.position),
            (next, _) => next,
        };
        let chunk = self.render(audience, &scan.events).await?;
        Ok(Box::new(Page { start, end, chunk, state, searched_kib: scan.searched_kib }))
    }

    /// Where the room was at an instant.
    pub(crate) async fn position_before(self: &Arc<Self>, instant_us: u64) -> Result<Position> {
        // Between two batches, and where the room exists.
        let _room = self.read().await?;
        stored_us::find_position_before(self.sql(), self.scope(), instant_us).await
    }
}
