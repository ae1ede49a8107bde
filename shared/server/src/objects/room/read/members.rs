//! Reading members.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{
    OwnedUserId,
    api::client::filter::{LazyLoadOptions, RoomEventFilter},
};
use serde_json::Value as JsonValue;
use skerry_core::{engine::StateAt, gather::Gather as _};

use crate::{
    Error, Result,
    messages::{
        Caller, RawJson, Requester,
        room::{GetMembers, RoomProfile},
    },
    objects::room::{
        Room,
        loaded::state_event::membership_of,
        read::{audience::Audience, render::content_of},
    },
    store::room::{events::StoredEvent, state::Part},
};

impl Room {
    pub(crate) async fn get_members(self: &Arc<Self>, command: GetMembers) -> Result<Vec<RawJson>> {
        let GetMembers { caller, at, membership, not_membership } = command;
        let space = self.space_for(Part::Members).await?;
        let room = self.read().await?;
        let requester = Requester::User(caller);
        let view = self.view(&room, &requester).await?;
        let group = at.map_or(view.state.group, |at| at.min(view.state.group));
        if group < view.state.group && !view.timeline.allows_at(group, group) {
            return Err(Error::forbidden("you may not see who was in the room then"));
        }
        let at = StateAt { group, ..view.state };
        let mut events = self.list_state(at, &space).await?;
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
        let audience = self.audience(&room, &requester, &view.timeline);
        self.render(audience, &events).await
    }

    pub(crate) async fn get_joined_members(
        self: &Arc<Self>,
        caller: &Caller,
    ) -> Result<BTreeMap<OwnedUserId, RoomProfile>> {
        let _space = self.space_for_joined().await?;
        let room = self.read().await?;
        self.check_joined(&room, &caller.user_id).await?;
        let mut joined = std::collections::BTreeMap::new();
        for (user_id, json) in self.list_joined(&room).await? {
            let content: JsonValue = serde_json::from_str(content_of(&json)?.get())?;
            let text = |name: &str| content.get(name)?.as_str().map(str::to_owned);
            let profile =
                RoomProfile { displayname: text("displayname"), avatar_url: text("avatar_url") };
            joined.insert(user_id, profile);
        }
        Ok(joined)
    }

    /// Membership events of the senders of events, when members are lazy-loaded.
    pub(crate) async fn members_of_senders(
        &self,
        audience: Audience<'_>,
        at: &StateAt,
        events: &[StoredEvent],
        filter: &RoomEventFilter,
    ) -> Result<Vec<RawJson>> {
        if !matches!(filter.lazy_load_options, LazyLoadOptions::Enabled { .. }) {
            return Ok(Vec::new());
        }
        let senders: BTreeSet<_> = events.iter().map(|it| it.sender.clone()).gather();
        let keys: Vec<_> = senders.into_iter().map(|it| ("m.room.member".to_owned(), it)).collect();
        let events = self.events_of(*at, &keys).await?;
        self.render(audience, &events).await
    }
}
