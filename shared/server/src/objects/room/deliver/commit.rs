//! Commits, each with what is still to be written down of what was delivered; and what follows a
//! commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join;
use ruma::events::room::member::MembershipState;
use skerry_core::{
    dummy_event::{self, Watch},
    gather::Gather as _,
};
use tokio::sync::RwLockWriteGuard;

use crate::{
    Result,
    objects::room::{
        Room,
        loaded::{
            Loaded, deliveries::EphemeralNews, effects::Due, plan::Plan, state_event::Changed,
            unwritten::Writes,
        },
    },
    ports::{Row, Sql, Stmt},
    server::Presence,
    store::room::{
        members,
        readers::{self, Reader},
    },
};

impl Room {
    /// Writes the plan in one batch, with the alarm that repeats what a crash keeps from being
    /// delivered; only then is the room what the plan says.
    pub(crate) async fn commit(&self, room: &mut Loaded, plan: &mut Plan) -> Result<()> {
        self.write_planned(room).await?;
        let writes = self.writes(room, plan)?;
        self.write_all(writes).await?;
        plan.apply(room);
        Ok(())
    }

    /// As [`Self::commit`], of what is delivered to nobody.
    pub(crate) async fn commit_quietly(&self, room: &mut Loaded, plan: &mut Plan) -> Result<()> {
        self.write_planned(room).await?;
        let Writes { stmts, agenda_ms, .. } = self.writes(room, plan)?;
        self.commit_all(stmts, None, agenda_ms).await?;
        plan.apply(room);
        Ok(())
    }

    /// What a plan writes, with what follows from it.
    fn writes(&self, room: &Loaded, plan: &mut Plan) -> Result<Writes> {
        let now_ms = self.now_ms();
        match plan.watch_extremities(room) {
            Watch::Unchanged => {}
            Watch::Begins => {
                let at_ms = dummy_event::first_ms(now_ms, self.host.random().number()?);
                plan.effects.agenda.set(Due::Extremities, at_ms);
            }
            Watch::Ends => plan.effects.agenda.clear(Due::Extremities),
        }
        Ok(plan.writes(room, self.scope(), now_ms))
    }

    /// Takes the plan for written: the next one is made on it, and both go into one batch. Until
    /// [`Self::write_planned`] nobody may hear of it. When that fails, the room is loaded anew
    /// before anything else is done with it.
    pub(crate) async fn commit_with_next(&self, room: &mut Loaded, plan: &mut Plan) -> Result<()> {
        let writes = self.writes(room, plan)?;
        self.doubt.ahead(true);
        room.unwritten.add(writes, room.has_news);
        plan.apply(room);
        match room.unwritten.is_full() {
            true => self.write_planned(room).await,
            false => Ok(()),
        }
    }

    /// Writes all that is planned and not written, in one batch.
    pub(crate) async fn write_planned(&self, room: &Loaded) -> Result<()> {
        let Some(writes) = room.unwritten.take() else { return Ok(()) };
        let memberships = self.write_all(writes).await?;
        self.doubt.ahead(false);
        room.unwritten.add_untold(memberships);
        Ok(())
    }

    /// The store of the room, in which all is written that memory has.
    pub(crate) async fn store_of(&self, room: &Loaded) -> Result<&dyn Sql> {
        self.write_planned(room).await?;
        Ok(self.sql())
    }

    /// Gives the memberships that have changed.
    async fn write_all(&self, writes: Writes) -> Result<Vec<Changed>> {
        let Writes { mut stmts, memberships, servers, agenda_ms } = writes;
        let came = servers.clone();
        let servers: BTreeSet<_> = servers.into_iter().map(Reader::Server).gather();
        for server in &servers {
            if self.deliveries().activity.read(server) {
                stmts.push(readers::insert(self.scope(), server));
            }
        }
        let delivery_ms = self.deliveries().alarm_for(self.now_ms(), !memberships.is_empty());
        self.commit_all(stmts, delivery_ms, agenda_ms).await?;
        let now_ms = self.now_ms();
        let mut deliveries = self.deliveries();
        for (user_id, _, position, _) in &memberships {
            deliveries.memberships.changed(user_id, *position, now_ms);
        }
        for server in &servers {
            deliveries.activity.row_written(server);
        }
        drop(deliveries);
        if self.server.config.presence == Presence::On {
            self.statuses().came.extend(came);
        }
        Ok(memberships)
    }

