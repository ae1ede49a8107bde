//! Joining a room by way of another server ([spec]), with the state that has been staged.
//!
//! A room that is not here begins: the state before the join becomes its current state. In a room
//! that is here and in which local users are joined, the join is an event like any other. Where no
//! local user is joined, no other server has sent events of the room since the last of them left:
//! what is taken here for the room's present is out of date, and the state before the join replaces
//! it.
//!
//! **Invariant:** until the batch that has the join event, nothing that is written is part of the
//! room: staged events, outliers, and a state that no event stands on. The next attempt removes it.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms

use std::sync::Arc;

use skerry_core::{
    Pdu,
    engine::{
        self, Circumstances, Decision, Event, Given, Head, Mode, Num, State, StateAt, Undecided,
        Verdict,
    },
    room_version,
};

use super::{
    intake::{Arrived, Intake},
    staging::{superseded, unsupported},
};
use crate::{
    Error, Result,
    messages::room::{Join, Kind, Outcome, Position, Received},
    objects::room::{
        Room, limits,
        loaded::{
            Loaded,
            decided::{Decided, Placement, new_event},
            memory::Memory,
            plan::Plan,
            state_event::Changed,
        },
    },
    store::room::{
        gaps, given, members, meta, pending,
        readers::{self, Reader},
        servers, staged, state, unverified,
    },
};

/// What came of a join: what became of the event, and whose memberships have changed.
type Joined = (Outcome, Vec<Changed>);

impl Room {
    /// Joins the room with what has been staged.
    pub(crate) async fn join(self: &Arc<Self>, command: Join) -> Result<Received> {
        let Join { attempt, room_version, event, keys } = command;
        let rules = room_version::rules(&room_version).ok_or_else(unsupported)?;
        let mut verified = self.verify(std::slice::from_ref(&event), &keys, &rules);
        if let Some(policy) = self.policy_server_if_resident().await? {
            self.add_policy_signatures(&policy, &mut verified, &rules).await?;
        }
        let pdu = match verified.pop() {
            Some(Ok(verified)) => Arc::new(verified.pdu),
            Some(Err(received)) => return Ok(received),
            None => return Err(Error::internal("one event was verified")),
        };
        let event_id = Some(pdu.event_id.clone());
        let mut guard = self.lock_to_begin().await?;
        if guard.is_none() {
            *guard = self.load().await?;
        }
        if let Some(room) = guard.as_mut()
            && self.find_event(room, &pdu.event_id).await?.is_some_and(|it| it.states.is_some())
        {
            return Ok(Received { event_id, outcome: Outcome::Known });
        }
        self.find_attempt(&attempt, &room_version).await?.ok_or_else(superseded)?;
        let exists = guard.is_some();
        let mut room = guard.take().unwrap_or_else(|| Loaded::empty(room_version, rules));
        let joined = self.join_staged(&mut room, exists, &pdu).await;
        let is_here = exists || matches!(&joined, Ok((Outcome::Accepted { .. }, _)));
        if is_here {
            *guard = Some(room);
        }
        if is_over(&joined, exists)
            && let Err(error) = self.remove_attempt(exists).await
        {
            // The next attempt does it.
            tracing::warn!(%error, room_id = %self.id, "an attempt to join could not be removed");
        }
        let (outcome, changed) = joined?;
        if is_here {
            self.deliver_changes(guard, changed).await;
        }
        Ok(Received { event_id, outcome })
    }

    /// Removes what the attempt has left.
    async fn remove_attempt(&self, exists: bool) -> Result<()> {
        let mut stmts = staged::remove_attempt(self.scope());
        if !exists {
            stmts.extend(meta::remove_beginnings(self.scope()));
            stmts.extend(pending::remove_all(self.scope()));
        }
        self.write_batch(stmts, None).await.map(drop)
    }

    async fn join_staged(
        self: &Arc<Self>,
        room: &mut Loaded,
        exists: bool,
        pdu: &Arc<Pdu>,
    ) -> Result<Joined> {
        let (sql, scope) = (self.sql(), self.scope());
        if let Some((event_type, state_key)) = staged::find_ambiguous(sql, scope).await? {
            let message = format!("the state has two events for {event_type} {state_key:?}");
            return Err(Error::bad_json(message));
        }
        let order = match self.staged_order(exists).await? {
            Ok(order) => order,
            Err(auth) => return Ok((Outcome::Waits { auth, prev: Vec::new() }, Vec::new())),
        };
        // What a crash has left of an earlier try.
        let mut stmts: Vec<_> = given::remove(scope).into();
        if !exists {
            stmts.extend(meta::remove_beginnings(scope));
        }
        self.write_batch(stmts, None).await?;
        let create = match exists {
            true => Some(self.create_num(room).await?),
            false => None,
        };
        let mut intake = Intake::default();
        let create =
            self.authorize_staged(room, (&order, &pdu.event_id), create, &mut intake).await?;
        if !exists {
            return self.begin(room, create, pdu).await;
        }
        let local = members::list_joined_local(sql, scope, &self.local(), 1).await?;
        match local.is_empty() {
            true => self.rejoin(room, create, pdu, intake).await,
            false => self.join_others(room, create, pdu, intake).await,
        }
    }

