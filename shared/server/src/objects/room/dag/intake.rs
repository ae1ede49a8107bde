//! Taking in one verified event: what the engine decides of it. An event waits for those that it
//! names, and is taken up when they come.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use ruma::OwnedEventId;
use skerry_core::{
    Pdu,
    engine::{self, Decision, Known, Mode, Num, State, Undecided, Verdict},
};

use crate::{
    Error, Result,
    messages::room::{Kind, Outcome, Position},
    objects::room::{
        Room, limits,
        loaded::{
            Loaded,
            decided::{Decided, Entering, Place, new_known},
            plan::{Changed, Plan},
        },
    },
    store::room::{
        events::Standing,
        gaps::{self, Gap},
        pending,
    },
};

/// States after events that are not here.
pub(crate) type Given = Vec<(OwnedEventId, State)>;

/// Positions of events in gaps.
pub(crate) type Places = HashMap<OwnedEventId, (Position, Gap)>;

/// What belongs to events that come together.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) given: Given,
    /// Where history goes.
    pub(crate) places: Places,
    /// Memberships that have changed so far.
    pub(crate) changed: Vec<Changed>,
}

/// A verified event that is to be taken in.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) kind: Kind,
}

/// What taking in one event came to.
#[derive(Debug)]
enum Taken {
    /// This became of it.
    Done(Outcome),
    /// These outliers are to be taken in first, in this order.
    After(Vec<Arc<Pdu>>),
}

