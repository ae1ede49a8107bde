//! Reading the current state, or what a former member saw of it.

use std::sync::Arc;

use crate::{
    Result,
    messages::{Caller, RawJson, room::GetStateEvent},
    objects::room::{Room, read::one},
    store::room::state::{self, Part},
};

impl Room {
    pub(crate) async fn get_state(self: &Arc<Self>, caller: &Caller) -> Result<Vec<RawJson>> {
        let room = self.read().await?;
        let view = self.view(&room, &caller.user_id).await?;
        let events = state::list(self.sql(), self.scope(), view.state, Part::Whole).await?;
        let asker = self.asker(&room, caller, &view.timeline);
        self.serve(asker, &events).await
    }

    pub(crate) async fn get_state_event(
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
}
