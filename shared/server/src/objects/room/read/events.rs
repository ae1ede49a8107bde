//! Reading one event.

use std::sync::Arc;

use ruma::EventId;
use skerry_core::visibility::Access;

use crate::{
    Result,
    messages::{Caller, RawJson},
    objects::room::{
        Room,
        read::{one, unseen},
    },
};

impl Room {
    pub(crate) async fn get_event(
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
}
