//! Receiving one verified event: the engine decides it, or it waits for the events that it names
//! and is received when they come.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use ruma::OwnedEventId;
use skerry_core::{
    Pdu,
    engine::{self, Circumstances, Decision, Event, Given, Mode, Num, Undecided, Verdict},
    notify,
};

use crate::{
    Error, Result,
    messages::room::{Kind, Outcome},
    objects::room::{
        Room,
        dag::intake::{Arrived, Intake, Step},
        loaded::{
            Loaded,
            decided::{Decided, Placement, new_event},
            plan::Plan,
        },
    },
    store::room::{gaps, outgoing, pending},
};

impl Room {
    /// Receives one event and all that have waited for it.
    pub(crate) async fn receive_event(
        &self,
        room: &mut Loaded,
        arrived: Arrived,
        intake: &mut Intake,
    ) -> Result<Outcome> {
        let first = arrived.pdu.event_id.clone();
        let mut queue = VecDeque::from([arrived]);
        let mut first_outcome = None;
        let mut judged = HashSet::new();
        while let Some(arrived) = queue.pop_front() {
            let event_id = arrived.pdu.event_id.clone();
            let may_wait = arrived.kind == Kind::Live;
            let (mut outcome, mut outliers) = match self.receive_one(room, &arrived, intake).await?
            {
                Step::Done(outcome) => (Some(outcome), self.citing_withdrawn(room, intake).await?),
                Step::OutliersFirst(outliers) => {
                    // They go where the event goes.
                    let part = outliers.iter().chain([&arrived.pdu]).map(|it| &**it);
                    let positions = self.gap_positions(room, &intake.ahead, part).await?;
                    intake.gap_positions.extend(positions);
                    (None, outliers)
                }
                Step::AuthorizingFirst(outliers) => (None, outliers),
            };
            if outcome.is_none() {
                if outliers.iter().all(|it| judged.insert(it.event_id.clone())) {
                    queue.push_front(arrived);
                } else {
                    // They were judged and have no state: they wait for keys.
                    let ids = outliers.drain(..).map(|it| it.event_id.clone()).collect();
                    outcome = Some(self.wait(room, &arrived, intake, ids, Vec::new()).await?);
                }
            }
            for pdu in outliers.into_iter().rev() {
                queue.push_front(Arrived::new(pdu, Kind::Live));
            }
            let Some(outcome) = outcome else { continue };
            let waits = matches!(outcome, Outcome::Waits { .. });
            let was_admitted = !waits && self.admit_verified(room, intake).await?;
            if may_wait && outcome == Outcome::Known && !intake.nothing_waits(room, &event_id) {
                // It came in another way than by what it waited for.
                self.write_batch(pending::remove(self.scope(), &event_id).into(), None).await?;
                room.pending = pending::count(self.store_of(room).await?, self.scope()).await?;
            }
            let is_here = was_admitted || is_decided(&outcome);
            if event_id == first {
                first_outcome.get_or_insert(outcome);
            }
            if is_here && !intake.nothing_waits(room, &event_id) {
                let sql = self.store_of(room).await?;
                for (event_id, json) in pending::list_waiting(sql, self.scope(), &event_id).await? {
                    let pdu = self.to_pdu(event_id, json)?;
                    queue.push_back(Arrived::new(pdu, Kind::Live));
                }
            }
        }
        first_outcome.ok_or_else(|| Error::internal("nothing was received"))
    }