    /// A room begins here: the state before the join becomes its current state, and the join event
    /// the first change of it.
    async fn begin(
        self: &Arc<Self>,
        room: &mut Loaded,
        create: Num,
        pdu: &Arc<Pdu>,
    ) -> Result<Joined> {
        let scope = self.scope();
        room.engine_memory.forget();
        room.head += 1;
        let first = StateAt { chain: 0, group: room.head };
        let stmts = vec![
            state::insert_first_chain(scope),
            given::insert(scope, first),
            given::upsert_members(scope, first, first.group, &self.local()),
        ];
        self.write_batch(stmts, None).await?;
        room.state = first;
        self.check_create(first, create).await?;
        let mut plan = Plan::new(room);
        plan.stmts.push(meta::insert(scope, &room.version, false, None));
        plan.leave_gap(limits::FIRST_GAP);
        let event = new_event(room, plan.next_position(), pdu);
        let decision = self.decide_join(room, create, first, &event).await?;
        let decision = match decision {
            Ok(decision) => decision,
            Err(undecided) => return undecided_outcome(undecided),
        };
        let placement = Placement::BehindGap(limits::FIRST_GAP);
        self.keep_unverified(room, &mut plan, first, pdu).await?;
        let (outcome, mut changed) =
            self.write_join(room, plan, (event, decision), placement, false).await?;
        if room.pending > 0 {
            changed.extend(self.receive_early(room, &pdu.event_id).await?);
        }
        Ok((outcome, changed))
    }

    /// Local users are joined: the join is received like any other event, with the staged state as
    /// what a peer says of the state before it.
    async fn join_others(
        &self,
        room: &mut Loaded,
        create: Num,
        pdu: &Arc<Pdu>,
        mut intake: Intake,
    ) -> Result<Joined> {
        let scope = self.scope();
        self.admit_verified(room, &mut intake).await?;
        // What is not verified is not left out of a state: the join waits for it, as all events do.
        let (unverified, _) = unverified::count_staged(self.sql(), scope).await?;
        if unverified == 0 {
            self.write_given(room, create).await?;
            let mut state = State::from(room.state);
            for (key, num) in given::list(self.sql(), scope).await? {
                state.changes.insert(room.engine_memory.keys.intern(&key.0, &key.1), num);
            }
            let before = pdu.event_id.clone();
            intake.given = vec![Given { before, state, is_hearsay: false }];
        }
        let arrived = Arrived::new(Arc::clone(pdu), Kind::Live);
        let outcome = self.receive_event(room, arrived, &mut intake).await?;
        Ok((outcome, intake.changed))
    }

    /// No local user is joined: the state before the join is the room's, and the join its only
    /// forward extremity.
    async fn rejoin(
        &self,
        room: &mut Loaded,
        create: Num,
        pdu: &Arc<Pdu>,
        mut intake: Intake,
    ) -> Result<Joined> {
        self.judge_before(room, create, pdu, &mut intake).await?;
        let missing = self.missing_prev(room, pdu).await?;
        let mut plan = Plan::new(room);
        let mut current = room.state;
        let mut placement = Placement::AtEnd;
        if !missing.is_empty() {
            current = self.write_given(room, create).await?;
            plan.head = current.group;
            plan.leave_gap(limits::GAP);
            placement = Placement::BehindGap(limits::GAP);
        }
        let stored = self.find_event(room, &pdu.event_id).await?;
        let num = stored.as_ref().map_or_else(|| plan.next_position(), |it| it.num);
        let event = new_event(room, num, pdu);
        let mut decision = match self.decide_join(room, create, current, &event).await? {
            Ok(decision) => decision,
            Err(undecided) => return undecided_outcome(undecided),
        };
        if !missing.is_empty() {
            adopt(&mut plan, &mut decision, (self.scope(), current), &self.local());
            let before = StateAt { chain: 0, group: current.group };
            self.keep_unverified(room, &mut plan, before, pdu).await?;
        }
        let decided = (event, decision);
        let (outcome, changed) =
            self.write_join(room, plan, decided, placement, stored.is_some()).await?;
        intake.changed.extend(changed);
        if room.pending > 0 {
            self.receive_waiting(room, &pdu.event_id, &mut intake).await?;
        }
        Ok((outcome, intake.changed))
    }

    /// Writes the staged state as one that no event stands on.
    async fn write_given(&self, room: &mut Loaded, create: Num) -> Result<StateAt> {
        let scope = self.scope();
        // What is remembered of such a state is of another attempt's.
        room.engine_memory.forget();
        let at = StateAt { chain: given::CHAIN, group: room.head + 1 };
        let mut stmts: Vec<_> = given::remove(scope).into();
        stmts.push(state::insert_chain(scope, at.chain, room.state));
        stmts.push(given::insert(scope, at));
        stmts.push(given::insert_removed(scope, at));
        self.write_batch(stmts, None).await?;
        self.check_create(at, create).await?;
        Ok(at)
    }

