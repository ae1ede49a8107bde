//! Reading a page of history.

use std::sync::Arc;

use crate::{
    Result,
    messages::room::{Direction, GetMessages, Page},
    objects::room::{Room, limits, read::scan::Budget},
};

impl Room {
    pub(crate) async fn get_messages(self: &Arc<Self>, command: GetMessages) -> Result<Box<Page>> {
        let GetMessages { requester, from, to, direction, limit, filter } = command;
        let room = self.read().await?;
        let view = self.view(&room, &requester).await?;
        let budget = Budget { events: limit.min(limits::PAGE_EVENTS), bytes: limits::PAGE_BYTES };
        let audience = self.audience(&room, &requester, &view.timeline);
        let (start, range) = match direction {
            Direction::Backward => {
                let from = from.unwrap_or(view.upto);
                (from, (to.unwrap_or(0), from.min(view.upto)))
            }
            Direction::Forward => {
                let from = from.unwrap_or(0);
                (from, (from, to.unwrap_or(view.upto).min(view.upto)))
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
        Ok(Box::new(Page { start, end, chunk, state }))
    }
}
