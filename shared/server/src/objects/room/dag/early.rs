//! What other servers send of a room between the moment when they let a user in and the one when
//! the room is here: the answer with its state may take long, and nothing is said twice.

use std::sync::Arc;

use ruma::EventId;
use skerry_core::room_version;

use super::{intake::Intake, staging::unsupported};
use crate::{
    Error, Result,
    messages::room::{Expect, Kind, Outcome, Receive, Received},
    objects::room::{
        Room, limits,
        loaded::{Loaded, effects::Due, plan::Plan, state_event::Changed},
    },
    store::room::{pending, staged},
};

impl Room {
    /// Somebody is about to join.
    pub(crate) async fn expect(self: &Arc<Self>, command: Expect) -> Result<()> {
        room_version::rules(&command.room_version).ok_or_else(unsupported)?;
        let mut guard = self.lock_to_begin().await?;
        if guard.is_none() {
            *guard = self.load().await?;
        }
        if guard.is_some() {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let stmt = staged::expect(self.scope(), &command.room_version, now_ms);
        self.write_batch(vec![stmt], Some(now_ms + limits::STAGED_MS)).await.map(drop)
    }

    /// Keeps events of a room that is not here, if somebody joins it: as such that wait for others.
    pub(super) async fn keep_early(self: &Arc<Self>, command: Receive) -> Result<Vec<Received>> {
        let guard = self.lock().await;
        if guard.is_some() {
            // It is here by now.
            drop(guard);
            return Box::pin(self.receive(command)).await;
        }
        let (sql, scope) = (self.sql(), self.scope());
        let (Some(origin), Kind::Live) = (&command.origin, command.kind) else {
            return Err(Error::UnknownRoom);
        };
        let Some(attempt) = staged::find_attempt(sql, scope).await? else {
            return Err(Error::UnknownRoom);
        };
        let rules = room_version::rules(&attempt.version).ok_or_else(unsupported)?;
        let mut left = limits::EARLY_EVENTS.saturating_sub(pending::count(sql, scope).await?);
        let (mut stmts, mut received) = (Vec::new(), Vec::with_capacity(command.events.len()));
        for verified in self.verify(&command.events, &command.keys, &rules) {
            received.push(match verified {
                Ok(it) if left > 0 => {
                    left -= 1;
                    let (pdu, now_ms) = (it.pdu, self.now_ms());
                    stmts.extend(pending::insert(scope, &pdu, origin, &pdu.prev_events, now_ms)?);
                    let outcome = Outcome::Waits { auth: Vec::new(), prev: pdu.prev_events };
                    Received { event_id: Some(pdu.event_id), outcome }
                }
                Ok(it) => {
                    let reason = "too much was said in a room that is being joined".to_owned();
                    let outcome = Outcome::Dropped { reason };
                    Received { event_id: Some(it.pdu.event_id), outcome }
                }
                Err(received) => received,
            });
        }
        if !stmts.is_empty() {
            self.write_batch(stmts, None).await?;
        }
        Ok(received)
    }

    /// The room is here, by this join: what has come early is received, or asked for what it waits
    /// for, unless the room keeps out who has sent it.
    pub(super) async fn receive_early(
        self: &Arc<Self>,
        room: &mut Loaded,
        join: &EventId,
    ) -> Result<Vec<Changed>> {
        let servers = pending::list_servers(self.store_of(room).await?, self.scope()).await?;
        let let_in = self.let_in(room, servers.clone()).await?;
        let mut plan = Plan::new(room);
        plan.stmts.extend(pending::remove(self.scope(), join));
        for server in servers.iter().filter(|it| !let_in.contains(*it)) {
            plan.stmts.extend(pending::remove_of(self.scope(), server));
        }
        plan.expire_at(self.now_ms() + limits::PENDING_EVENT_MS);
        plan.effects.agenda.set(Due::Missing, self.now_ms() + limits::EFFECT_GRACE_MS);
        self.commit_quietly(room, &mut plan).await?;
        room.pending = pending::count(self.store_of(room).await?, self.scope()).await?;
        let mut intake = Intake::default();
        self.receive_waiting(room, join, &mut intake).await?;
        self.fill_later();
        Ok(intake.changed)
    }
}
