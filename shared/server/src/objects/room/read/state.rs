//! Reading the current state, or what a former member saw of it.

use std::sync::Arc;

use crate::{
    Result,
    messages::{RawJson, Requester, room::GetStateEvent},
    objects::room::{Room, read::one},
    store::room::state::Part,
};

impl Room {
    pub(crate) async fn get_state(self: &Arc<Self>, requester: &Requester) -> Result<Vec<RawJson>> {
        let space = self.space_for(Part::Whole).await?;
        let room = self.read().await?;
        let view = self.view(&room, requester).await?;
        let events = self.list_state(view.state, &space).await?;
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
