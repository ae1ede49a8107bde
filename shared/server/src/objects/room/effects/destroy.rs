//! A room that no local user has anything to do with any more is removed.
//!
//! The room is gone when its `room_meta` is. What is left of it is removed after that: first what
//! the global store has of it, without the room's lock, then its rows. Until the last of them is
//! gone the removal stays on the agenda. The alarm goes on with it, and so does whoever begins a
//! room of that ID, which begins on an empty store.

use std::sync::Arc;

use tokio::sync::RwLockWriteGuard;

use crate::{
    Error, Result,
    objects::{
        agenda::Agenda,
        room::{
            Room, limits,
            loaded::{
                Loaded, deliveries::Deliveries, effects::Due, in_memory, plan::Plan, typing::Typing,
            },
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
        match self.end().await {
            // It was gone before.
            Ok(()) | Err(Error::UnknownRoom) => self.remove_remains().await,
            Err(error) => Err(error),
        }
    }

    /// The room is gone, unless some local user has to do with it after all.
    async fn end(self: &Arc<Self>) -> Result<()> {
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
        let mut gone = vec![meta::remove(scope)];
        gone.extend(staged::remove_attempt(scope));
        self.write_batch(gone, None).await?;
        *guard = None;
        *self.deliveries() = Deliveries::default();
        *self.typing() = Typing::default();
        Ok(())
    }

    /// Goes on with the removal of a room that is gone. The alarm calls it.
    pub(crate) async fn go_on_removing(self: &Arc<Self>) -> Result<()> {
        if !self.has_remains().await? {
            return Ok(());
        }
        // Whatever becomes of this alarm, there is a next one.
        let again_ms = self.now_ms() + 2 * limits::DUE_TIMEOUT_MS;
        self.write_batch(Vec::new(), Some(again_ms)).await?;
        if let Err(error) = self.run_due(Due::Destroy).await {
            tracing::warn!(%error, room_id = %self.id, "the removal of a room is put off");
        }
        Ok(())
    }

    /// The lock for writing, of a room that may be about to begin: nothing is left of one that was
    /// removed.
    pub(crate) async fn lock_to_begin(
        self: &Arc<Self>,
    ) -> Result<RwLockWriteGuard<'_, Option<Loaded>>> {
        loop {
            let guard = self.lock().await;
            if guard.is_some() || !self.has_remains().await? {
                return Ok(guard);
            }
            drop(guard);
            self.remove_remains().await?;
        }
    }

    /// Whether the room is gone, and something is left of it.
    async fn has_remains(&self) -> Result<bool> {
        let (sql, scope) = (self.sql(), self.scope());
        let agenda: Agenda<Due> = Agenda::load(sql, scope).await?;
        Ok(agenda.at_ms(Due::Destroy).is_some() && meta::find(sql, scope).await?.is_none())
    }

    /// Removes what is left of a room that is gone.
    async fn remove_remains(self: &Arc<Self>) -> Result<()> {
        // Whoever writes the room's entry at this moment comes first, and nobody comes later.
        let _turn = self.directory.lock().await;
        if !self.has_remains().await? {
            return Ok(());
        }
        let outside = vec![directory::remove(&self.id), aliases::remove_all(&self.id)];
        self.host.global().batch(outside).await?;
        // Nobody has begun a room meanwhile: that needs the turn.
        let _guard = self.lock().await;
        match self.has_remains().await? {
            true => self.remove_store().await,
            false => Ok(()),
        }
    }

    /// Removes the whole store of a room that does not exist. Called by who holds the room's lock.
    pub(crate) async fn remove_store(&self) -> Result<()> {
        self.host.destroy(removal::pages(self.scope(), limits::REMOVED_ROWS)).await
    }
}