    /// Refuses a state without the room's create event: nothing could be authorized by it.
    async fn check_create(&self, at: StateAt, create: Num) -> Result<()> {
        let key = ("m.room.create".to_owned(), String::new());
        let found = state::find(self.sql(), self.scope(), at, std::slice::from_ref(&key)).await?;
        match found.as_slice() {
            [(_, num)] if *num == create => Ok(()),
            _ => Err(Error::bad_json("the state does not have the room's create event")),
        }
    }

    /// What becomes of the join event, when this state is the current one and the one before it.
    pub(super) async fn decide_join(
        &self,
        room: &mut Loaded,
        create: Num,
        at: StateAt,
        event: &Event,
    ) -> Result<std::result::Result<Decision, Undecided>> {
        let (before, state) = (event.pdu.event_id.clone(), State::from(at));
        let given = [Given { before, state, is_hearsay: false }];
        let circumstances = Circumstances { given: &given, ..Circumstances::of(Mode::Rejoin) };
        self.decide(room, |room| {
            let head =
                Head { rules: &room.rules, create, extremities: &[], current: at, unverified: &[] };
            engine::decide(&room.engine_memory, &head, event, circumstances)
        })
        .await
    }

    /// Writes the join and all that it brings with it, unless it is not accepted.
    async fn write_join(
        &self,
        room: &mut Loaded,
        mut plan: Plan,
        (event, decision): (Event, Decision),
        placement: Placement,
        was_outlier: bool,
    ) -> Result<Joined> {
        let scope = self.scope();
        if decision.verdict != Verdict::Accepted {
            let reason = decision.reason.unwrap_or_default();
            return Ok((Outcome::Rejected { reason }, Vec::new()));
        }
        let pdu = Arc::clone(&event.pdu);
        let missing = match placement {
            Placement::AtEnd | Placement::InGap(..) => Vec::new(),
            Placement::BehindGap(_) => self.missing_prev(room, &pdu).await?,
        };
        let decided =
            Decided { event, was_outlier, decision, placement, missing, may_notify: false };
        self.plan_decided(room, &mut plan, decided, None).await?;
        // What they are told begins behind the join, which came to them by whom we have asked; or
        // with what was said before this server had left, and has not come to them.
        plan.stmts.extend(servers::recount(scope, &self.local(), plan.head));
        plan.stmts.push(readers::insert_servers(scope));
        plan.stmts.extend(staged::remove_attempt(scope));
        if room.pending > 0 {
            plan.stmts.extend(pending::remove(scope, &pdu.event_id));
        }
        self.commit(room, &mut plan).await?;
        self.deliveries().memberships.came_with_state(self.now_ms());
        self.reload(room).await?;
        for server in servers::list_all(self.sql(), scope).await? {
            self.deliveries().activity.reads_with_row(&Reader::Server(server));
        }
        Ok((Outcome::Accepted { redacted: false }, plan.memberships))
    }

    /// What is remembered of the room was remembered of another state.
    pub(super) async fn reload(&self, room: &mut Loaded) -> Result<()> {
        let (sql, scope) = (self.sql(), self.scope());
        room.engine_memory.forget();
        room.memory = Memory::new(room.head);
        (room.joined, room.invited) = members::count(sql, scope).await?;
        room.gaps = gaps::list(sql, scope).await?;
        room.pending = pending::count(sql, scope).await?;
        room.unverified = unverified::count(sql, scope).await?;
        room.engine_memory.set_unverified(unverified::list_keys(sql, scope).await?);
        Ok(())
    }
}

/// The state that was given becomes the current state, where no event stands, and the one before
/// the join.
fn adopt(plan: &mut Plan, decision: &mut Decision, (scope, at): (i64, StateAt), local: &str) {
    let position: Position = at.group;
    plan.stmts.push(given::upsert_members(scope, at, position, local));
    plan.stmts.extend(given::adopt(scope, position));
    plan.effects.replaces_state = true;
    decision.before = Some(State::from(StateAt { chain: 0, group: position }));
}

/// What a join without a decision comes to.
fn undecided_outcome(undecided: Undecided) -> Result<Joined> {
    match undecided {
        Undecided::Waits { auth, prev } => Ok((Outcome::Waits { auth, prev }, Vec::new())),
        Undecided::Incomplete
        | Undecided::Outliers(_)
        | Undecided::Authorizing(_)
        | Undecided::Hearsay(_)
        | Undecided::Unverified(_) => Err(Error::internal("no decision was made")),
    }
}

/// Whether something may be left of the attempt that is of no use any more. `exists`: the room was
/// here before; one that has just begun has nothing left of it.
fn is_over(joined: &Result<Joined>, exists: bool) -> bool {
    match joined {
        Ok((Outcome::Accepted { .. }, _)) => exists,
        Ok((Outcome::Waits { .. } | Outcome::NeedsKeys { .. }, _)) => false,
        Ok(_) => true,
        Err(error) => error.is_refusal(),
    }
}
