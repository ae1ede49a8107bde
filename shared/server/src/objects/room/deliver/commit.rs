//! Commits, each with what is still to be written down of what was delivered; and what follows a
//! commit.

use std::sync::Arc;

use futures_util::future::join;
use ruma::events::room::member::MembershipState;
use tokio::sync::RwLockWriteGuard;

use crate::{
    Result,
    objects::room::{
        Room,
        loaded::{
            Loaded,
            plan::{Changed, Plan},
        },
    },
    ports::{Row, Stmt},
    store::room::{
        members,
        readers::{self, Reader},
    },
};

impl Room {
    /// Writes the plan in one batch, with the alarm that repeats what a crash keeps from being
    /// delivered; only then is the room what the plan says.
    pub(crate) async fn commit(&self, room: &mut Loaded, plan: &mut Plan) -> Result<()> {
        let changes_memberships = !plan.memberships.is_empty();
        let servers: Vec<_> = plan.servers.drain(..).map(Reader::Server).collect();
        for server in &servers {
            if self.deliveries().activity.read(server) {
                plan.stmts.push(readers::insert(self.scope(), server));
            }
        }
        let delivery_ms = self.deliveries().alarm_for(self.now_ms(), changes_memberships);
        self.commit_plan(room, plan, delivery_ms).await?;
        for server in &servers {
            self.deliveries().activity.row_written(server);
        }
        Ok(())
    }

    /// As [`Self::commit`], of what is delivered to nobody.
    pub(crate) async fn commit_quietly(&self, room: &mut Loaded, plan: &mut Plan) -> Result<()> {
        self.commit_plan(room, plan, None).await
    }

    async fn commit_plan(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        delivery_ms: Option<u64>,
    ) -> Result<()> {
        plan.schedule(room, self.now_ms());
        let mut stmts = std::mem::take(&mut plan.stmts);
        stmts.extend(plan.effects.agenda.stmts(self.scope()));
        self.commit_all(stmts, delivery_ms, plan.effects.agenda.alarm_by_ms()).await?;
        let now_ms = self.now_ms();
        for (user_id, _, position, _) in &plan.memberships {
            self.deliveries().memberships.changed(user_id, *position, now_ms);
        }
        plan.apply(room);
        Ok(())
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
        let head = guard.as_ref().map_or(0, |room| room.head);
        {
            let mut deliveries = self.deliveries();
            for (user_id, membership, ..) in &memberships {
                if *membership != MembershipState::Join {
                    deliveries.activity.gone(&Reader::User(user_id.clone()));
                    self.typing().clear(user_id, self.now_ms());
                }
            }
            deliveries.activity.advance(head);
        }
        let has_effects = guard.as_mut().is_some_and(|it| std::mem::take(&mut it.effects.has_new));
        drop(guard);
        join(self.deliver_memberships(memberships), self.bring_about(has_effects)).await;
        self.deliver_later();
    }
}
