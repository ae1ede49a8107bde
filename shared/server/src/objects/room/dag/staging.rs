//! What a join was answered with: its state and auth chain come in parts, are verified and staged,
//! and then authorized in the order in which they build on each other. At no time is more of them
//! in memory than a page, and integers.
//!
//! Parts belong to an attempt. A new attempt supersedes another one, whatever became of it: what
//! one server answered is never mixed with what another one did.

use std::{collections::HashSet, sync::Arc};

use http::StatusCode;
use ruma::{
    EventId, OwnedEventId, RoomVersionId, api::error::ErrorKind, events::TimelineEventType,
    room_version_rules::RoomVersionRules,
};
use skerry_core::{
    Pdu,
    engine::{self, Num, Undecided, View as _},
    join_order::{self, JoinOrder},
    receipt::{self, Verified},
    room_version,
};

use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{Outcome, Received, Stage},
    },
    objects::room::{
        Room,
        dag::intake::Intake,
        limits,
        loaded::{Loaded, decided::new_event, plan::Plan},
    },
    ports::Stmt,
    store::room::{graph, meta, staged, unverified},
};

/// What a join is answered with is larger than [`limits`] say.
const TOO_LARGE: &str = "the room's state and auth chain are too large for this server";

impl Room {
    /// Keeps a part of the state of a room that is being joined.
    pub(crate) async fn stage(self: &Arc<Self>, command: Stage) -> Result<Vec<Received>> {
        let Stage { attempt, begins, room_version, events, is_state, keys } = command;
        if attempt.is_empty() || attempt.len() > limits::ATTEMPT_BYTES {
            let most = limits::ATTEMPT_BYTES;
            let message = format!("the ID of an attempt has between 1 and {most} bytes");
            return Err(Error::invalid_param(message));
        }
        if events.len() > limits::STAGED_PART {
            let message = format!("a part has at most {} events", limits::STAGED_PART);
            return Err(Error::api(ErrorKind::TooLarge, message));
        }
        let rules = room_version::rules(&room_version).ok_or_else(unsupported)?;
        let verified = self.verify(&events, &keys, &rules);
        let mut guard = self.lock_to_begin().await?;
        let scope = self.scope();
        let mut stmts = Vec::new();
        let mut unverified = Vec::new();
        let mut seq = 0;
        if let Some(attempt) = self.find_attempt(&attempt, &room_version).await? {
            seq = attempt.last_seq;
        } else if begins {
            if guard.is_none() {
                *guard = self.load().await?;
            }
            stmts.extend(staged::remove_attempt(scope));
            match guard.as_ref() {
                Some(room) => check_version(&room_version, &room.version)?,
                None => stmts.extend(meta::remove_beginnings(scope)),
            }
        } else {
            return Err(superseded());
        }
        let mut outcomes = Vec::with_capacity(verified.len());
        for (event, it) in events.iter().zip(verified) {
            outcomes.push(match it {
                Ok(Verified { pdu, redacted }) => {
                    seq += 1;
                    stmts.push(staged::insert(scope, seq, &pdu, is_state)?);
                    let outcome = Outcome::Accepted { redacted };
                    Received { event_id: Some(pdu.event_id), outcome }
                }
                Err(received) => {
                    if matches!(received.outcome, Outcome::NeedsKeys { .. }) {
                        unverified.push(event);
                    }
                    received
                }
            });
        }
        stmts.extend(self.stage_unverified((&unverified, is_state), begins, &rules).await?);
        if seq > limits::STAGED_EVENTS as u64 {
            return Err(Error::api(ErrorKind::TooLarge, TOO_LARGE));
        }
        let now_ms = self.now_ms();
        stmts.push(staged::upsert_attempt(scope, &attempt, &room_version, now_ms));
        self.write_batch(stmts, Some(now_ms + limits::STAGED_MS)).await?;
        Ok(outcomes)
    }

    /// Keeps what a join comes with and cannot be verified. `begins`: it is the first of it.
    async fn stage_unverified(
        &self,
        (events, is_state): (&[&RawJson], bool),
        begins: bool,
        rules: &RoomVersionRules,
    ) -> Result<Vec<Stmt>> {
        let mut stmts = Vec::new();
        if events.is_empty() {
            return Ok(stmts);
        }
        let (mut count, mut bytes) = match begins {
            true => (0, 0),
            false => unverified::count_staged(self.sql(), self.scope()).await?,
        };
        for event in events {
            let Ok(receipt::Received { pdu, .. }) = receipt::read(event, &self.id, rules) else {
                continue;
            };
            count += 1;
            bytes += pdu.json.len() as u64;
            if count > limits::UNVERIFIED_EVENTS || bytes > limits::UNVERIFIED_BYTES {
                let event_id = &pdu.event_id;
                tracing::warn!(room_id = %self.id, %event_id, "too many keys are missing for a join");
                break;
            }
            stmts.push(unverified::stage(self.scope(), &pdu, is_state, self.now_ms()));
        }
        Ok(stmts)
    }

