//! A room that no local user has anything to do with any more is removed.
//!
//! The room is gone when its `room_meta` is. What its rows are removed by stays on the agenda until
//! the last of them is: whoever asks about the room meanwhile, the alarm among them, goes on with
//! the removal, and a room of that ID begins on an empty store.

use std::sync::Arc;

use crate::{
    Error, Result,
    objects::{
        agenda::Agenda,
        room::{
            Room, limits,
            loaded::{deliveries::Deliveries, effects::Due, in_memory, plan::Plan, typing::Typing},
        },
    },
    store::{
        global::{aliases, directory},
        room::{members, meta, removal, staged},
    },
};

impl Room {
    /// Removes the room, unless some local user has to do with it after all.
    pub(super) async fn destroy(self: &Arc<Self>) -> Result<()> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let (sql, scope) = (self.sql(), self.scope());
        if members::is_wanted(sql, scope, &self.local(), None).await? {
            let mut plan = Plan::new(room);
            plan.effects.agenda.clear(Due::Destroy);
            return self.commit_quietly(room, &mut plan).await;
        }
        if !members::list_undelivered(sql, scope, 0, 1).await?.is_empty() {
            return Err(Error::internal("a membership has not been delivered to its user"));
        }
        if staged::find_attempt(sql, scope).await?.is_some() {
            return Err(Error::internal("somebody is about to join the room"));
        }
        let outside = vec![directory::remove(&self.id), aliases::remove_all(&self.id)];
        self.host.global().batch(outside).await?;
        let mut gone = vec![meta::remove(scope)];
        gone.extend(staged::remove_attempt(scope));
        self.write_batch(gone, None).await?;
        *guard = None;
        *self.deliveries() = Deliveries::default();
        *self.typing() = Typing::default();
        self.remove_store().await
    }

    /// Removes what is left of a room that is being removed. Called by who holds the room's lock.
    pub(crate) async fn remove_remains(&self) -> Result<()> {
        let agenda: Agenda<Due> = Agenda::load(self.sql(), self.scope()).await?;
        match agenda.at_ms(Due::Destroy) {
            Some(_) => self.remove_store().await,
            None => Ok(()),
        }
    }

    /// Removes the whole store of a room that does not exist. Called by who holds the room's lock.
    pub(crate) async fn remove_store(&self) -> Result<()> {
        self.host.destroy(removal::pages(self.scope(), limits::REMOVED_ROWS)).await
    }
}
