//! What is written of an event that the engine has decided.
//!
//! In a room without forks every state is the current state at some position, and nothing is
//! written for the states around an event. The state at an event of a fork is a chain that hangs
//! on another, with what differs. Nothing is written that no event stands on: a resolved current
//! state goes into chain 0 alone.

use std::{collections::BTreeMap, sync::Arc};

use skerry_core::{
    authorize::StateKey,
    engine::{
        self, After, Change, Decision, Event, KeyId, Num, State, StateAt, States, Verdict,
        Withdrawal, states,
    },
};

use crate::{
    Error, Result,
    messages::room::Position,
    objects::room::{
        Room,
        loaded::{
            Loaded,
            decided::{Decided, EventRow, Placement},
            draft::Transaction,
            plan::{Delta, Plan},
            state_event::StateEvent,
        },
    },
    store::room::{
        events::{self, Judgment, StoredEvent},
        gaps::{self, Gap, NamedBy},
        graph,
        state::{self, MAX_DEPTH},
    },
};

impl Room {
    /// Adds a decided event to the plan. Gives its position.
    ///
    /// | | `event.num` | `fresh` | `position` |
    /// |---|---|---|---|
    /// | a new event at the end | new | `num` | `num` |
    /// | a new event in a gap | new | `num` | in the gap |
    /// | an outlier that comes at the end | its own, older | new | `fresh` |
    /// | an outlier that comes in a gap | its own, older | new | in the gap |
    /// | an event that clients do not see | new, or its own | as above | `num` |
    ///
    /// `fresh` is larger than every number and group before it: what the event changes of the
    /// current state, and the chains that it needs, begin there.
    pub(crate) async fn plan_decided(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        decided: Decided,
        transaction: Option<Transaction>,
    ) -> Result<Position> {
        let Decided { mut event, was_outlier, decision, placement, missing, may_notify } = decided;
        let is_visible = decision.verdict == Verdict::Accepted && decision.before.is_some();
        let fresh = if was_outlier { plan.next_position() } else { event.num };
        let position = match placement {
            Placement::InGap(position, _) if is_visible => position,
            _ if is_visible => fresh,
            _ => event.num,
        };
        debug_assert_eq!(plan.state, room.state, "a decision is made on what is written");
        let changes = self.load_changes(room, &decision.current_changes, Some(&event)).await?;
        let states = match &decision.before {
            Some(before) => Some(
                self.write_states(room, plan, before, &decision, (event.num, event.key), fresh)
                    .await?,
            ),
            None => None,
        };
        // What was withdrawn stays in the auth chains of what cites it.
        let leads_on = decision.verdict != Verdict::Rejected || decision.withdrawal.is_some();
        let auth = (event.key.is_some() && leads_on).then(|| decision.auth.clone());
        let judgment = Judgment { verdict: decision.verdict, auth };
        let replaces = changes
            .iter()
            .find(|(_, _, after)| after.as_ref().is_some_and(|(num, _)| *num == event.num))
            .and_then(|(_, before, _)| before.as_ref().map(|(num, _)| *num));
        event.verdict = decision.verdict;
        event.states = states;
        event.auth.clone_from(&decision.auth);
        let row =
            EventRow { num: event.num, position, pdu: &event.pdu, states, replaces, judgment };
        match was_outlier {
            true => self.update_event(plan, &row),
            false => self.insert_event(plan, row, transaction.as_ref(), || may_notify)?,
        }
        // Now, wherever the event stands: history may end what was an extremity.
        for (key, before, after) in changes {
            self.change_current(plan, fresh, key, before.as_ref(), after)?;
        }
        if let Some(withdrawal) = decision.withdrawal {
            self.withdraw(room, plan, event.key, withdrawal)?;
        }
        // What is hidden and named by what is visible leads on to what is missing all the same.
        if is_visible || matches!(placement, Placement::InGap(..)) {
            self.write_gaps(plan, &event, is_visible.then_some(position), placement, missing);
        }
        self.write_extremities(room, plan, &event, &decision, position);
        plan.events.push(Arc::new(event));
        Ok(position)
    }