impl Room {
    /// Takes in one event and all that have waited for it.
    pub(crate) async fn take_in(
        &self,
        room: &mut Loaded,
        event: Arrived,
        intake: &mut Intake,
    ) -> Result<Outcome> {
        let asked = event.pdu.event_id.clone();
        let mut queue = VecDeque::from([event]);
        let mut asked_for = None;
        let mut judged = HashSet::new();
        while let Some(event) = queue.pop_front() {
            let event_id = event.pdu.event_id.clone();
            let outcome = match self.take_in_one(room, &event, intake).await? {
                Taken::Done(outcome) => outcome,
                Taken::After(outliers) => {
                    if !outliers.iter().all(|it| judged.insert(it.event_id.clone())) {
                        return Err(Error::internal("an outlier was judged and has no state"));
                    }
                    // They go where the event goes.
                    let part = outliers.iter().chain([&event.pdu]).map(|it| &**it);
                    intake.places.extend(self.places(room, part).await?);
                    queue.push_front(event);
                    for pdu in outliers.into_iter().rev() {
                        queue.push_front(Arrived { pdu, kind: Kind::Live });
                    }
                    continue;
                }
            };
            let is_here = !matches!(outcome, Outcome::Waits { .. } | Outcome::Known);
            if event_id == asked {
                asked_for.get_or_insert(outcome);
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
        asked_for.ok_or_else(|| Error::internal("nothing was taken in"))
    }

    async fn take_in_one(
        &self,
        room: &mut Loaded,
        event: &Arrived,
        intake: &mut Intake,
    ) -> Result<Taken> {
        let stored = self.known(room, &event.pdu.event_id).await?;
        let is_known = |it: &Arc<Known>| it.states.is_some() || event.kind == Kind::Outlier;
        if stored.as_ref().is_some_and(is_known) {
            return Ok(Taken::Done(Outcome::Known));
        }
        if event.kind == Kind::Outlier {
            return self.take_in_outlier(room, event).await.map(Taken::Done);
        }
        let place = match intake.places.get(&event.pdu.event_id) {
            Some(place) => Some(*place),
            None => self.place_in_gap(room, &event.pdu.event_id).await?,
        };
        if place.is_none() {
            if event.kind == Kind::History {
                let reason = "it is not history of an event that is here".to_owned();
                return Ok(Taken::Done(Outcome::Dropped { reason }));
            }
            // What begins the room is never new.
            if stored.as_ref().is_some_and(|it| it.pdu.prev_events.is_empty()) {
                return Ok(Taken::Done(Outcome::Known));
            }
        }
        let missing = self.missing_prev(room, &event.pdu).await?;
        let is_given = |id: &OwnedEventId| {
            intake.given.iter().any(|it| it.0 == *id || it.0 == event.pdu.event_id)
        };
        let place = match place {
            Some((position, gap)) => Place::Gap(position, gap),
            None if !missing.is_empty() && missing.iter().all(is_given) => {
                Place::BehindGap(limits::GAP)
            }
            None => Place::End,
        };
        let mut plan = Plan::new(room);
        if let Place::BehindGap(positions) = place {
            plan.leave_gap(positions);
        }
        let num = stored.as_ref().map_or_else(|| plan.next_position(), |it| it.num);
        let known = new_known(room, num, &event.pdu);
        let decision = match self.judge(room, &known, &intake.given, place).await? {
            Ok(decision) => decision,
            Err(Undecided::Waits { auth, prev }) => {
                return self.wait(room, event, auth, prev).await.map(Taken::Done);
            }
            Err(Undecided::Outliers(ids)) => return self.after_outliers(room, event, ids).await,
            Err(Undecided::Incomplete) => return Err(Error::internal("no decision was made")),
        };
        let was_rejected = stored.as_ref().is_some_and(|it| it.verdict == Verdict::Rejected);
        let is_same = decision.extremities.iter().eq(room.ends.iter().map(|(num, _)| num));
        if was_rejected && decision.before.is_none() && is_same {
            return Ok(Taken::Done(Outcome::Known));
        }
        let outcome = outcome(&decision);
        let may_notify = self.may_notify_by(room, &event.pdu, decision.before.as_ref()).await?;
        let is_stored = stored.is_some();
        let decided = Decided { known, is_stored, decision, place, missing, may_notify };
        intake.changed.append(&mut self.settle_in(room, plan, decided).await?);
        Ok(Taken::Done(outcome))
    }

    /// Outliers that come before the event are here and can be judged. What is history is told as
    /// a connected part: they are to be among it.
    async fn after_outliers(
        &self,
        room: &mut Loaded,
        event: &Arrived,
        ids: Vec<OwnedEventId>,
    ) -> Result<Taken> {
        if event.kind == Kind::History {
            return Ok(Taken::Done(Outcome::Waits { auth: Vec::new(), prev: ids }));
        }
        let mut outliers = Vec::with_capacity(ids.len());
        for id in ids {
            outliers.extend(self.known(room, &id).await?.map(|it| Arc::clone(&it.pdu)));
        }
        Ok(Taken::After(outliers))
    }

    /// Asks the engine what becomes of an event.
    async fn judge(
        &self,
        room: &mut Loaded,
        known: &Known,
        given: &Given,
        place: Place,
    ) -> Result<std::result::Result<Decision, Undecided>> {
        let create = self.create_num(room).await?;
        let ends: Vec<Num> = room.ends.iter().map(|(num, _)| *num).collect();
        let in_gap = matches!(place, Place::Gap(..));
        let mode = if in_gap { Mode::History } else { Mode::Live };
        self.decide(room, |it| {
            let head = it.engine_head(create, &ends);
            engine::decide(&it.graph, &head, known, given, mode, in_gap)
        })
        .await
    }

    /// Writes a decided event and what it does as a redaction. Gives the memberships it changed.
    async fn settle_in(
        &self,
        room: &mut Loaded,
        mut plan: Plan,
        decided: Decided,
    ) -> Result<Vec<Changed>> {
        let (num, pdu) = (decided.known.num, Arc::clone(&decided.known.pdu));
        let Decided { is_stored, place, .. } = decided;
        let before = decided.decision.before.clone();
        let is_visible = decided.decision.verdict == Verdict::Accepted;
        self.enter(room, &mut plan, decided, None).await?;
        let redacted = match is_visible {
            true => self.redactions(room, &mut plan, num, &pdu, before.as_ref()).await?,
            false => false,
        };
        if room.pending > 0 {
            plan.stmts.extend(pending::remove(self.scope(), &pdu.event_id));
        }
        self.commit(room, &mut plan).await?;
        if room.pending > 0 {
            room.pending = pending::count(self.sql(), self.scope()).await?;
        }
        if place != Place::End {
            room.gaps = gaps::list(self.sql(), self.scope()).await?;
        }
        if redacted || place != Place::End || is_stored {
            // What memory has of the newest events does not have this one.
            room.memory.redacted(room.head);
        }
        Ok(std::mem::take(&mut plan.memberships))
    }

    /// The events before this one of which no state is known.
    pub(crate) async fn missing_prev(
        &self,
        room: &mut Loaded,
        pdu: &Pdu,
    ) -> Result<Vec<OwnedEventId>> {
        let mut missing = Vec::new();
        for event_id in &pdu.prev_events {
            let known = self.known(room, event_id).await?;
            if known.is_none_or(|it| it.states.is_none()) {
                missing.push(event_id.clone());
            }
        }
        Ok(missing)
    }

    /// An event that is wanted only because others name it among their auth events.
    async fn take_in_outlier(&self, room: &mut Loaded, event: &Arrived) -> Result<Outcome> {
        let mut plan = Plan::new(room);
        let num = plan.next_position();
        let known = new_known(room, num, &event.pdu);
        let create = self.create_num(room).await?;
        let decision =
            self.decide(room, |it| engine::decide_outlier(&it.graph, &it.rules, create, &known));
        let (verdict, reason, auth) = match decision.await? {
            Ok(decision) => decision,
            Err(Undecided::Waits { auth, .. }) => {
                return Ok(Outcome::Waits { auth, prev: Vec::new() });
            }
            Err(Undecided::Incomplete | Undecided::Outliers(_)) => {
                return Err(Error::internal("no decision was made"));
            }
        };
        self.insert_outlier(&mut plan, known, verdict, auth)?;
        self.commit(room, &mut plan).await?;
        Ok(match reason {
            None => Outcome::Accepted { redacted: false },
            Some(reason) => Outcome::Rejected { reason },
        })
    }

    /// The row of an outlier.
    pub(crate) fn insert_outlier(
        &self,
        plan: &mut Plan,
        mut known: Known,
        verdict: Verdict,
        auth: Box<[Num]>,
    ) -> Result<()> {
        known.verdict = verdict;
        known.auth = auth;
        let auth =
            (known.key.is_some() && verdict == Verdict::Accepted).then(|| known.auth.clone());
        let event = Entering {
            num: known.num,
            position: known.num,
            pdu: &known.pdu,
            states: None,
            replaces: None,
            standing: Standing { verdict, auth },
        };
        self.insert_event(plan, event, None, || false)?;
        plan.known.push(Arc::new(known));
        Ok(())
    }

    /// Keeps an event that waits for others.
    async fn wait(
        &self,
        room: &mut Loaded,
        event: &Arrived,
        auth: Vec<OwnedEventId>,
        prev: Vec<OwnedEventId>,
    ) -> Result<Outcome> {
        if event.kind == Kind::Live {
            let (sql, scope) = (self.sql(), self.scope());
            let awaited: Vec<_> = auth.iter().chain(&prev).cloned().collect();
            let server = event.pdu.sender.server_name();
            let stmts = pending::insert(scope, &event.pdu, server, &awaited, self.now_ms())?;
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
