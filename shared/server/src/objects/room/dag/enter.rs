//! How an event that the engine has decided enters the room: what is written of it.
//!
//! In a room without forks every state is the current state at some position, and nothing is
//! written for the states around an event. The state at an event of a fork is a chain that hangs
//! on another, with what differs. Nothing is written that no event stands on: a resolved current
//! state goes into chain 0 alone.

use std::sync::Arc;

use skerry_core::{
    authorize::StateKey,
    engine::{self, After, Decision, KeyId, Known, Num, State, StateAt, States, Verdict, states},
};

use crate::{
    Error, Result,
    messages::room::Position,
    objects::room::{
        Room,
        loaded::{
            Loaded,
            decided::{Decided, Entering, Place},
            draft::Transaction,
            plan::Plan,
            state_event::StateEvent,
        },
    },
    store::room::{
        events::{self, Standing, Stored},
        gaps::{self, Gap, Wanted},
        graph,
        state::{self, MAX_DEPTH},
    },
};

impl Room {
    /// Adds a decided event to the plan.
    pub(crate) async fn enter(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        decided: Decided,
        transaction: Option<Transaction>,
    ) -> Result<Position> {
        let Decided { mut known, is_stored, decision, place, missing, may_notify } = decided;
        let is_visible = decision.verdict == Verdict::Accepted && decision.before.is_some();
        // An outlier keeps its number, and takes a new one for where it stands.
        let fresh = if is_stored { plan.next_position() } else { known.num };
        let position = match place {
            Place::Gap(position, _) if is_visible => position,
            _ if is_visible => fresh,
            _ => known.num,
        };
        let changes = self.current_changes(room, plan, &decision, &known).await?;
        let states = match &decision.before {
            Some(before) => Some(
                self.write_states(room, plan, before, &decision, (known.num, known.key), fresh)
                    .await?,
            ),
            None => None,
        };
        let auth = (known.key.is_some() && decision.verdict != Verdict::Rejected)
            .then(|| decision.auth.clone());
        let standing = Standing { verdict: decision.verdict, auth };
        let replaces = changes
            .iter()
            .find(|(_, _, after)| after.as_ref().is_some_and(|(num, _)| *num == known.num))
            .and_then(|(_, before, _)| before.as_ref().map(|(num, _)| *num));
        known.verdict = decision.verdict;
        known.states = states;
        known.auth.clone_from(&decision.auth);
        let event =
            Entering { num: known.num, position, pdu: &known.pdu, states, replaces, standing };
        match is_stored {
            true => self.update_event(plan, &event),
            false => self.insert_event(plan, event, transaction.as_ref(), || may_notify)?,
        }
        // Now, wherever the event stands: history may end what was an extremity.
        for (key, before, after) in changes {
            self.change_current(plan, fresh, key, before.as_ref(), after)?;
        }
        // What is hidden and named by what is visible leads on to what is missing all the same.
        if is_visible || matches!(place, Place::Gap(..)) {
            self.write_gaps(plan, &known, is_visible.then_some(position), place, missing);
        }
        self.write_ends(room, plan, &known, &decision, position);
        plan.known.push(Arc::new(known));
        Ok(position)
    }

    /// An outlier that has come as an event of the room.
    fn update_event(&self, plan: &mut Plan, event: &Entering<'_>) {
        let stored = Stored {
            num: event.num,
            position: event.position,
            states: event.states,
            event_id: event.pdu.event_id.clone(),
            event_type: String::new(),
            state_key: None,
            sender: String::new(),
            json: String::new(),
            auth_content: None,
            redacted_by: None,
            replaces: event.replaces,
            sent_by: None,
        };
        plan.stmts.push(events::update_standing(self.scope(), &stored, &event.standing));
        if let Some(auth) = event.standing.auth.as_deref() {
            plan.stmts.push(graph::insert_edges(self.scope(), event.num, auth));
        }
    }