    /// Removes an attempt for which nothing has come for long, or sets the alarm for when that
    /// will be so. The alarm calls it, whether or not the room exists.
    pub(crate) async fn expire_attempt(self: &Arc<Self>) -> Result<()> {
        let (sql, scope) = (self.sql(), self.scope());
        if staged::find_attempt(sql, scope).await?.is_none() {
            return Ok(());
        }
        let _guard = self.lock().await;
        // It may have gone on, or come to its end, before the lock was here.
        let Some(attempt) = staged::find_attempt(sql, scope).await? else { return Ok(()) };
        let now_ms = self.now_ms();
        let before_ms = now_ms.saturating_sub(limits::STAGED_MS);
        let is_over = attempt.staged_ms <= before_ms;
        if is_over && meta::find(sql, scope).await?.is_none() {
            return self.remove_store().await;
        }
        let (stmts, alarm_by_ms) = match is_over {
            true => (staged::remove_expired(sql, scope, before_ms).await?, None),
            false => (Vec::new(), Some(attempt.staged_ms + limits::STAGED_MS)),
        };
        self.write_batch(stmts, alarm_by_ms).await.map(drop)
    }

    /// The attempt, while no other one has superseded it.
    pub(crate) async fn find_attempt(
        &self,
        id: &str,
        version: &RoomVersionId,
    ) -> Result<Option<staged::Attempt>> {
        let attempt = staged::find_attempt(self.sql(), self.scope()).await?;
        let attempt = attempt.filter(|it| it.id == id);
        if let Some(attempt) = &attempt {
            check_version(version, &attempt.version)?;
        }
        Ok(attempt)
    }

