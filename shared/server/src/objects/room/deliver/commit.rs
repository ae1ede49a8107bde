//! Commits, each with what is still to be written down of what was told; and what follows a commit.

use std::sync::Arc;

use tokio::sync::RwLockWriteGuard;

use crate::{
    Result,
    objects::room::{
        Room, limits,
        loaded::{
            Loaded,
            plan::{Changed, Plan},
        },
    },
    ports::Stmt,
    store::room::members,
};

impl Room {
    /// Writes the plan in one batch; only then is the room what the plan says.
    pub(crate) async fn commit(&self, room: &mut Loaded, plan: &mut Plan) -> Result<()> {
        let stmts = std::mem::take(&mut plan.stmts);
        self.commit_and_settle(stmts).await?;
        plan.apply(room);
        Ok(())
    }

    /// Commits statements together with what is still to be written down, and sees to it that
    /// the alarm will come.
    pub(crate) async fn commit_and_settle(&self, mut stmts: Vec<Stmt>) -> Result<()> {
        let scope = self.scope();
        let due = self.now_ms() + limits::SETTLE_MS;
        let (told, alarm) = {
            let mut watch = self.watch();
            let alarm = watch.alarm_at_ms.is_none().then_some(due);
            watch.alarm_at_ms.get_or_insert(due);
            (std::mem::take(&mut watch.told), alarm)
        };
        stmts.extend(
            told.iter().map(|(user, position)| members::update_told(scope, user, *position)),
        );
        let result = self.host.commit(stmts, alarm).await;
        if result.is_err() {
            let mut watch = self.watch();
            watch.told.extend(told);
            if alarm.is_some() {
                watch.alarm_at_ms = None;
            }
        }
        result.map(drop)
    }

    /// Commits statements, and brings the alarm forward to `at_ms` when it would come later.
    pub(crate) async fn commit_before(&self, stmts: Vec<Stmt>, at_ms: Option<u64>) -> Result<()> {
        let set = self.watch().alarm_at_ms;
        let alarm = at_ms.filter(|at_ms| set.is_none_or(|it| it > *at_ms));
        self.host.commit(stmts, alarm).await?;
        if alarm.is_some() {
            self.watch().alarm_at_ms = alarm;
        }
        Ok(())
    }

    /// Lets go of the lock and tells everybody whom the plan concerns.
    pub(crate) async fn tell_of(
        self: &Arc<Self>,
        guard: RwLockWriteGuard<'_, Option<Loaded>>,
        plan: Plan,
    ) {
        self.tell_changes(guard, plan.memberships).await;
    }

    /// Lets go of the lock and tells of changed memberships and of activity.
    pub(crate) async fn tell_changes(
        self: &Arc<Self>,
        guard: RwLockWriteGuard<'_, Option<Loaded>>,
        memberships: Vec<Changed>,
    ) {
        let watchers = self.watch().take_watchers();
        let head = guard.as_ref().map_or(0, |it| it.head);
        drop(guard);
        self.tell_memberships(memberships).await;
        self.tell_activity_later(watchers, head);
    }
}
