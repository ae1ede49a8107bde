//! Reading the events around an event.

use std::sync::Arc;

use ruma::api::client::filter::RoomEventFilter;
use skerry_core::{engine::StateAt, filter::Matcher};

use crate::{
    Error, Result,
    messages::{
        RawJson, Requester,
        room::{Context, Direction, GetContext},
    },
    objects::room::{
        Room, limits,
        read::{
            audience::Audience,
            scan::{Budget, passes},
            unseen,
            whole_states::{PartSpace, part_for},
        },
    },
    store::room::events::StoredEvent,
};

impl Room {
    pub(crate) async fn get_context(self: &Arc<Self>, command: GetContext) -> Result<Box<Context>> {
        let GetContext { caller, event_id, limit, filter, ignored_users } = command;
        let space = self.space_for(part_for(filter.lazy_load_options)).await?;
        let room = self.read().await?;
        let requester = Requester::User(caller);
        let view = self.view(&room, &requester).await?;
        let stored = self.stored_event(&event_id).await?;
        let stored = stored.filter(|it| it.position <= view.upto).ok_or_else(unseen)?;
        let audience = self.audience(&room, &requester, &view.timeline).ignoring(&ignored_users);
        if audience.is_kept_from(&stored) || !self.may_see(audience, &stored).await? {
            return Err(unseen());
        }
        let at = stored.position;
        let limit = limit.min(limits::PAGE_EVENTS);
        let half = |events| Budget { events, bytes: limits::PAGE_BYTES / 2 };
        let (before, after) = (half(limit / 2), half(limit - limit / 2));
        let before =
            self.scan(&room, audience, (0, at - 1), Direction::Backward, before, &filter).await?;
        let after =
            self.scan(&room, audience, (at, view.upto), Direction::Forward, after, &filter).await?;
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
        let state = self.context_state(audience, state_at, &space, &shown, &filter).await?;
        let event = self.render(audience, std::slice::from_ref(&stored)).await?;
        let searched_kib = before.searched_kib.saturating_add(after.searched_kib);
        Ok(Box::new(Context {
            start: first.saturating_sub(1),
            end: last,
            event: event
                .into_iter()
                .next()
                .ok_or_else(|| Error::internal("nothing was rendered"))?,
            events_before: self.render(audience, &before.events).await?,
            events_after: self.render(audience, &after.events).await?,
            state,
            searched_kib,
        }))
    }

    /// The state that goes with a context.
    async fn context_state(
        &self,
        audience: Audience<'_>,
        at: StateAt,
        space: &PartSpace<'_>,
        shown: &[StoredEvent],
        filter: &RoomEventFilter,
    ) -> Result<Vec<RawJson>> {
        let mut events = self.list_state(at, space).await?;
        let matcher = Matcher::of_room(filter, &self.id);
        events.retain(|it| passes(&matcher, it));
        let mut state = self.render(audience, &events).await?;
        state.extend(self.members_of_senders(audience, &at, shown, filter).await?);
        Ok(state)
    }
}
