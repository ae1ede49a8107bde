//! An alias that was reserved for a room becomes its own when the room lives.

use std::sync::Arc;

use ruma::RoomAliasId;

use crate::{
    Result,
    objects::room::{
        Room,
        loaded::{effects::Due, in_memory, plan::Plan},
    },
    store::global::aliases,
};

impl Room {
    pub(crate) async fn was_created_with(self: &Arc<Self>, alias: &RoomAliasId) -> Result<bool> {
        let room = self.read().await?;
        Ok(room.effects.alias.as_deref() == Some(alias))
    }

    /// Confirms the alias that the room was created with.
    pub(super) async fn confirm_alias(self: &Arc<Self>) -> Result<()> {
        let alias = {
            let room = self.read().await?;
            room.effects.alias.clone().filter(|_| room.effects.agenda.at_ms(Due::Alias).is_some())
        };
        let Some(alias) = alias else { return Ok(()) };
        let confirm = aliases::update_confirmed(&alias, &self.id);
        self.host.global().batch(vec![confirm]).await?;
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let mut plan = Plan::new(room);
        plan.effects.agenda.clear(Due::Alias);
        self.commit_quietly(room, &mut plan).await
    }
}