    async fn receive_one(
        &self,
        room: &mut Loaded,
        arrived: &Arrived,
        intake: &mut Intake,
    ) -> Result<Step> {
        let stored = self.find_event(room, &arrived.pdu.event_id).await?;
        let is_known = |it: &Arc<Event>| it.states.is_some() || arrived.kind == Kind::Outlier;
        if stored.as_ref().is_some_and(is_known) {
            return Ok(Step::Done(Outcome::Known));
        }
        if arrived.kind == Kind::Outlier {
            return self.receive_outlier(room, arrived, intake).await;
        }
        let in_gap = match intake.gap_positions.get(&arrived.pdu.event_id) {
            Some(position) => Some(*position),
            None => self.position_in_gap(room, &intake.ahead, &arrived.pdu.event_id).await?,
        };
        if in_gap.is_none() {
            if arrived.kind == Kind::History {
                let reason = "it is not history of an event that is here".to_owned();
                return Ok(Step::Done(Outcome::Dropped { reason }));
            }
            // What begins the room is never new.
            if stored.as_ref().is_some_and(|it| it.pdu.prev_events.is_empty()) {
                return Ok(Step::Done(Outcome::Known));
            }
        }
        let missing = self.missing_prev(room, &arrived.pdu).await?;
        let placement = intake.placement(&arrived.pdu, in_gap, &missing);
        let mut plan = Plan::new(room);
        if let Placement::BehindGap(positions) = placement {
            plan.leave_gap(positions);
        }
        let num = stored.as_ref().map_or_else(|| plan.next_position(), |it| it.num);
        let event = new_event(room, num, &arrived.pdu);
        match self.judge(room, (arrived, &event), &intake.given, placement).await? {
            Ok(decision) => {
                let was_outlier = stored.is_some();
                let may_notify = false;
                let decided =
                    Decided { event, was_outlier, decision, placement, missing, may_notify };
                self.take_decided(room, (plan, decided), arrived, stored, intake).await
            }
            Err(undecided) => self.take_undecided(room, arrived, intake, undecided).await,
        }
    }

    /// What is done with an event that has been decided. `stored`: as which it was here before.
    async fn take_decided(
        &self,
        room: &mut Loaded,
        (plan, mut decided): (Plan, Decided),
        arrived: &Arrived,
        stored: Option<Arc<Event>>,
        intake: &mut Intake,
    ) -> Result<Step> {
        let decision = &decided.decision;
        let was_rejected = stored.is_some_and(|it| it.verdict == Verdict::Rejected);
        let is_same = decision.extremities.iter().eq(room.extremities.iter().map(|(num, _)| num));
        if was_rejected && decision.before.is_none() && is_same {
            return Ok(Step::Done(Outcome::Known));
        }
        let outcome = outcome(decision);
        if arrived.own.is_some() && decision.verdict != Verdict::Accepted {
            return Ok(Step::Done(outcome));
        }
        if let Some(withdrawal) = decision.withdrawal {
            intake.withdraw(withdrawal);
        }
        decided.may_notify = notify::may_mention_room(&arrived.pdu.content)
            && self.may_notify_by(room, &arrived.pdu, decision.before.as_ref()).await?;
        self.write_decided(room, plan, decided, arrived, intake).await?;
        Ok(Step::Done(outcome))
    }

    /// What is done with an event that cannot be decided yet.
    async fn take_undecided(
        &self,
        room: &mut Loaded,
        arrived: &Arrived,
        intake: &mut Intake,
        undecided: Undecided,
    ) -> Result<Step> {
        match undecided {
            Undecided::Incomplete => Err(Error::internal("no decision was made")),
            Undecided::Unverified(_) if arrived.own.is_some() => {
                let reason = engine::NOT_VERIFIED.to_owned();
                Ok(Step::Done(Outcome::Rejected { reason }))
            }
            Undecided::Unverified(ids) => self.wait_for_keys(room, arrived, intake, ids).await,
            _ if arrived.own.is_some() => Err(Error::internal("an own event waits")),
            Undecided::Waits { auth, prev } => {
                self.wait(room, arrived, intake, auth, prev).await.map(Step::Done)
            }
            Undecided::Hearsay(prev) => Ok(Step::Done(Outcome::Waits { auth: Vec::new(), prev })),
            // History comes as a connected part: they are to be among it.
            Undecided::Outliers(prev) if arrived.kind == Kind::History => {
                Ok(Step::Done(Outcome::Waits { auth: Vec::new(), prev }))
            }
            Undecided::Outliers(ids) => self.list_pdus(room, ids).await.map(Step::OutliersFirst),
            Undecided::Authorizing(ids) => {
                self.list_pdus(room, ids).await.map(Step::AuthorizingFirst)
            }
        }
    }