    /// Commits statements together with what is still to be written down.
    pub(crate) async fn commit_batch(
        &self,
        stmts: Vec<Stmt>,
        alarm_by_ms: Option<u64>,
    ) -> Result<()> {
        self.commit_all(stmts, alarm_by_ms, None).await
    }

    /// As [`Self::commit_batch`]; the alarm comes for deliveries and for the agenda, each of which
    /// knows only of its own.
    async fn commit_all(
        &self,
        mut stmts: Vec<Stmt>,
        delivery_ms: Option<u64>,
        agenda_ms: Option<u64>,
    ) -> Result<()> {
        let alarm_by_ms = delivery_ms.into_iter().chain(agenda_ms).min();
        let scope = self.scope();
        let batch = self.deliveries().batch();
        if !batch.removals.is_empty() {
            stmts.push(readers::remove_list(scope, &batch.removals)?);
        }
        let marks = batch.marks.iter();
        stmts.extend(marks.map(|(user_id, at)| members::update_delivered(scope, user_id, *at)));
        if stmts.is_empty() && alarm_by_ms.is_none() {
            return Ok(());
        }
        let result = self.write_batch(stmts, alarm_by_ms).await;
        match &result {
            Ok(_) => self.deliveries().committed(&batch, delivery_ms),
            Err(_) => self.deliveries().batch_failed(),
        }
        result.map(drop)
    }

    /// Writes one batch: every batch of the room goes this way. While it is not known to be
    /// committed, memory is in doubt.
    pub(crate) async fn write_batch(
        &self,
        stmts: Vec<Stmt>,
        alarm_by_ms: Option<u64>,
    ) -> Result<Vec<Vec<Row>>> {
        let under_way = self.doubt.begin();
        let rows = self.host.commit(stmts, alarm_by_ms).await?;
        under_way.committed();
        Ok(rows)
    }

    /// Lets go of the lock and delivers to everybody whom the plan concerns.
    pub(crate) async fn deliver_plan(
        self: &Arc<Self>,
        guard: RwLockWriteGuard<'_, Option<Loaded>>,
        plan: Plan,
    ) {
        self.deliver_changes(guard, plan.memberships).await;
    }

    /// Lets go of the lock, delivers changed memberships and brings about the effects of what was
    /// committed, and delivers activity after the reply. To whom is decided under the lock: from
    /// then on these deliveries are outstanding.
    pub(crate) async fn deliver_changes(
        self: &Arc<Self>,
        mut guard: RwLockWriteGuard<'_, Option<Loaded>>,
        memberships: Vec<Changed>,
    ) {
        let room = guard.as_mut();
        let news = room.and_then(|it| std::mem::take(&mut it.has_news).then_some(it.head));
        let mut stopped = BTreeMap::new();
        {
            let mut deliveries = self.deliveries();
            for (user_id, membership, ..) in &memberships {
                if *membership != MembershipState::Join {
                    deliveries.activity.gone(&Reader::User(user_id.clone()));
                    if self.typing().clear(user_id, self.now_ms()) {
                        stopped.insert(user_id.clone(), false);
                    }
                }
            }
            // Where nothing has come there is no position that nobody has read yet.
            if let Some(head) = news {
                deliveries.activity.advance(head);
            }
        }
        let has_effects = guard.as_mut().is_some_and(|it| std::mem::take(&mut it.effects.has_new));
        drop(guard);
        if !stopped.is_empty() {
            self.announce(EphemeralNews { typing: stopped, ..EphemeralNews::default() });
        }
        join(self.deliver_memberships(memberships), self.bring_about(has_effects)).await;
        self.deliver_later();
        self.tell_statuses_to_those_who_came();
    }
}