    /// Finds the places of what has been staged, in the order in which the events are authorized,
    /// but for what those authorize that could not be verified; or else the events that are
    /// missing. `exists`: the room is here, and what it has need not be staged.
    pub(crate) async fn staged_order(
        &self,
        exists: bool,
    ) -> Result<std::result::Result<Vec<u32>, Vec<OwnedEventId>>> {
        let (sql, scope) = (self.sql(), self.scope());
        let mut order = JoinOrder::new(join_order::Limits {
            events: limits::STAGED_EVENTS,
            citations: limits::STAGED_CITATIONS,
        });
        let mut after = 0;
        loop {
            let page = staged::list_links(sql, scope, after, limits::STAGED_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for it in &page {
                let place = u32::try_from(it.seq).map_err(Error::internal)?;
                let auth_events = it.auth_events.iter().map(|it| &**it);
                order
                    .add(place, &it.event_id, auth_events, it.is_create)
                    .map_err(|_| Error::api(ErrorKind::TooLarge, TOO_LARGE))?;
            }
        }
        if !exists && !order.has_create() {
            return Err(Error::bad_json("the room's state has no create event"));
        }
        let missing = match order.is_complete() {
            true => Vec::new(),
            false => self.missing_of(&mut order).await?,
        };
        Ok(if missing.is_empty() { Ok(order.finish()) } else { Err(missing) })
    }

    /// Events that staged ones name as those that authorize them, and that are neither staged nor
    /// here; not all of them, when they are many.
    async fn missing_of(&self, order: &mut JoinOrder) -> Result<Vec<OwnedEventId>> {
        let (sql, scope) = (self.sql(), self.scope());
        let (mut missing, mut after) = (Vec::new(), 0);
        while missing.len() < limits::MISSING_EVENTS {
            let page = staged::list_links(sql, scope, after, limits::STAGED_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            let mut named: Vec<_> = page.into_iter().flat_map(|it| it.auth_events).collect();
            named.retain(|it| order.is_missing(it));
            named.sort_unstable();
            named.dedup();
            for (event_id, _) in graph::find_nums(sql, scope, &named).await? {
                order.set_known(&event_id);
            }
            named.retain(|it| order.is_missing(it));
            // These and what they authorize are left out of the order.
            let unverified = unverified::list_staged(sql, scope, &named).await?;
            missing.extend(named.into_iter().filter(|it| !unverified.contains(it)));
            missing.sort_unstable();
            missing.dedup();
        }
        missing.truncate(limits::MISSING_EVENTS);
        Ok(missing)
    }

    /// Authorizes what has been staged, each event by its auth events, and stores it as outliers;
    /// all but the join event itself and what the room has. `create` is the number of the room's
    /// create event, if it has one; gives the number that it has then.
    pub(crate) async fn authorize_staged(
        &self,
        room: &mut Loaded,
        (order, join): (&[u32], &EventId),
        mut create: Option<Num>,
        intake: &mut Intake,
    ) -> Result<Num> {
        let mut rest = order;
        while !rest.is_empty() {
            let page = rest.get(..limits::STAGED_PAGE).unwrap_or(rest);
            let seqs: Vec<u64> = page.iter().map(|it| u64::from(*it)).collect();
            let bytes = limits::STAGED_PAGE_BYTES;
            let found = staged::list(self.sql(), self.scope(), &seqs, bytes).await?;
            rest = rest.get(found.len().max(1)..).unwrap_or_default();
            let pdus = found.into_iter().map(|(event_id, json)| self.to_pdu(event_id, json));
            let pdus: Vec<Arc<Pdu>> = pdus.collect::<Result<_>>()?;
            self.authorize_page(room, (&pdus, join), &mut create, intake).await?;
        }
        create.ok_or_else(|| Error::bad_json("the room's state has no create event"))
    }

    async fn authorize_page(
        &self,
        room: &mut Loaded,
        (pdus, join): (&[Arc<Pdu>], &EventId),
        create: &mut Option<Num>,
        intake: &mut Intake,
    ) -> Result<()> {
        room.engine_memory.trim(room.state);
        let ids = pdus.iter().flat_map(|it| it.auth_events.iter().chain([&it.event_id]));
        self.load_ahead(room, ids.cloned().collect()).await?;
        let mut plan = Plan::new(room);
        let mut judged = HashSet::new();
        'events: for pdu in pdus {
            let is_here = room.engine_memory.find(&pdu.event_id).flatten().is_some();
            if is_here || pdu.event_id == join {
                continue;
            }
            let (event, (verdict, _, auth)) = loop {
                let num = plan.head() + 1;
                // The create event comes first.
                if is_create(pdu) {
                    create.get_or_insert(num);
                }
                let create = create.unwrap_or(num);
                let event = new_event(room, num, pdu);
                let decision = self.decide(room, |room| {
                    engine::decide_outlier(&room.engine_memory, &room.rules, create, &event)
                });
                match decision.await? {
                    Ok(decision) => break (event, decision),
                    Err(Undecided::Authorizing(first)) => {
                        self.write_outliers(room, plan).await?;
                        let all = self.judge_outliers(room, first, &mut judged, intake).await?;
                        plan = Plan::new(room);
                        // It may have waited for one of them, or has to: then it is kept with
                        // what could not be verified.
                        if !all || self.find_event(room, &pdu.event_id).await?.is_some() {
                            continue 'events;
                        }
                    }
                    Err(_) => return Err(Error::internal("a staged event waits")),
                }
            };
            plan.next_position();
            self.insert_outlier(&mut plan, event, verdict, auth)?;
            if let Some(event) = plan.events.pop() {
                room.engine_memory.insert(event);
            }
        }
        self.write_outliers(room, plan).await
    }

    async fn write_outliers(&self, room: &mut Loaded, mut plan: Plan) -> Result<()> {
        let stmts = std::mem::take(&mut plan.stmts);
        if stmts.is_empty() {
            return Ok(());
        }
        self.write_batch(stmts, None).await?;
        plan.apply(room);
        Ok(())
    }
}

/// Whether an event could be a room's first.
fn is_create(pdu: &Pdu) -> bool {
    pdu.event_type == TimelineEventType::RoomCreate
        && pdu.prev_events.is_empty()
        && pdu.auth_events.is_empty()
}

fn check_version(version: &RoomVersionId, expected: &RoomVersionId) -> Result<()> {
    if version == expected {
        return Ok(());
    }
    Err(Error::invalid_param(format!("the room's version is {expected}, not {version}")))
}

pub(super) fn unsupported() -> Error {
    Error::api(ErrorKind::UnsupportedRoomVersion, "this room version is not supported")
}

/// What a part or a join of an attempt is answered that another attempt has superseded.
pub(super) fn superseded() -> Error {
    let message = "another attempt to join this room has superseded this one, or it has ended";
    Error::with_status(StatusCode::CONFLICT, ErrorKind::Unknown, message)
}
