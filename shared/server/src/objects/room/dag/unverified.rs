//! Events of a room's state that came with the join and could not be verified, because the keys
//! that signed them were not to be had.
//!
//! A room that went on as if they did not exist would take for forbidden what all other servers
//! allow, or the other way round, and would never find out. Hence they are kept. What authorization
//! would read one of them for waits for it; their keys are asked for again by the alarm; one that
//! is verified then becomes part of the state before the join, and so of all that came of it.
//! Nobody's word is taken for one that is not.

use std::sync::Arc;

use ruma::OwnedEventId;
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    Pdu,
    authorize::StateKey,
    engine::{KeyId, State, StateAt, Unverified, Verdict, states},
};

use super::intake::{Arrived, Intake, Step};
use crate::{
    Error, Result,
    messages::{
        RawJson, ServerKey,
        room::{Kind, Outcome, Received},
    },
    objects::room::{
        Room, limits,
        loaded::{Loaded, effects::Due, in_memory, plan::Plan, state_event::StateEvent},
    },
    store::room::{
        meta,
        unverified::{self, UnverifiedEvent},
    },
};

/// An event that is no longer among those that could not be verified, the state before the join,
/// and what that has from now on.
type Ended = (OwnedEventId, StateAt, Option<(StateKey, StateEvent)>);

/// What became of an event whose keys were looked for again.
enum Verified {
    /// Not yet: it stays.
    Waits,
    /// It is here, and with it what follows from that.
    Taken,
    /// It never will be here.
    Never,
}

impl Room {
    /// The join is decided by a state that lacks them: they are asked for from now on.
    pub(super) async fn keep_unverified(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        at: StateAt,
        join: &Pdu,
    ) -> Result<()> {
        let sql = self.store_of(room).await?;
        let (count, _) = unverified::count_staged(sql, self.scope()).await?;
        if count == 0 && room.unverified == 0 {
            return Ok(());
        }
        let (now_ms, most) = (self.now_ms(), limits::UNVERIFIED_EVENTS);
        plan.stmts.extend(unverified::begin(self.scope(), at, &join.event_id, now_ms, most));
        match count {
            0 => plan.effects.agenda.clear(Due::Unverified),
            _ => plan.effects.agenda.set(Due::Unverified, now_ms + limits::VERIFY_FIRST_MS),
        }
        Ok(())
    }

    /// The keys of what is not verified, of which a state says by itself that it has nothing for
    /// them. A state that is written in another way is to go on saying so: else it would have it
    /// once the state before the join does.
    pub(super) async fn said_unverified(
        &self,
        room: &mut Loaded,
        state: &State,
    ) -> Result<Vec<KeyId>> {
        let mut said = Vec::new();
        for Unverified { key, of, .. } in room.engine_memory.unverified().to_vec() {
            let says = self.decide(room, |it| states::says(&it.engine_memory, state, key, of));
            if says.await?.map_err(|_| Error::internal("a state was not found"))? {
                said.push(key);
            }
        }
        Ok(said)
    }

    /// An event waits for some that could not be verified. Their keys are looked for soon: mostly
    /// the server whose users do something has come back.
    pub(super) async fn wait_for_keys(
        &self,
        room: &mut Loaded,
        arrived: &Arrived,
        intake: &mut Intake,
        auth: Vec<OwnedEventId>,
    ) -> Result<Step> {
        let outcome = self.wait(room, arrived, intake, auth, Vec::new()).await?;
        let soon_ms = self.now_ms() + limits::EFFECT_GRACE_MS;
        if room.effects.agenda.at_ms(Due::Unverified).is_none_or(|it| it > soon_ms) {
            let mut plan = Plan::new(room);
            plan.effects.agenda.set(Due::Unverified, soon_ms);
            self.commit_quietly(room, &mut plan).await?;
        }
        Ok(Step::Done(outcome))
    }

