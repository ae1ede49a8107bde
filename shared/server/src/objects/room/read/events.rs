//! Reading one event.

use std::sync::Arc;

use skerry_core::visibility::Access;

use crate::{
    Result,
    messages::{RawJson, Requester, room::GetEvent},
    objects::room::{
        Room,
        loaded::Loaded,
        read::{access::View, one, unseen},
    },
};

impl Room {
    pub(crate) async fn get_event(self: &Arc<Self>, command: GetEvent) -> Result<RawJson> {
        let GetEvent { requester, event_id, ignored_users } = command;
        let room = self.read().await?;
        let view = self.view_of_one_event(&room, &requester).await?;
        let stored = self.stored_event(&event_id).await?;
        let stored = stored.filter(|it| it.position <= view.upto).ok_or_else(unseen)?;
        let audience = self.audience(&room, &requester, &view.timeline).ignoring(&ignored_users);
        if audience.is_kept_from(&stored) || !self.may_see(audience, &stored).await? {
            return Err(unseen());
        }
        one(self.render(audience, std::slice::from_ref(&stored)).await?)
    }

    /// How far a requester may look for one event. A user is shown it if its own visibility allows,
    /// member or not; a server must have been in the room.
    async fn view_of_one_event(&self, room: &Loaded, requester: &Requester) -> Result<View> {
        if let Requester::User(caller) = requester {
            let timeline = self.timeline_of_user(room, &caller.user_id).await?;
            if timeline.access_of_user() == Access::None {
                return Ok(View { timeline, upto: room.head, state: room.state });
            }
        }
        self.view(room, requester).await
    }
}