    /// An outlier that has come as an event of the room.
    fn update_event(&self, plan: &mut Plan, row: &EventRow<'_>) {
        let stored = StoredEvent {
            num: row.num,
            position: row.position,
            states: row.states,
            event_id: row.pdu.event_id.clone(),
            event_type: String::new(),
            state_key: None,
            sender: String::new(),
            json: String::new(),
            auth_content: None,
            redacted_by: None,
            replaces: row.replaces,
            sent_by: None,
        };
        plan.stmts.push(events::update_judgment(self.scope(), &stored, &row.judgment));
        if let Some(auth) = row.judgment.auth.as_deref() {
            plan.stmts.push(match row.judgment.verdict {
                Verdict::Rejected => graph::remove_edges(self.scope(), row.num, auth),
                Verdict::Accepted | Verdict::SoftFailed => {
                    graph::insert_edges(self.scope(), row.num, auth)
                }
            });
        }
    }

    /// Takes an event that is rejected out of every state that was given with it: also what is
    /// planned already.
    fn withdraw(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        key: Option<KeyId>,
        withdrawal: Withdrawal,
    ) -> Result<()> {
        plan.withdrawal = Some(withdrawal);
        let Some(key) = key else { return Ok(()) };
        let key = room.engine_memory.keys.get(key);
        let key = key.ok_or_else(|| Error::internal("a key was not found"))?;
        let text = (key.0.as_str(), key.1.as_str());
        plan.stmts.extend(state::withdraw(self.scope(), text, withdrawal));
        Ok(())
    }

    /// What changes of a state: key, event before, event after. `own` is not stored yet.
    pub(crate) async fn load_changes(
        &self,
        room: &mut Loaded,
        changes: &BTreeMap<KeyId, Change>,
        own: Option<&Event>,
    ) -> Result<Vec<(StateKey, Option<StateEvent>, Option<StateEvent>)>> {
        let own = own.map(|it| (it.num, Arc::clone(&it.pdu)));
        let loaded = self.decide(room, |room| {
            let mut missed = false;
            let mut find = |num: Option<Num>| {
                let num = num?;
                if let Some(own) = own.as_ref().filter(|it| it.0 == num) {
                    return Some(own.clone());
                }
                let found = engine::View::event(&room.engine_memory, num);
                missed |= found.is_none();
                found.map(|it| (num, Arc::clone(&it.pdu)))
            };
            let loaded: Vec<_> = changes
                .iter()
                .map(|(key, (before, after))| (*key, find(*before), find(*after)))
                .collect();
            if missed { Err(engine::Incomplete) } else { Ok(loaded) }
        });
        let loaded = loaded.await?;
        let loaded = loaded.map_err(|_| Error::internal("a state event was not found"))?;
        let named = |(key, before, after)| {
            let key = room.engine_memory.keys.get(key).cloned();
            let key = key.ok_or_else(|| Error::internal("a key was not found"))?;
            Ok((key, before, after))
        };
        loaded.into_iter().map(named).collect()
    }

    /// Names the states around an event, and writes what of them is not there yet. `fresh` is a
    /// number larger than that of every group.
    async fn write_states(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        before: &State,
        decision: &Decision,
        (num, key): (Num, Option<KeyId>),
        fresh: Num,
    ) -> Result<States> {
        let at = self.write_state(room, plan, before, fresh).await?;
        let chain = (at.chain == fresh).then_some(fresh);
        let after = match (&decision.after, key) {
            (After::SameAsBefore, _) | (_, None) => at,
            (After::Current, _) => match decision.current_changes.is_empty() {
                true => room.state,
                false => StateAt { chain: 0, group: fresh },
            },
            (After::Other(_), Some(key)) => {
                let mut own = State::from(at);
                own.changes.insert(key, Some(num));
                let (next, last) = match chain {
                    Some(chain) => (StateAt { chain, group: plan.next_position() }, at.group),
                    None if at.chain != 0 && self.is_tip(room, at).await? => {
                        (StateAt { chain: at.chain, group: fresh }, at.group)
                    }
                    None => {
                        self.begin_chain(plan, fresh, at);
                        (StateAt { chain: fresh, group: fresh }, 0)
                    }
                };
                self.write_deltas(room, plan, (next, last), &own)?;
                next
            }
        };
        Ok(States { before: at, after })
    }

