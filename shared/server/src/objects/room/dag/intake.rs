//! Receiving one verified event: the engine decides it, or it waits for the events that it names
//! and is received when they come.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use ruma::OwnedEventId;
use skerry_core::{
    Pdu,
    engine::{self, Decision, Event, Mode, Num, State, Undecided, Verdict, Withdrawal},
};

use crate::{
    Error, Result,
    messages::room::{Kind, Outcome, Position},
    objects::room::{
        Room, limits,
        loaded::{
            Loaded,
            decided::{Decided, Placement, new_event},
            plan::{Changed, Plan},
        },
    },
    store::room::{
        gaps::{self, Gap},
        outgoing, pending,
    },
};

/// States after events that are not here.
pub(crate) type Given = Vec<(OwnedEventId, State)>;

/// Positions of events in gaps.
pub(crate) type GapPositions = HashMap<OwnedEventId, (Position, Gap)>;

/// What belongs to events that come together.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) given: Given,
    /// Where history goes.
    pub(crate) gap_positions: GapPositions,
    /// Memberships that have changed so far.
    pub(crate) changed: Vec<Changed>,
    /// Whether what came is handed on to other servers.
    pub(crate) hands_on: bool,
    /// What was withdrawn, and is still cited by outliers.
    pub(super) withdrawn: Vec<Num>,
}

impl Intake {
    /// No state that a peer has given has this event.
    fn withdraw(&mut self, it: Withdrawal) {
        self.withdrawn.push(it.num);
        for event in self.given.iter_mut().flat_map(|it| it.1.changes.values_mut()) {
            *event = it.of(*event);
        }
    }
}

/// A verified event that is to be received.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) kind: Kind,
}

