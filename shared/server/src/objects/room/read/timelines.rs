//! What users and servers were in the room over its life, and how visible its history was.

use std::sync::Arc;

use ruma::{
    ServerName, UserId,
    events::room::{
        history_visibility::{HistoryVisibility, RoomHistoryVisibilityEventContent},
        member::MembershipState,
    },
};
use skerry_core::visibility::{ServerTimeline, Timeline};

use crate::{
    Result,
    messages::room::Position,
    objects::room::{
        Room, limits,
        loaded::{Loaded, state_event::membership_of},
        read::render::content_of,
    },
    store::room::state,
};

impl Room {
    /// The user's memberships and the history's visibilities over the life of the room.
    pub(crate) async fn timeline_of_user(
        &self,
        room: &Loaded,
        user_id: &UserId,
    ) -> Result<Arc<Timeline>> {
        if let Some(known) = room.memory.timeline(user_id) {
            return Ok(known);
        }
        let key = ("m.room.member", user_id.as_str());
        let (memberships, _) = self.changes(key, "$.content.membership").await?;
        let membership = |word: Option<String>| word.map_or(MembershipState::Leave, Into::into);
        let timeline = Arc::new(Timeline {
            memberships: memberships.into_iter().map(|(at, it)| (at, membership(it))).collect(),
            visibilities: self.visibilities(room).await?,
        });
        if !timeline.memberships.is_empty() {
            room.memory.remember_timeline(user_id, &timeline);
        }
        Ok(timeline)
    }

    /// The same for the users of a server, taken together. What memory has of it is never wrong,
    /// only short: what came since is read and added.
    pub(crate) async fn timeline_of_server(
        &self,
        room: &Loaded,
        server: &ServerName,
    ) -> Result<Arc<Timeline>> {
        let known = room.memory.server_timeline(server);
        if let Some(known) = known.as_ref().filter(|it| it.upto >= room.state.group) {
            return Ok(Arc::clone(&known.timeline));
        }
        let (sql, scope) = (self.sql(), self.scope());
        let turns = match &known {
            Some(known) => {
                let from = (known.upto, known.present);
                state::list_present_after(sql, scope, server, from).await?
            }
            None => state::list_present(sql, scope, server).await?,
        };
        let mut timeline = known.map_or_else(ServerTimeline::default, Arc::unwrap_or_clone);
        for (position, present) in turns {
            timeline.record(position, present);
        }
        timeline.upto = room.state.group;
        Arc::make_mut(&mut timeline.timeline).visibilities = self.visibilities(room).await?;
        let timeline = Arc::new(timeline);
        // Whoever was never here shall not drive out others.
        if !timeline.timeline.memberships.is_empty() {
            room.memory.remember_server_timeline(server, &timeline);
        }
        Ok(Arc::clone(&timeline.timeline))
    }

    /// The history's visibilities over the life of the room.
    async fn visibilities(&self, room: &Loaded) -> Result<Arc<[(Position, HistoryVisibility)]>> {
        if let Some(known) = room.memory.visibilities() {
            return Ok(known);
        }
        let key = ("m.room.history_visibility", "");
        let (changes, is_whole) = self.changes(key, "$.content.history_visibility").await?;
        let visibility = |word: Option<String>| word.map_or(HistoryVisibility::Shared, Into::into);
        let oldest = (!is_whole).then_some((0, HistoryVisibility::Joined));
        let changes = changes.into_iter().map(|(at, word)| (at, visibility(word)));
        let visibilities: Arc<[_]> = oldest.into_iter().chain(changes).collect();
        room.memory.remember_visibilities(&visibilities);
        Ok(visibilities)
    }

    /// What a word of a piece of the current state has been, oldest first, each with the position
    /// from which on; and whether these are all. A room may have had any number of them: what is
    /// read does not grow with it.
    async fn changes(
        &self,
        key: (&str, &str),
        path: &'static str,
    ) -> Result<(Vec<(Position, Option<String>)>, bool)> {
        let limit = limits::TIMELINE_CHANGES;
        let (sql, scope) = (self.sql(), self.scope());
        let mut changes = state::list_newest(sql, scope, key, path, limit as u64).await?;
        let is_whole = changes.len() < limit;
        changes.reverse();
        // A membership is also repeated with another name.
        changes.dedup_by(|later, earlier| later.1 == earlier.1);
        Ok((changes, is_whole))
    }
}

/// The membership in a stored membership event.
pub(crate) fn membership_in(json: &str) -> MembershipState {
    content_of(json).map_or(MembershipState::Leave, |it| membership_of(it.get()))
}

/// The visibility in a stored history visibility event; `shared` when there is none.
pub(crate) fn visibility_in(json: &str) -> HistoryVisibility {
    content_of(json)
        .ok()
        .and_then(|it| serde_json::from_str::<RoomHistoryVisibilityEventContent>(it.get()).ok())
        .map_or(HistoryVisibility::Shared, |it| it.history_visibility)
}
