//! Commits, each with what is still to be written down of what was delivered; and what follows a
//! commit.

use std::sync::Arc;

use ruma::events::room::member::MembershipState;
use skerry_core::delivery::DELIVERY_GRACE_MS;
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
    ports::Stmt,
    store::room::{members, readers},
};

impl Room {
    /// Writes the plan in one batch, with the alarm that repeats what a crash keeps from being
    /// delivered; only then is the room what the plan says.
    pub(crate) async fn commit(&self, room: &mut Loaded, plan: &mut Plan) -> Result<()> {
        let stmts = std::mem::take(&mut plan.stmts);
        let now_ms = self.now_ms();
        let memberships = (!plan.memberships.is_empty()).then_some(now_ms + DELIVERY_GRACE_MS);
        let alarm_by_ms = self.deliveries().activity.alarm_for(now_ms).or(memberships);
        self.commit_batch(stmts, alarm_by_ms).await?;
        plan.apply(room);
        Ok(())
    }

    /// Commits statements together with what is still to be written down.
    pub(crate) async fn commit_batch(
        &self,
        mut stmts: Vec<Stmt>,
        alarm_by_ms: Option<u64>,
    ) -> Result<()> {
        let scope = self.scope();
        let (removals, memberships) = {
            let mut deliveries = self.deliveries();
            let memberships = std::mem::take(&mut deliveries.memberships);
            (deliveries.activity.removals_for_batch(), memberships)
        };
        if !removals.is_empty() {
            stmts.push(readers::remove_list(scope, &removals)?);
        }
        let told = memberships.iter();
        stmts.extend(told.map(|(user, position)| members::update_told(scope, user, *position)));
        if stmts.is_empty() && alarm_by_ms.is_none() {
            return Ok(());
        }
        let result = self.host.commit(stmts, alarm_by_ms).await;
        let mut deliveries = self.deliveries();
        match &result {
            Ok(_) => {
                deliveries.activity.removals_committed();
                if let Some(at_ms) = alarm_by_ms {
                    deliveries.activity.alarm_set(at_ms);
                }
            }
            Err(_) => {
                deliveries.activity.removals_failed();
                deliveries.activity.outcome_unknown();
                deliveries.memberships.extend(memberships);
            }
        }
        result.map(drop)
    }

    /// Lets go of the lock and delivers to everybody whom the plan concerns.
    pub(crate) async fn deliver_plan(
        self: &Arc<Self>,
        guard: RwLockWriteGuard<'_, Option<Loaded>>,
        plan: Plan,
    ) {
        self.deliver_changes(guard, plan.memberships).await;
    }

    /// Lets go of the lock and delivers changed memberships, and then activity after the reply.
    /// Whoever is to hear of it is named under the lock: from then on the delivery is outstanding.
    pub(crate) async fn deliver_changes(
        self: &Arc<Self>,
        guard: RwLockWriteGuard<'_, Option<Loaded>>,
        memberships: Vec<Changed>,
    ) {
        let head = guard.as_ref().map_or(0, |room| room.head);
        {
            let mut deliveries = self.deliveries();
            for (user_id, membership, ..) in &memberships {
                if *membership != MembershipState::Join {
                    deliveries.activity.gone(user_id);
                    self.typing().clear(user_id, self.now_ms());
                }
            }
            deliveries.activity.advance(head);
        }
        drop(guard);
        self.deliver_memberships(memberships).await;
        self.deliver_later();
    }
}