    /// What changes of the current state: key, event before, event after.
    async fn current_changes(
        &self,
        room: &mut Loaded,
        plan: &Plan,
        decision: &Decision,
        known: &Known,
    ) -> Result<Vec<(StateKey, Option<StateEvent>, Option<StateEvent>)>> {
        debug_assert_eq!(plan.state, room.state, "a decision is made on what is written");
        let mut changes = Vec::with_capacity(decision.current_changes.len());
        let find = |it: &Loaded, num: Option<Num>| match num {
            None => Ok(None),
            Some(num) if num == known.num => Ok(Some((num, Arc::clone(&known.pdu)))),
            Some(num) => engine::View::event(&it.graph, num)
                .map(|it| Some((num, Arc::clone(&it.pdu))))
                .ok_or(engine::Incomplete),
        };
        for (key, (before, after)) in &decision.current_changes {
            let both = self.decide(room, |it| {
                let (before, after) = (find(it, *before), find(it, *after));
                Ok((before?, after?))
            });
            let loaded: (_, _) = both
                .await?
                .map_err(|_: engine::Incomplete| Error::internal("a state event was not found"))?;
            let key = room.graph.keys.get(*key).cloned();
            let key = key.ok_or_else(|| Error::internal("a key was not found"))?;
            changes.push((key, loaded.0, loaded.1));
        }
        Ok(changes)
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
        let scope = self.scope();
        let mut base = before.clone();
        let is_deep = |depth: usize| depth + 1 >= MAX_DEPTH;
        if base.base.chain != 0
            && is_deep(graph::lineage(self.sql(), scope, base.base).await?.len())
        {
            base = self.on_current(room, &base).await?;
        }
        let mut chain = None;
        let mut at = base.base;
        if !base.changes.is_empty() {
            at = StateAt { chain: fresh, group: fresh };
            plan.stmts.push(state::insert_chain(scope, fresh, base.base));
            self.write_deltas(room, plan, at, &base)?;
            chain = Some(fresh);
        }
        let after = match (&decision.after, key) {
            (After::SameAsBefore, _) | (_, None) => at,
            (After::Current, _) => match decision.current_changes.is_empty() {
                true => room.state,
                false => StateAt { chain: 0, group: fresh },
            },
            (After::Other(_), Some(key)) => {
                let mut own = State::from(at);
                own.changes.insert(key, Some(num));
                let next = match chain {
                    Some(chain) => StateAt { chain, group: plan.next_position() },
                    None if at.chain != 0 && self.is_tip(at).await? => {
                        StateAt { chain: at.chain, group: fresh }
                    }
                    None => {
                        plan.stmts.push(state::insert_chain(scope, fresh, at));
                        StateAt { chain: fresh, group: fresh }
                    }
                };
                self.write_deltas(room, plan, next, &own)?;
                next
            }
        };
        Ok(States { before: at, after })
    }

    async fn is_tip(&self, at: StateAt) -> Result<bool> {
        Ok(graph::find_tip(self.sql(), self.scope(), at.chain).await? == at.group)
    }

    fn write_deltas(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        at: StateAt,
        state: &State,
    ) -> Result<()> {
        for (key, event) in &state.changes {
            let key = room.graph.keys.get(*key);
            let key = key.ok_or_else(|| Error::internal("a key was not found"))?;
            let text = (key.0.as_str(), key.1.as_str());
            plan.stmts.push(state::insert_delta(self.scope(), at, text, *event));
        }
        Ok(())
    }

    /// A state told by what differs from the current one: the end of a long line of chains.
    async fn on_current(&self, room: &mut Loaded, state: &State) -> Result<State> {
        let current = room.state;
        let changes = self.decide(room, |it| states::changes(&it.graph, current, state)).await?;
        let changes = changes.map_err(|_| Error::internal("a state was not found"))?;
        let changes = changes.into_iter().map(|(key, (_, after))| (key, after)).collect();
        Ok(State { base: current, changes })
    }

    /// What the event tells of missing history.
    fn write_gaps(
        &self,
        plan: &mut Plan,
        known: &Known,
        position: Option<Position>,
        place: Place,
        missing: Vec<ruma::OwnedEventId>,
    ) {
        let scope = self.scope();
        let name = match place {
            Place::End => return,
            Place::BehindGap(positions) => {
                let position = position.unwrap_or(known.num);
                let after = position.saturating_sub(positions);
                plan.stmts.push(gaps::upsert(scope, Gap { gap: position, after, next: position }));
                position
            }
            Place::Gap(_, gap) => {
                if let Some(position) = position {
                    let next = gap.next.min(position);
                    plan.stmts.push(gaps::upsert(scope, Gap { next, ..gap }));
                }
                plan.stmts.push(gaps::remove_missing(scope, &known.pdu.event_id));
                gap.gap
            }
        };
        for event_id in missing {
            let wanted = Wanted { by: known.num, gap: name };
            plan.stmts.push(gaps::insert_missing(scope, &event_id, wanted));
        }
    }
}
