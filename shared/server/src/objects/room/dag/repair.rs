//! A state that another server has told at a forward extremity becomes part of the room, as far as
//! the rules have it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use ruma::OwnedEventId;
use skerry_core::engine::{
    self, Change, Event, KeyId, Num, Repair, StateAt, States, Undecided, states,
};

use crate::{
    Error, Result,
    messages::room::{self as messages, Difference, GivenState, Refetched},
    objects::room::{
        Room, limits,
        loaded::{Loaded, in_memory, plan::Plan},
    },
    store::room::{events, graph, meta},
};

impl Room {
    /// Resolves what is here with what a server tells of the state before a forward extremity, and
    /// adds to `found` what came of it.
    pub(crate) async fn repair(
        self: &Arc<Self>,
        mut told: GivenState,
        found: &mut Refetched,
    ) -> Result<()> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        room.engine_memory.trim(room.state);
        let known = self.list_taken(room, &told.state, found).await?;
        told.state.retain(|it| known.contains(it));
        let extremity = told.before.clone();
        let event = self.find_event(room, &extremity).await?;
        let is_extremity = room.extremities.iter().any(|(_, it)| it.event_id == extremity);
        let Some((event, states)) =
            event.filter(|_| is_extremity).and_then(|it| it.states.map(|states| (it, states)))
        else {
            // What came meanwhile builds on it.
            found.untold.push(extremity);
            return Ok(());
        };
        let given = self.given_states(room, &[told]).await?;
        let given = given.ok().and_then(|it| it.into_iter().next());
        let given = given.ok_or_else(|| Error::internal("a state was not given"))?;
        let before = given.state;
        let create = self.create_num(room).await?;
        let extremities: Vec<Num> = room.extremities.iter().map(|(num, _)| *num).collect();
        let repair = self.decide(room, |room| {
            let head = room.engine_head(create, &extremities);
            engine::repair(&room.engine_memory, &head, event.num, &before)
        });
        let Some(repair) = repair.await?.transpose() else {
            // What it told is of no room.
            found.untold.push(extremity);
            return Ok(());
        };
        let differing =
            self.decide(room, |it| states::changes(&it.engine_memory, states.before, &before));
        let differing = differing.await?.map_err(|_| Error::internal("no states were compared"))?;
        self.tell_differences(room, &differing, found).await?;
        let repair = match repair {
            Ok(repair) => repair,
            Err(Undecided::Unverified(_)) => {
                found.untold.push(extremity);
                return Ok(());
            }
            Err(_) => return Err(Error::internal("no state was resolved")),
        };
        found.told.push(extremity);
        if repair.after_changes.is_empty() {
            return Ok(());
        }
        self.tell_changes(room, &repair.current_changes, found).await?;
        let mut plan = Plan::new(room);
        self.plan_repair(room, &mut plan, (&event, states), &repair).await?;
        self.commit(room, &mut plan).await?;
        // What memory has of the newest events has the states of before.
        room.memory.redacted(room.head);
        self.deliver_plan(guard, plan).await;
        Ok(())
    }

    /// Those of these events that are here. Counts the others, and those that are rejected.
    async fn list_taken(
        &self,
        room: &Loaded,
        ids: &[OwnedEventId],
        found: &mut Refetched,
    ) -> Result<HashSet<OwnedEventId>> {
        let sql = self.store_of(room).await?;
        let mut known = HashSet::new();
        for page in ids.chunks(limits::ENGINE_PAGE) {
            let nums = graph::find_nums(sql, self.scope(), page).await?;
            known.extend(nums.into_iter().map(|(event_id, _)| event_id));
            let keys = graph::find_keys(sql, self.scope(), page).await?;
            let rejected = keys.iter().filter(|it| it.2 == engine::Verdict::Rejected);
            found.rejected += rejected.count() as u64;
        }
        found.missing += (ids.len() - known.len()) as u64;
        Ok(known)
    }

    /// The state after the extremity from then on, and what it changes of the current state, at a
    /// position where no event stands.
    async fn plan_repair(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        (event, states): (&Arc<Event>, States),
        repair: &Repair,
    ) -> Result<()> {
        let fresh = plan.next_position();
        let is_only = room.extremities.len() == 1;
        let changes = self.load_changes(room, &repair.current_changes, None).await?;
        let after = match is_only {
            true => StateAt { chain: 0, group: fresh },
            false => self.write_state(room, plan, &repair.after, fresh).await?,
        };
        for (key, before, after) in changes {
            self.change_current(plan, fresh, key, before.as_ref(), after)?;
        }
        plan.stmts.push(events::update_after(self.scope(), event.num, after));
        let states = Some(States { after, ..states });
        plan.events.push(Arc::new(Event { states, ..(**event).clone() }));
        let extremities: Vec<Num> = room.extremities.iter().map(|(num, _)| *num).collect();
        let stored = room.extremities_stored.then_some(extremities.as_slice());
        plan.stmts.push(meta::update_extremities(self.scope(), stored, plan.head()));
        plan.is_linear = false;
        Ok(())
    }

    async fn tell_differences(
        &self,
        room: &mut Loaded,
        differing: &BTreeMap<KeyId, Change>,
        found: &mut Refetched,
    ) -> Result<()> {
        found.differ += differing.len() as u64;
        let space = limits::TOLD_CHANGES.saturating_sub(found.differences.len());
        let some = differing.iter().take(space).map(|(key, change)| (*key, *change)).collect();
        for ((event_type, state_key), here, there) in self.load_changes(room, &some, None).await? {
            let [here, there] = [here, there].map(|it| it.map(|(_, it)| it.event_id.clone()));
            found.differences.push(Difference { event_type, state_key, here, there });
        }
        Ok(())
    }

    async fn tell_changes(
        &self,
        room: &mut Loaded,
        changes: &BTreeMap<KeyId, Change>,
        found: &mut Refetched,
    ) -> Result<()> {
        found.changed += changes.len() as u64;
        let space = limits::TOLD_CHANGES.saturating_sub(found.changes.len());
        let some = changes.iter().take(space).map(|(key, change)| (*key, *change)).collect();
        for ((event_type, state_key), before, after) in self.load_changes(room, &some, None).await?
        {
            let [before, after] = [before, after].map(|it| it.map(|(_, it)| it.event_id.clone()));
            found.changes.push(messages::Change { event_type, state_key, before, after });
        }
        Ok(())
    }
}
