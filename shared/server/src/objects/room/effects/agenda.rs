//! The room's agenda: every kind of thing is done by itself, and what fails delays no other.

use std::{sync::Arc, time::Duration};

use futures_util::future::{self, Either, join_all};
use tokio::sync::oneshot;

#[cfg(feature = "test-routes")]
use crate::objects::test_alarms;
use crate::{
    Error, Result,
    objects::{
        agenda::AgendaPlan,
        room::{
            Room, limits,
            loaded::{effects::Due, in_memory},
        },
    },
};

impl Room {
    /// Brings about what a commit has put on the agenda. Returns when that is done or has taken
    /// [`limits::EFFECT_WAIT_MS`]; it goes on after the reply.
    pub(crate) async fn bring_about(self: &Arc<Self>, has_effects: bool) {
        if !has_effects {
            return;
        }
        let (done, is_done) = oneshot::channel();
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            let (directory, alias) =
                future::join(room.update_directory(), room.confirm_alias()).await;
            for error in [directory.err(), alias.err()].into_iter().flatten() {
                tracing::warn!(%error, room_id = %room.id, "the alarm goes on with an effect");
            }
            // The reply may not have waited.
            let _ = done.send(());
        }));
        let wait = self.host.sleep(Duration::from_millis(limits::EFFECT_WAIT_MS));
        future::select(is_done, wait).await;
    }

    /// Does what is due, and sees to it that the alarm comes for the rest.
    pub(crate) async fn run_agenda(self: &Arc<Self>) -> Result<()> {
        let now_ms = self.now_ms();
        #[cfg(feature = "test-routes")]
        let agenda_ms = test_alarms::agenda_ms(&self.id, now_ms);
        #[cfg(not(feature = "test-routes"))]
        let agenda_ms = now_ms;
        let (due, next_ms) = match self.read().await {
            Ok(room) => (room.effects.agenda.due(agenda_ms), room.effects.agenda.next_ms()),
            Err(Error::UnknownRoom) => return Ok(()),
            Err(error) => return Err(error),
        };
        if due.is_empty() {
            if next_ms.is_some() {
                self.write_batch(Vec::new(), next_ms).await?;
            }
            return Ok(());
        }
        // Whatever becomes of this alarm, there is a next one.
        let again_ms = now_ms + 2 * limits::DUE_TIMEOUT_MS;
        self.write_batch(Vec::new(), Some(again_ms)).await?;
        let outcomes = join_all(due.into_iter().map(|due| async move {
            let outcome = self.run_due(due).await;
            if let Err(error) = &outcome {
                tracing::warn!(%error, ?due, room_id = %self.id, "what is due is put off");
            }
            (due, outcome.is_ok())
        }));
        self.put_off(&outcomes.await).await
    }

    /// Does one thing that is due, in a bounded time.
    pub(super) async fn run_due(self: &Arc<Self>, due: Due) -> Result<()> {
        let work = async {
            match due {
                Due::Directory => self.update_directory().await,
                Due::Alias => self.confirm_alias().await,
                Due::Expire => self.expire().await,
                Due::Destroy => self.destroy().await,
                Due::Missing => self.fill_by_alarm().await,
                Due::Extremities => self.join_extremities().await,
                Due::Unverified => self.verify_by_alarm().await,
                Due::Devices => self.tell_of_all_devices().await,
            }
        };
        let timeout = self.host.sleep(Duration::from_millis(limits::DUE_TIMEOUT_MS));
        match future::select(Box::pin(work), timeout).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(Error::internal("it took too long")),
        }
    }

    /// Writes when what has failed is tried again, each time twice as late, and sets the alarm.
    async fn put_off(self: &Arc<Self>, outcomes: &[(Due, bool)]) -> Result<()> {
        let mut guard = match self.write().await {
            Err(Error::UnknownRoom) => return Ok(()),
            other => other?,
        };
        let room = in_memory(&mut guard)?;
        let mut plan = AgendaPlan::default();
        for (due, is_done) in outcomes {
            if *is_done {
                room.effects.failures.remove(due);
                continue;
            }
            let failures = room.effects.failures.entry(*due).or_default();
            let doublings = (*failures).min(limits::DUE_RETRY_DOUBLINGS);
            *failures += 1;
            plan.set(*due, self.now_ms() + (limits::DUE_RETRY_MS << doublings));
        }
        let stmts = plan.stmts(self.scope());
        room.effects.agenda.apply(plan);
        if let Some(next_ms) = room.effects.agenda.next_ms() {
            self.write_batch(stmts, Some(next_ms)).await?;
        }
        Ok(())
    }
}
