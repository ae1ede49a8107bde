//! A room that no local user has anything to do with any more is removed, and so is what a join
//! has left that never came to its end.
//!
//! The room is gone when its `room_meta` is. What its rows are removed by stays on the agenda until
//! the last of them is: whoever asks about the room meanwhile, the alarm among them, goes on with
//! the removal, and a room of that ID begins on an empty store.

use std::sync::Arc;

use crate::{
    Error, Result,
    objects::{
        agenda::{Agenda, AgendaPlan},
        room::{
            Room, limits,
            loaded::{deliveries::Deliveries, effects::Due, in_memory, plan::Plan, typing::Typing},
        },
    },
    ports::Stmt,
    store::{
        global::{aliases, directory},
        room::{members, meta, removal},
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
        if !members::list_undelivered(sql, scope, 1).await?.is_empty() {
            return Err(Error::internal("a member has not been told of their membership"));
        }
        let outside = vec![directory::remove(&self.id), aliases::remove_all(&self.id)];
        self.host.global().batch(outside).await?;
        self.write_batch(vec![meta::remove(scope)], None).await?;
        *guard = None;
        *self.deliveries() = Deliveries::default();
        *self.typing() = Typing::default();
        self.host.destroy(removal::pages(scope, limits::REMOVED_ROWS)).await
    }

    /// Removes what is left of a room that does not exist: of one that is being removed, or of a
    /// join that did not come to its end in time. Called by who holds the room's lock.
    pub(crate) async fn remove_remains(&self) -> Result<()> {
        let agenda: Agenda<Due> = Agenda::load(self.sql(), self.scope()).await?;
        let is_dead = agenda.at_ms(Due::Expire).is_some_and(|it| it <= self.now_ms());
        if is_dead || agenda.at_ms(Due::Destroy).is_some() {
            self.host.destroy(removal::pages(self.scope(), limits::REMOVED_ROWS)).await?;
        }
        Ok(())
    }

    /// A part of a join has come, and waits for the rest: what goes into its batch, and when the
    /// alarm must come, so that what is staged does not stay if the join never comes to its end.
    pub(crate) fn expire_staged(&self) -> (Vec<Stmt>, u64) {
        let at_ms = self.now_ms() + limits::STAGED_MS;
        let mut agenda = AgendaPlan::default();
        agenda.set(Due::Expire, at_ms);
        (agenda.stmts(self.scope()), at_ms)
    }

    /// How the IDs of local users end.
    pub(crate) fn local(&self) -> String {
        format!(":{}", self.server.name)
    }
}