/// What receiving one event came to.
#[derive(Debug)]
pub(super) enum Step {
    /// This became of it.
    Done(Outcome),
    /// These outliers are to be received first, in this order.
    OutliersFirst(Vec<Arc<Pdu>>),
    /// The same; they go where nobody has asked for them.
    AuthorizingFirst(Vec<Arc<Pdu>>),
}

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
            let (outcome, outliers) = match self.receive_one(room, &arrived, intake).await? {
                Step::Done(outcome) => (Some(outcome), self.citing_withdrawn(intake).await?),
                Step::OutliersFirst(outliers) => {
                    // They go where the event goes.
                    let part = outliers.iter().chain([&arrived.pdu]).map(|it| &**it);
                    intake.gap_positions.extend(self.gap_positions(room, part).await?);
                    (None, outliers)
                }
                Step::AuthorizingFirst(outliers) => (None, outliers),
            };
            if outcome.is_none() {
                if !outliers.iter().all(|it| judged.insert(it.event_id.clone())) {
                    return Err(Error::internal("an outlier was judged and has no state"));
                }
                queue.push_front(arrived);
            }
            for pdu in outliers.into_iter().rev() {
                queue.push_front(Arrived { pdu, kind: Kind::Live });
            }
            let Some(outcome) = outcome else { continue };
            let is_here = !matches!(outcome, Outcome::Waits { .. } | Outcome::Known);
            if event_id == first {
                first_outcome.get_or_insert(outcome);
            }
            if !is_here || room.pending == 0 {
                continue;
            }
            let waiting = pending::list_waiting(self.sql(), self.scope(), &event_id).await?;
            for (event_id, json) in waiting {
                let pdu = self.to_pdu(event_id, json)?;
                queue.push_back(Arrived { pdu, kind: Kind::Live });
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
            return self.receive_outlier(room, arrived).await;
        }
        let in_gap = match intake.gap_positions.get(&arrived.pdu.event_id) {
            Some(position) => Some(*position),
            None => self.position_in_gap(room, &arrived.pdu.event_id).await?,
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
        let is_given = |id: &OwnedEventId| {
            intake.given.iter().any(|it| it.0 == *id || it.0 == arrived.pdu.event_id)
        };
        let placement = match in_gap {
            Some((position, gap)) => Placement::InGap(position, gap),
            None if !missing.is_empty() && missing.iter().all(is_given) => {
                Placement::BehindGap(limits::GAP)
            }
            None => Placement::AtEnd,
        };
        let mut plan = Plan::new(room);
        if let Placement::BehindGap(positions) = placement {
            plan.leave_gap(positions);
        }
        let num = stored.as_ref().map_or_else(|| plan.next_position(), |it| it.num);
        let event = new_event(room, num, &arrived.pdu);
        let decision = match self.judge(room, &event, &intake.given, placement).await? {
            Ok(decision) => decision,
            Err(Undecided::Waits { auth, prev }) => {
                return self.wait(room, arrived, auth, prev).await.map(Step::Done);
            }
            Err(Undecided::Outliers(ids)) => return self.outliers_first(room, arrived, ids).await,
            Err(Undecided::Authorizing(ids)) => {
                return self.list_pdus(room, ids).await.map(Step::AuthorizingFirst);
            }
            Err(Undecided::Incomplete) => return Err(Error::internal("no decision was made")),
        };
        let was_rejected = stored.as_ref().is_some_and(|it| it.verdict == Verdict::Rejected);
        let is_same = decision.extremities.iter().eq(room.extremities.iter().map(|(num, _)| num));
        if was_rejected && decision.before.is_none() && is_same {
            return Ok(Step::Done(Outcome::Known));
        }
        let outcome = outcome(&decision);
        if let Some(withdrawal) = decision.withdrawal {
            intake.withdraw(withdrawal);
        }
        let may_notify = self.may_notify_by(room, &arrived.pdu, decision.before.as_ref()).await?;
        let was_outlier = stored.is_some();
        let decided = Decided { event, was_outlier, decision, placement, missing, may_notify };
        intake.changed.append(&mut self.write_decided(room, plan, decided, intake.hands_on).await?);
        Ok(Step::Done(outcome))
    }

    /// Outliers that come before the event are here and can be judged. History comes as a connected
    /// part: they are to be among it.
    async fn outliers_first(
        &self,
        room: &mut Loaded,
        arrived: &Arrived,
        ids: Vec<OwnedEventId>,
    ) -> Result<Step> {
        if arrived.kind == Kind::History {
            return Ok(Step::Done(Outcome::Waits { auth: Vec::new(), prev: ids }));
        }
        self.list_pdus(room, ids).await.map(Step::OutliersFirst)
    }

    /// Asks the engine what becomes of an event.
    async fn judge(
        &self,
        room: &mut Loaded,
        event: &Event,
        given: &Given,
        placement: Placement,
    ) -> Result<std::result::Result<Decision, Undecided>> {
        let create = self.create_num(room).await?;
        let extremities: Vec<Num> = room.extremities.iter().map(|(num, _)| *num).collect();
        let in_gap = matches!(placement, Placement::InGap(..));
        let mode = if in_gap { Mode::History } else { Mode::Live };
        self.decide(room, |room| {
            let head = room.engine_head(create, &extremities);
            engine::decide(&room.engine_memory, &head, event, given, mode, in_gap)
        })
        .await
    }

    /// Writes a decided event and what it does as a redaction. Gives the memberships it changed.
    async fn write_decided(
        &self,
        room: &mut Loaded,
        mut plan: Plan,
        decided: Decided,
        hands_on: bool,
    ) -> Result<Vec<Changed>> {
        let (num, pdu) = (decided.event.num, Arc::clone(&decided.event.pdu));
        let Decided { was_outlier, placement, .. } = decided;
        let before = decided.decision.before.clone();
        let is_visible = decided.decision.verdict == Verdict::Accepted;
        self.plan_decided(room, &mut plan, decided, None).await?;
        if hands_on && is_visible {
            plan.stmts.push(outgoing::hand_on(self.scope(), num));
        }
        let redacted = match is_visible {
            true => self.apply_redactions(room, &mut plan, num, &pdu, before.as_ref()).await?,
            false => false,
        };
        if room.pending > 0 {
            plan.stmts.extend(pending::remove(self.scope(), &pdu.event_id));
        }
        self.commit(room, &mut plan).await?;
        if room.pending > 0 {
            room.pending = pending::count(self.sql(), self.scope()).await?;
        }
        if placement != Placement::AtEnd {
            room.gaps = gaps::list(self.sql(), self.scope()).await?;
        }
        if redacted || placement != Placement::AtEnd || was_outlier {
            // What memory has of the newest events does not have this one.
            room.memory.redacted(room.head);
        }
        Ok(std::mem::take(&mut plan.memberships))
    }

    /// The events before this one of which no state is event.
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

    /// Keeps an event that waits for others.
    async fn wait(
        &self,
        room: &mut Loaded,
        arrived: &Arrived,
        auth: Vec<OwnedEventId>,
        prev: Vec<OwnedEventId>,
    ) -> Result<Outcome> {
        if arrived.kind == Kind::Live {
            let (sql, scope) = (self.sql(), self.scope());
            let awaited: Vec<_> = auth.iter().chain(&prev).cloned().collect();
            let server = arrived.pdu.sender.server_name();
            let stmts = pending::insert(scope, &arrived.pdu, server, &awaited, self.now_ms())?;
            let mut plan = Plan::new(room);
            plan.stmts.extend(stmts);
            plan.expire_at(self.now_ms() + limits::PENDING_EVENT_MS);
            self.commit_quietly(room, &mut plan).await?;
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
