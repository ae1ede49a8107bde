//! What one user may see of the room.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    UserId,
    events::room::history_visibility::{HistoryVisibility, RoomHistoryVisibilityEventContent},
};
use skerry_core::{
    engine::StateAt,
    visibility::{Access, Timeline},
};

use crate::{
    Result,
    messages::room::Position,
    objects::room::{
        Room,
        loaded::{Loaded, state_event::membership_of},
    },
    store::room::{events, members, state},
};

impl Room {
    /// The user's memberships and the history's visibilities over the life of the room.
    pub(crate) async fn timeline_of(
        &self,
        room: &Loaded,
        user_id: &UserId,
    ) -> Result<Arc<Timeline>> {
        if let Some(known) = room.memory.timeline(user_id) {
            return Ok(known);
        }
        let (sql, scope) = (self.sql(), self.scope());
        let memberships = state::history(sql, scope, "m.room.member", user_id.as_str()).await?;
        let visibilities = state::history(sql, scope, "m.room.history_visibility", "").await?;
        let membership = |(at, json): (Position, Option<String>)| {
            (at, membership_of(&json.and_then(|it| content_of(&it)).unwrap_or_default()))
        };
        let visibility = |(at, json): (Position, Option<String>)| {
            (at, visibility_of(&json.and_then(|it| content_of(&it)).unwrap_or_default()))
        };
        let timeline = Arc::new(Timeline {
            memberships: memberships.into_iter().map(membership).collect(),
            visibilities: visibilities.into_iter().map(visibility).collect(),
        });
        if !timeline.memberships.is_empty() {
            room.memory.remember_timeline(user_id, &timeline);
        }
        Ok(timeline)
    }

    /// Whether a user may see an event.
    pub(crate) async fn may_see(
        &self,
        timeline: &Timeline,
        user_id: &UserId,
        event: &events::Stored,
    ) -> Result<bool> {
        let Some(states) = event.states.filter(|_| event.is_off_current()) else {
            return Ok(timeline.may_see(event.position));
        };
        // The current state over time says nothing of it: the state at the event does.
        let keys = [
            ("m.room.history_visibility".to_owned(), String::new()),
            ("m.room.member".to_owned(), user_id.to_string()),
        ];
        for at in BTreeSet::from([states.before, states.after]) {
            let found = self.events_of(at, &keys).await?;
            let content = |event_type: &str| {
                let event = found.iter().find(|it| it.event_type == event_type);
                event.and_then(|it| content_of(&it.json)).unwrap_or_default()
            };
            let membership = membership_of(&content("m.room.member"));
            let visibility = visibility_of(&content("m.room.history_visibility"));
            if timeline.allows_in(&membership, &visibility, event.position) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How far a user may look, or the refusal that does not say whether the room exists.
    pub(crate) async fn view(&self, room: &Loaded, user_id: &UserId) -> Result<View> {
        let timeline = self.timeline_of(room, user_id).await?;
        let upto = match timeline.access() {
            Access::Member | Access::Peeker => room.head,
            Access::Former(position) => {
                if members::find_forgotten(self.sql(), self.scope(), user_id).await? {
                    return Err(Self::unknown());
                }
                position
            }
            Access::None => return Err(Self::unknown()),
        };
        let is_current = upto == room.head;
        let state = if is_current { room.state } else { StateAt { group: upto, ..room.state } };
        Ok(View { timeline, upto, state })
    }
}

/// What one user may see.
#[derive(Debug)]
pub(crate) struct View {
    /// Tells for each event.
    pub(crate) timeline: Arc<Timeline>,
    /// Nothing after this position is for them.
    pub(crate) upto: Position,
    /// The state they see.
    pub(crate) state: StateAt,
}

#[derive(serde::Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    content: &'a serde_json::value::RawValue,
}

/// The content of a stored event.
fn content_of(json: &str) -> Option<String> {
    let event: Stored<'_> = serde_json::from_str(json).ok()?;
    Some(event.content.get().to_owned())
}

/// The visibility in the content of a history visibility event; `shared` when there is none.
fn visibility_of(content: &str) -> HistoryVisibility {
    serde_json::from_str::<RoomHistoryVisibilityEventContent>(content)
        .map_or(HistoryVisibility::Shared, |it| it.history_visibility)
}
