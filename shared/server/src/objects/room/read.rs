//! Reading events, state, members and history.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{
    EventId, OwnedUserId, UserId,
    api::client::filter::{LazyLoadOptions, RoomEventFilter},
    events::{
        StateEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};
use serde_json::Value as JsonValue;

use skerry_core::{
    authorize::StateKey,
    engine::StateAt,
    visibility::{Access, Timeline},
};

use super::{
    Room, limits,
    load::{Loaded, membership_of},
    serve::{Asker, content_of, passes},
};
use crate::{
    Error, Result,
    messages::{
        Caller, RawJson,
        room::{
            Action, Context, Direction, GetContext, GetMembers, GetMessages, GetStateEvent, Page,
            PublicInfo, RoomProfile,
        },
    },
    store::room::{
        events::{self, Stored},
        members,
        state::{self, Part},
    },
};

impl Room {
    /// Who reads one room by its own endpoints: events name their room.
    fn asker<'a>(&'a self, room: &Loaded, caller: &'a Caller, timeline: &'a Timeline) -> Asker<'a> {
        Asker {
            caller,
            timeline,
            federation_format: false,
            redacts_in_content: room.rules.redaction.content_field_redacts,
            room_id: Some(&self.id),
        }
    }

    pub(super) async fn get_event(
        self: &Arc<Self>,
        caller: &Caller,
        event_id: &EventId,
    ) -> Result<RawJson> {
        let room = self.read().await?;
        // One event is shown to whom its own visibility allows, member or not.
        let timeline = self.timeline_of(&room, &caller.user_id).await?;
        let upto = match timeline.access() {
            Access::Former(_) => self.view(&room, &caller.user_id).await?.upto,
            _ => room.head,
        };
        let stored = self.stored_event(event_id).await?;
        let stored = stored.filter(|it| it.position <= upto).ok_or_else(unseen)?;
        if !self.may_see(&timeline, &caller.user_id, &stored).await? {
            return Err(unseen());
        }
        let asker = self.asker(&room, caller, &timeline);
        one(self.serve(asker, std::slice::from_ref(&stored)).await?)
    }

    pub(super) async fn get_state(self: &Arc<Self>, caller: &Caller) -> Result<Vec<RawJson>> {
        let room = self.read().await?;
        let view = self.view(&room, &caller.user_id).await?;
        let events = state::list(self.sql(), self.scope(), view.state, Part::Whole).await?;
        let asker = self.asker(&room, caller, &view.timeline);
        self.serve(asker, &events).await
    }

    pub(super) async fn get_state_event(
        self: &Arc<Self>,
        command: GetStateEvent,
    ) -> Result<RawJson> {
        let GetStateEvent { caller, event_type, state_key } = command;
        let room = self.read().await?;
        let view = self.view(&room, &caller.user_id).await?;
        let keys = [(event_type, state_key)];
        let events = self.events_of(view.state, &keys).await?;
        let asker = self.asker(&room, &caller, &view.timeline);
        one(self.serve(asker, &events).await?)
    }

    pub(super) async fn get_members(self: &Arc<Self>, command: GetMembers) -> Result<Vec<RawJson>> {
        let GetMembers { caller, at, membership, not_membership } = command;
        let room = self.read().await?;
        let view = self.view(&room, &caller.user_id).await?;
        let group = at.map_or(view.state.group, |at| at.min(view.state.group));
        let at = StateAt { group, ..view.state };
        let mut events = state::list(self.sql(), self.scope(), at, Part::Members).await?;
        if membership.is_some() || not_membership.is_some() {
            events.retain(|it| {
                let is = content_of(&it.json).map(|it| membership_of(it.get()));
                // Both together are an "or" condition, says the specification.
                is.is_ok_and(|is| {
                    membership.as_ref().is_some_and(|it| *it == is)
                        || not_membership.as_ref().is_some_and(|it| *it != is)
                })
            });
        }
        let asker = self.asker(&room, &caller, &view.timeline);
        self.serve(asker, &events).await
    }

    pub(super) async fn get_joined_members(
        self: &Arc<Self>,
        caller: &Caller,
    ) -> Result<BTreeMap<OwnedUserId, RoomProfile>> {
        let room = self.read().await?;
        self.check_joined(&room, &caller.user_id).await?;
        let mut joined = BTreeMap::new();
        for (user_id, json) in members::list_joined_events(self.sql(), self.scope()).await? {
            let content: JsonValue = serde_json::from_str(content_of(&json)?.get())?;
            let text = |name: &str| content.get(name)?.as_str().map(str::to_owned);
            let profile =
                RoomProfile { displayname: text("displayname"), avatar_url: text("avatar_url") };
            joined.insert(user_id, profile);
        }
        Ok(joined)
    }

    pub(super) async fn get_messages(self: &Arc<Self>, command: GetMessages) -> Result<Box<Page>> {
        let GetMessages { caller, from, to, direction, limit, filter } = command;
        let room = self.read().await?;
        let view = self.view(&room, &caller.user_id).await?;
        let limit = limit.min(limits::PAGE_EVENTS);
        let asker = self.asker(&room, &caller, &view.timeline);
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
        let scan = self.scan(&room, asker, range, direction, limit, &filter).await?;
        let state = self.members_of_senders(asker, &view.state, &scan.events, &filter).await?;
        let end = match (scan.next, direction) {
            // New events may come at the end of a room that is read forward.
            (None, Direction::Forward) => scan.events.last().map(|it| it.position),
            (next, _) => next,
        };
        let chunk = self.serve(asker, &scan.events).await?;
        Ok(Box::new(Page { start, end, chunk, state }))
    }

    pub(super) async fn get_context(self: &Arc<Self>, command: GetContext) -> Result<Box<Context>> {
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

    /// The events of these keys of a state.
    pub(super) async fn events_of(&self, at: StateAt, keys: &[StateKey]) -> Result<Vec<Stored>> {
        let found = state::find(self.sql(), self.scope(), at, keys).await?;
        let positions: Vec<_> = found.into_iter().map(|(_, at)| at).collect();
        events::list(self.sql(), self.scope(), &positions).await
    }

    /// Membership events of the senders of events, when members are lazy-loaded.
    async fn members_of_senders(
        &self,
        asker: Asker<'_>,
        at: &StateAt,
        events: &[Stored],
        filter: &RoomEventFilter,
    ) -> Result<Vec<RawJson>> {
        if !matches!(filter.lazy_load_options, LazyLoadOptions::Enabled { .. }) {
            return Ok(Vec::new());
        }
        let senders: BTreeSet<_> = events.iter().map(|it| it.sender.clone()).collect();
        let keys: Vec<_> = senders.into_iter().map(|it| ("m.room.member".to_owned(), it)).collect();
        let events = self.events_of(*at, &keys).await?;
        self.serve(asker, &events).await
    }

    pub(super) async fn get_public_info(self: &Arc<Self>) -> Result<Box<PublicInfo>> {
        let room = self.read().await?;
        let keys: Vec<_> =
            PUBLIC_STATE.iter().map(|it| ((*it).to_owned(), String::new())).collect();
        let events = self.state_events(&room, &keys).await?;
        let text = |event_type: &str, field: &str| -> Option<String> {
            let (_, (_, event)) = events.iter().find(|(key, _)| key.0 == event_type)?;
            let content: JsonValue = serde_json::from_str(event.content.get()).ok()?;
            content.get(field)?.as_str().filter(|it| !it.is_empty()).map(str::to_owned)
        };
        let visibility = text("m.room.history_visibility", "history_visibility");
        Ok(Box::new(PublicInfo {
            name: text("m.room.name", "name"),
            topic: text("m.room.topic", "topic"),
            avatar_url: text("m.room.avatar", "url"),
            canonical_alias: text("m.room.canonical_alias", "alias")
                .and_then(|it| it.try_into().ok()),
            joined_members: room.joined,
            join_rule: text("m.room.join_rules", "join_rule").unwrap_or_else(|| "invite".into()),
            world_readable: visibility.as_deref()
                == Some(HistoryVisibility::WorldReadable.as_str()),
            guest_can_join: text("m.room.guest_access", "guest_access").as_deref()
                == Some("can_join"),
            room_type: text("m.room.create", "type"),
            room_version: room.version.to_string(),
            encryption: text("m.room.encryption", "algorithm"),
            position: room.head,
        }))
    }

    pub(super) async fn check_may(
        self: &Arc<Self>,
        user_id: &UserId,
        action: Action,
    ) -> Result<()> {
        let room = self.read().await?;
        match action {
            Action::BeJoined => self.check_joined(&room, user_id).await?,
            Action::ReadAliases => {
                let timeline = self.timeline_of(&room, user_id).await?;
                if timeline.membership() != MembershipState::Join && !timeline.is_world_readable() {
                    return Err(Self::unknown());
                }
            }
            Action::ChangeDirectory | Action::RemoveAlias => {
                self.check_joined(&room, user_id).await?;
                let power = self.power_levels(&room).await?;
                if !power.user_can_send_state(user_id, StateEventType::RoomCanonicalAlias) {
                    return Err(Error::forbidden(
                        "you lack the power to change the room's aliases",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// State events that a directory shows something of.
const PUBLIC_STATE: [&str; 9] = [
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.create",
    "m.room.encryption",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.name",
    "m.room.topic",
];

fn unseen() -> Error {
    Error::not_found("there is no such event that you may see")
}

/// The only event, or "not found".
fn one(events: Vec<RawJson>) -> Result<RawJson> {
    let event = events.into_iter().next();
    let event = event.ok_or_else(|| Error::not_found("the room has no such state"))?;
    Ok(event)
}
