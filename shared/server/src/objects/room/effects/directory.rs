//! The room's entry in the directory follows the room.

use std::sync::Arc;

use ruma::events::StateEventType;

use crate::{
    Error, Result,
    messages::room::SetListed,
    objects::room::{
        Room,
        loaded::{effects::Due, in_memory, plan::Plan},
    },
    store::{global::directory, room::meta},
};

impl Room {
    /// Lists the room in the directory, or takes it out.
    pub(crate) async fn set_listed(self: &Arc<Self>, command: SetListed) -> Result<()> {
        let SetListed { user_id, listed } = command;
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        self.check_joined(room, &user_id).await?;
        let power = self.power_levels(room).await?;
        if !power.user_can_send_state(&user_id, StateEventType::RoomCanonicalAlias) {
            return Err(Error::forbidden("you lack the power to change the room's visibility"));
        }
        if room.effects.listed == listed {
            return Ok(());
        }
        let mut plan = Plan::new(room);
        plan.effects.listed = listed;
        plan.stmts.push(meta::update_listed(self.scope(), listed));
        self.commit_quietly(room, &mut plan).await?;
        let has_effects = std::mem::take(&mut room.effects.has_new);
        drop(guard);
        self.bring_about(has_effects).await;
        Ok(())
    }

    /// Brings the room's entry in the directory up to date, until it is.
    pub(super) async fn update_directory(self: &Arc<Self>) -> Result<()> {
        // One at a time: what the directory is told last is the newest.
        let _turn = self.directory.lock().await;
        loop {
            let (listed, info) = {
                let room = self.read().await?;
                if room.effects.agenda.at_ms(Due::Directory).is_none() {
                    return Ok(());
                }
                (room.effects.listed, self.public_info(&room).await?)
            };
            let stmt = match listed {
                true => directory::upsert(&self.id, &info, info.position),
                false => directory::remove(&self.id),
            };
            self.host.global().batch(vec![stmt]).await?;
            let mut guard = self.write().await?;
            let room = in_memory(&mut guard)?;
            if room.effects.directory_changed <= info.position && room.effects.listed == listed {
                let mut plan = Plan::new(room);
                plan.effects.agenda.clear(Due::Directory);
                return self.commit_quietly(room, &mut plan).await;
            }
        }
    }
}
