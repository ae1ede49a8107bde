//! Outliers: events that are known because others name them. They are decided by their auth events
//! alone, until the state before them is known.

use std::{collections::HashSet, sync::Arc};

use ruma::OwnedEventId;
use skerry_core::{
    Pdu,
    engine::{self, Event, Num, Undecided, Verdict},
};

use crate::{
    Error, Result,
    messages::room::{Kind, Outcome},
    objects::room::{
        Room,
        dag::intake::{Arrived, Intake, Step},
        loaded::{
            Loaded,
            decided::{EventRow, new_event},
            plan::Plan,
        },
    },
    store::room::{events::Judgment, graph},
};

impl Room {
    /// An event that is wanted only because others name it among their auth events.
    pub(super) async fn receive_outlier(
        &self,
        room: &mut Loaded,
        arrived: &Arrived,
        intake: &Intake,
    ) -> Result<Step> {
        let mut plan = Plan::new(room);
        let num = plan.next_position();
        let event = new_event(room, num, &arrived.pdu);
        let create = self.create_num(room).await?;
        let decision = self.decide(room, |it| {
            engine::decide_outlier(&it.engine_memory, &it.rules, create, &event)
        });
        let (verdict, reason, auth) = match decision.await? {
            Ok(decision) => decision,
            Err(Undecided::Waits { auth, .. }) => {
                return Ok(Step::Done(Outcome::Waits { auth, prev: Vec::new() }));
            }
            Err(Undecided::Authorizing(ids)) => {
                return self.list_pdus(room, ids).await.map(Step::AuthorizingFirst);
            }
            Err(_) => return Err(Error::internal("no decision was made")),
        };
        self.insert_outlier(&mut plan, event, verdict, auth)?;
        match intake.is_together {
            true => self.commit_with_next(room, &mut plan).await?,
            false => self.commit(room, &mut plan).await?,
        }
        Ok(Step::Done(match reason {
            None => Outcome::Accepted { redacted: false },
            Some(reason) => Outcome::Rejected { reason },
        }))
    }

    /// The row of an outlier.
    pub(crate) fn insert_outlier(
        &self,
        plan: &mut Plan,
        mut event: Event,
        verdict: Verdict,
        auth: Box<[Num]>,
    ) -> Result<()> {
        event.verdict = verdict;
        event.auth = auth;
        let auth =
            (event.key.is_some() && verdict == Verdict::Accepted).then(|| event.auth.clone());
        let row = EventRow {
            num: event.num,
            position: event.num,
            pdu: &event.pdu,
            states: None,
            replaces: None,
            judgment: Judgment { verdict, auth },
        };
        self.insert_event(plan, row, None, || false)?;
        plan.events.push(Arc::new(event));
        Ok(())
    }

    /// Receives outliers as events of the room, in their order. `judged`: those that have been.
    /// Whether each has a state now; else it waits for keys.
    pub(super) async fn judge_outliers(
        &self,
        room: &mut Loaded,
        outliers: Vec<OwnedEventId>,
        judged: &mut HashSet<OwnedEventId>,
        intake: &mut Intake,
    ) -> Result<bool> {
        for event_id in outliers {
            let event = self.find_event(room, &event_id).await?;
            let Some(event) = event.filter(|_| judged.insert(event_id)) else { return Ok(false) };
            let arrived = Arrived::new(Arc::clone(&event.pdu), Kind::Live);
            if let Outcome::Waits { .. } = self.receive_event(room, arrived, intake).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Outliers before the join that build on what is here come first: no state is believed about
    /// what can be judged.
    pub(super) async fn judge_before(
        &self,
        room: &mut Loaded,
        create: Num,
        pdu: &Arc<Pdu>,
        intake: &mut Intake,
    ) -> Result<()> {
        let mut judged = HashSet::new();
        loop {
            let (num, at) = (room.head + 1, room.state);
            let event = new_event(room, num, pdu);
            let outliers: Vec<OwnedEventId> = match self
                .decide_join(room, create, at, &event)
                .await?
            {
                Err(Undecided::Outliers(outliers) | Undecided::Authorizing(outliers)) => outliers,
                _ => return Ok(()),
            };
            // What waits for keys is judged when they are here.
            if !self.judge_outliers(room, outliers, &mut judged, intake).await? {
                return Ok(());
            }
        }
    }

    /// These outliers.
    pub(super) async fn list_pdus(
        &self,
        room: &mut Loaded,
        ids: Vec<OwnedEventId>,
    ) -> Result<Vec<Arc<Pdu>>> {
        let mut pdus = Vec::with_capacity(ids.len());
        for id in ids {
            pdus.extend(self.find_event(room, &id).await?.map(|it| Arc::clone(&it.pdu)));
        }
        Ok(pdus)
    }

    /// The outliers that cite what was withdrawn, and are to be judged again.
    pub(super) async fn citing_withdrawn(
        &self,
        room: &Loaded,
        intake: &mut Intake,
    ) -> Result<Vec<Arc<Pdu>>> {
        let mut outliers = Vec::new();
        if intake.withdrawn.is_empty() {
            return Ok(outliers);
        }
        let sql = self.store_of(room).await?;
        for num in intake.withdrawn.drain(..) {
            let mut before = Num::MAX;
            loop {
                let page = graph::list_citers(sql, self.scope(), num, before).await?;
                let Some(last) = page.last() else { break };
                before = *last;
                for row in graph::list(sql, self.scope(), &page).await? {
                    if row.states.is_none() {
                        outliers.push(self.to_auth_pdu(
                            row.event_id,
                            row.json,
                            row.auth_content,
                        )?);
                    }
                }
            }
        }
        Ok(outliers)
    }
}
