//! Events that wait for those that they name.

use ruma::{EventId, OwnedEventId};

use crate::{
    Result,
    messages::room::{Kind, Outcome},
    objects::room::{
        Room,
        dag::intake::{Arrived, Intake},
        limits,
        loaded::{Loaded, effects::Due, plan::Plan},
    },
    store::room::pending,
};

impl Room {
    /// Keeps an event that waits for others.
    pub(super) async fn wait(
        &self,
        room: &mut Loaded,
        arrived: &Arrived,
        intake: &mut Intake,
        auth: Vec<OwnedEventId>,
        prev: Vec<OwnedEventId>,
    ) -> Result<Outcome> {
        if arrived.kind == Kind::Live {
            let scope = self.scope();
            let awaited: Vec<_> = auth.iter().chain(&prev).cloned().collect();
            let server = arrived.pdu.sender.server_name();
            let stmts = pending::insert(scope, &arrived.pdu, server, &awaited, self.now_ms())?;
            let mut plan = Plan::new(room);
            plan.stmts.extend(stmts);
            plan.expire_at(self.now_ms() + limits::PENDING_EVENT_MS);
            let fill_ms = self.now_ms() + limits::EFFECT_GRACE_MS;
            if room.effects.agenda.at_ms(Due::Missing).is_none_or(|it| it > fill_ms) {
                plan.effects.agenda.set(Due::Missing, fill_ms);
            }
            intake.lacks = true;
            intake.ahead.waits_changed();
            self.commit_quietly(room, &mut plan).await?;
            let sql = self.store_of(room).await?;
            room.pending = pending::count(sql, scope).await?;
            if room.pending > limits::PENDING_EVENTS
                && let Some(excess) = pending::find_excess(sql, scope).await?
            {
                self.write_batch(pending::remove(scope, &excess).into(), None).await?;
                room.pending -= 1;
            }
        }
        Ok(Outcome::Waits { auth, prev })
    }

    /// Receives what has waited for an event.
    pub(super) async fn receive_waiting(
        &self,
        room: &mut Loaded,
        event_id: &EventId,
        intake: &mut Intake,
    ) -> Result<()> {
        let sql = self.store_of(room).await?;
        for (event_id, json) in pending::list_waiting(sql, self.scope(), event_id).await? {
            let pdu = self.to_pdu(event_id, json)?;
            self.receive_event(room, Arrived::new(pdu, Kind::Live), intake).await?;
        }
        Ok(())
    }
}