    /// Asks the engine what becomes of an event.
    async fn judge(
        &self,
        room: &mut Loaded,
        (arrived, event): (&Arrived, &Event),
        given: &[Given],
        placement: Placement,
    ) -> Result<std::result::Result<Decision, Undecided>> {
        let create = self.create_num(room).await?;
        let extremities: Vec<Num> = room.extremities.iter().map(|(num, _)| *num).collect();
        let in_gap = matches!(placement, Placement::InGap(..));
        let mode = match (in_gap, &arrived.own) {
            (true, _) => Mode::History,
            (false, Some(_)) => Mode::Own,
            (false, None) => Mode::Live,
        };
        let is_recommended =
            arrived.kind != Kind::Live || self.is_recommended(room, &arrived.pdu).await?;
        let circumstances = Circumstances { mode, given, is_referenced: in_gap, is_recommended };
        self.decide(room, |room| {
            let head = room.engine_head(create, &extremities);
            engine::decide(&room.engine_memory, &head, event, circumstances)
        })
        .await
    }

    /// Writes a decided event and what it does as a redaction, or plans it where more follow.
    async fn write_decided(
        &self,
        room: &mut Loaded,
        mut plan: Plan,
        decided: Decided,
        arrived: &Arrived,
        intake: &mut Intake,
    ) -> Result<()> {
        let (num, pdu) = (decided.event.num, &arrived.pdu);
        let Decided { was_outlier, placement, .. } = decided;
        let before = decided.decision.before.clone();
        let is_visible = decided.decision.verdict == Verdict::Accepted;
        let nothing_waits = intake.nothing_waits(room, &pdu.event_id);
        let is_next = placement == Placement::AtEnd
            && !was_outlier
            && nothing_waits
            && decided.decision.withdrawal.is_none();
        self.plan_decided(room, &mut plan, decided, arrived.transaction()).await?;
        if intake.hands_on && is_visible {
            plan.stmts.push(outgoing::hand_on(self.scope(), num));
        }
        let redacted = match is_visible {
            true => {
                let ahead = &mut intake.ahead;
                self.apply_redactions(room, &mut plan, (num, pdu), before.as_ref(), ahead).await?
            }
            false => false,
        };
        if !nothing_waits {
            plan.stmts.extend(pending::remove(self.scope(), &pdu.event_id));
        }
        match is_next && intake.is_together {
            true => self.commit_with_next(room, &mut plan).await?,
            false => {
                self.commit(room, &mut plan).await?;
                intake.changed.append(&mut room.unwritten.take_untold());
                intake.changed.append(&mut plan.memberships);
            }
        }
        if !nothing_waits {
            room.pending = pending::count(self.store_of(room).await?, self.scope()).await?;
        }
        if placement != Placement::AtEnd {
            intake.ahead.gaps_changed();
            room.gaps = gaps::list(self.store_of(room).await?, self.scope()).await?;
        }
        if redacted || placement != Placement::AtEnd || was_outlier {
            // What memory has of the newest events does not have this one.
            room.memory.redacted(room.head);
        }
        Ok(())
    }

    /// The events before this one of which no state is known.
    pub(crate) async fn missing_prev(
        &self,
        room: &mut Loaded,
        pdu: &Pdu,
    ) -> Result<Vec<OwnedEventId>> {
        let mut missing = Vec::new();
        for event_id in &pdu.prev_events {
            let event = self.find_event(room, event_id).await?;
            if event.is_none_or(|it| it.states.is_none()) {
                missing.push(event_id.clone());
            }
        }
        Ok(missing)
    }
}

/// Whether an event has states from now on, so that those can be decided that wait for it.
fn is_decided(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Accepted { .. } | Outcome::SoftFailed { .. } | Outcome::Rejected { .. }
    )
}

/// What a decision is to whoever sent the event.
fn outcome(decision: &engine::Decision) -> Outcome {
    let reason = decision.reason.clone().unwrap_or_default();
    match decision.verdict {
        Verdict::Accepted => Outcome::Accepted { redacted: false },
        Verdict::SoftFailed => Outcome::SoftFailed { reason },
        Verdict::Rejected => Outcome::Rejected { reason },
    }
}
