//! Reading the events around an event.

use std::sync::Arc;

use ruma::api::client::filter::{LazyLoadOptions, RoomEventFilter};
use skerry_core::engine::StateAt;

use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{Context, Direction, GetContext},
    },
    objects::room::{
        Room, limits,
        read::{requester::Asker, scan::passes, unseen},
    },
    store::room::{
        events::Stored,
        state::{self, Part},
    },
};

impl Room {
    pub(crate) async fn get_context(self: &Arc<Self>, command: GetContext) -> Result<Box<Context>> {
        let GetContext { caller, event_id, limit, filter } = command;
        let room = self.read().await?;
        let view = self.view(&room, &caller.user_id).await?;
        let stored = self.stored_event(&event_id).await?;
        let stored = stored.filter(|it| it.position <= view.upto).ok_or_else(unseen)?;
        if !self.may_see(&view.timeline, &caller.user_id, &stored).await? {
            return Err(unseen());
        }
        let asker = self.asker(&room, &caller, &view.timeline);
        let at = stored.position;
        let limit = limit.min(limits::PAGE_EVENTS);
        let (before, after) = (limit / 2, limit - limit / 2);
        let before =
            self.scan(&room, asker, (0, at - 1), Direction::Backward, before, &filter).await?;
        let after =
            self.scan(&room, asker, (at, view.upto), Direction::Forward, after, &filter).await?;
        let last = after.events.last().map_or(at, |it| it.position);
        let first = before.events.last().map_or(at, |it| it.position);
        let shown: Vec<_> = before
            .events
            .iter()
            .chain(std::iter::once(&stored))
            .chain(&after.events)
            .cloned()
            .collect();
        let state_at = StateAt { group: last.min(view.state.group), ..view.state };
        let state = self.context_state(asker, state_at, &shown, &filter).await?;
        let event = self.serve(asker, std::slice::from_ref(&stored)).await?;
        Ok(Box::new(Context {
            start: first.saturating_sub(1),
            end: last,
            event: event.into_iter().next().ok_or_else(|| Error::internal("nothing served"))?,
            events_before: self.serve(asker, &before.events).await?,
            events_after: self.serve(asker, &after.events).await?,
            state,
        }))
    }

    /// The state that goes with a context.
    async fn context_state(
        &self,
        asker: Asker<'_>,
        at: StateAt,
        shown: &[Stored],
        filter: &RoomEventFilter,
    ) -> Result<Vec<RawJson>> {
        let lazy = matches!(filter.lazy_load_options, LazyLoadOptions::Enabled { .. });
        let part = if lazy { Part::WithoutMembers } else { Part::Whole };
        let mut events = state::list(self.sql(), self.scope(), at, part).await?;
        events.retain(|it| passes(filter, &self.id, it));
        let mut state = self.serve(asker, &events).await?;
        state.extend(self.members_of_senders(asker, &at, shown, filter).await?);
        Ok(state)
    }
}