    /// Names a state, and writes what of it is not there yet, as a chain with the number `fresh`.
    pub(crate) async fn write_state(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        state: &State,
        fresh: Num,
    ) -> Result<StateAt> {
        let scope = self.scope();
        let mut base = state.clone();
        let is_deep = |depth: usize| depth + 1 >= MAX_DEPTH;
        if base.base.chain != 0
            && is_deep(graph::lineage(self.store_of(room).await?, scope, base.base).await?.len())
        {
            base = self.on_current(room, &base).await?;
        }
        if base.changes.is_empty() {
            return Ok(base.base);
        }
        let at = StateAt { chain: fresh, group: fresh };
        self.begin_chain(plan, fresh, base.base);
        self.write_deltas(room, plan, (at, 0), &base)?;
        Ok(at)
    }

    async fn is_tip(&self, room: &Loaded, at: StateAt) -> Result<bool> {
        let sql = self.store_of(room).await?;
        Ok(graph::find_tip(sql, self.scope(), at.chain).await? == at.group)
    }

    fn begin_chain(&self, plan: &mut Plan, chain: u64, parent: StateAt) {
        plan.stmts.push(state::insert_chain(self.scope(), chain, parent));
        plan.chains.push((chain, parent));
    }

    /// What a chain changes in a group, the next one after `last`.
    fn write_deltas(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        (at, last): (StateAt, u64),
        state: &State,
    ) -> Result<()> {
        for (key, num) in &state.changes {
            let key = room.engine_memory.keys.get(*key);
            let key = key.ok_or_else(|| Error::internal("a key was not found"))?;
            let text = (key.0.as_str(), key.1.as_str());
            plan.stmts.push(state::insert_delta(self.scope(), at, text, *num));
            plan.deltas.push(Delta { at, last, key: key.clone(), event: *num });
        }
        Ok(())
    }

    /// A state as what differs from the current one: the end of a long line of chains.
    async fn on_current(&self, room: &mut Loaded, state: &State) -> Result<State> {
        let current = room.state;
        let changes =
            self.decide(room, |it| states::changes(&it.engine_memory, current, state)).await?;
        let changes = changes.map_err(|_| Error::internal("a state was not found"))?;
        let said = self.said_unverified(room, state).await?.into_iter().map(|it| (it, None));
        let changed = changes.into_iter().map(|(key, (_, after))| (key, after));
        Ok(State { base: current, changes: said.chain(changed).collect() })
    }

    /// What is written of missing history: a new gap before the event, or less of the gap it fills.
    fn write_gaps(
        &self,
        plan: &mut Plan,
        event: &Event,
        position: Option<Position>,
        placement: Placement,
        missing: Vec<ruma::OwnedEventId>,
    ) {
        let scope = self.scope();
        let name = match placement {
            Placement::AtEnd => return,
            Placement::BehindGap(positions) => {
                let position = position.unwrap_or(event.num);
                let after = position.saturating_sub(positions);
                plan.stmts.push(gaps::upsert(scope, Gap { gap: position, after, next: position }));
                position
            }
            Placement::InGap(_, gap) => {
                if let Some(position) = position {
                    let next = gap.next.min(position);
                    plan.stmts.push(gaps::upsert(scope, Gap { next, ..gap }));
                }
                plan.stmts.push(gaps::remove_missing(scope, &event.pdu.event_id));
                gap.gap
            }
        };
        for event_id in missing {
            let named_by = NamedBy { num: event.num, gap: name };
            plan.stmts.push(gaps::insert_missing(scope, &event_id, named_by));
        }
    }
}