    /// Receives events that could not be verified, with the keys that are to be had now.
    pub(crate) async fn take_unverified(
        self: &Arc<Self>,
        rows: Vec<UnverifiedEvent>,
        keys: &[ServerKey],
    ) -> Result<()> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        room.engine_memory.trim(room.state);
        let mut intake = Intake::default();
        let mut refused = Vec::new();
        // They may authorize each other.
        let mut left = rows;
        loop {
            let before = left.len();
            let mut waiting = Vec::new();
            for row in left {
                match self.receive_unverified(room, &row, keys, &mut intake).await? {
                    Verified::Waits => waiting.push(row),
                    Verified::Taken => {}
                    Verified::Never => refused.push((row.event_id, row.at, None)),
                }
            }
            left = waiting;
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        let ids: Vec<_> = refused.iter().map(|it| it.0.clone()).collect();
        self.end_unverified(room, refused, &mut intake).await?;
        for event_id in ids {
            self.receive_waiting(room, &event_id, &mut intake).await?;
        }
        self.deliver_changes(guard, intake.changed).await;
        Ok(())
    }

    async fn receive_unverified(
        &self,
        room: &mut Loaded,
        row: &UnverifiedEvent,
        keys: &[ServerKey],
        intake: &mut Intake,
    ) -> Result<Verified> {
        let json: RawJson = RawJsonValue::from_string(row.json.clone())?;
        let rules = room.rules.clone();
        let verified = self.verify(std::slice::from_ref(&json), keys, &rules).pop();
        let is_over = row.received_ms + limits::UNVERIFIED_MS < self.now_ms();
        let not_yet = if is_over { Verified::Never } else { Verified::Waits };
        let pdu = match verified {
            Some(Ok(verified)) => Arc::new(verified.pdu),
            Some(Err(Received { outcome: Outcome::NeedsKeys { .. }, .. })) => {
                return Ok(not_yet);
            }
            Some(Err(_)) | None => return Ok(Verified::Never),
        };
        let arrived = Arrived::new(pdu, Kind::Outlier);
        Ok(match self.receive_event(room, arrived, intake).await? {
            Outcome::Waits { .. } => not_yet,
            _ => Verified::Taken,
        })
    }

    /// Events that could not be verified when they came with the join, and are here by now, however
    /// they came, become part of the state before it. Whether there were any.
    pub(super) async fn admit_verified(
        &self,
        room: &mut Loaded,
        intake: &mut Intake,
    ) -> Result<bool> {
        if room.unverified == 0 {
            return Ok(false);
        }
        let rows = unverified::list_known(self.store_of(room).await?, self.scope()).await?;
        let mut known = Vec::with_capacity(rows.len());
        for (event_id, key, at) in rows {
            let event = self.find_event(room, &event_id).await?;
            let event = event.filter(|it| it.verdict != Verdict::Rejected);
            let state = key.zip(event).map(|(key, it)| (key, (it.num, Arc::clone(&it.pdu))));
            known.push((event_id, at, state));
        }
        let is_any = !known.is_empty();
        self.end_unverified(room, known, intake).await?;
        Ok(is_any)
    }

    /// These are verified, or never will be.
    async fn end_unverified(
        &self,
        room: &mut Loaded,
        ended: Vec<Ended>,
        intake: &mut Intake,
    ) -> Result<()> {
        if ended.is_empty() {
            return Ok(());
        }
        let mut plan = Plan::new(room);
        self.plan_verified(room, &mut plan, ended).await?;
        self.commit(room, &mut plan).await?;
        intake.changed.append(&mut room.unwritten.take_untold());
        intake.changed.append(&mut plan.memberships);
        self.reload(room).await
    }

    /// What has been verified becomes part of the state before the join. Where the current state
    /// has nothing else for its key, it changes, at a position where no event stands.
    async fn plan_verified(&self, room: &Loaded, plan: &mut Plan, ended: Vec<Ended>) -> Result<()> {
        let scope = self.scope();
        let mut position = None;
        for (event_id, at, state) in ended {
            plan.stmts.push(unverified::remove(scope, at, &event_id));
            let Some((key, event)) = state else { continue };
            plan.stmts.push(unverified::add_to_state(scope, at, &key, event.0));
            if self.state_event(room, &key.0, &key.1).await?.is_none() {
                let position = *position.get_or_insert_with(|| plan.next_position());
                self.change_current(plan, position, key, None, Some(event))?;
            }
        }
        if position.is_some() {
            plan.is_linear = false;
            let extremities: Vec<_> = room.extremities.iter().map(|(num, _)| *num).collect();
            let stored = room.extremities_stored.then_some(extremities.as_slice());
            let stmt = meta::update_extremities(scope, stored, plan.head());
            plan.stmts.push(stmt);
        }
        Ok(())
    }
}
