//! Reading the current state, or what a former member saw of it.

use std::sync::Arc;

use crate::{
    Result,
    messages::{RawJson, Requester, room::GetStateEvent},
    objects::room::{Room, read::one},
    store::room::state::{self, Part},
};

impl Room {
    pub(crate) async fn get_state(self: &Arc<Self>, requester: &Requester) -> Result<Vec<RawJson>> {
        let room = self.read().await?;
        let view = self.view(&room, requester).await?;
        let events = state::list(self.sql(), self.scope(), view.state, Part::Whole).await?;
        let audience = self.audience(&room, requester, &view.timeline);
        self.render(audience, &events).await
    }

    pub(crate) async fn get_state_event(
        self: &Arc<Self>,
        command: GetStateEvent,
    ) -> Result<RawJson> {
        let GetStateEvent { caller, event_type, state_key } = command;
        let room = self.read().await?;
        let requester = Requester::User(caller);
        let view = self.view(&room, &requester).await?;
        let keys = [(event_type, state_key)];
        let events = self.events_of(view.state, &keys).await?;
        let audience = self.audience(&room, &requester, &view.timeline);
        one(self.render(audience, &events).await?)
    }
}
