//! Own events in a room with more forward extremities than an event may name: it comes after some
//! of them, and the room shrinks.

use std::sync::Arc;

use skerry_core::{
    Pdu,
    authorize::StateKey,
    engine::{self, KeyId, Mode, Num, State, Verdict, View as _, states},
};

use super::{
    Room,
    enter::{Decided, Place, new_known},
    load::{Loaded, StateEvent},
    plan::{Draft, Plan, may_notify},
};
use crate::{Error, Result};

impl Room {
    /// The create event's number.
    pub(super) async fn create_num(&self, room: &Loaded) -> Result<Num> {
        let create = self.state_event(room, "m.room.create", "").await?;
        create.map(|(num, _)| num).ok_or_else(|| Error::internal("the room has no create event"))
    }

    /// Plans an own event in a room with more extremities than an event may name.
    pub(super) async fn plan_aside(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        draft: Draft<'_>,
        needed: &[StateKey],
    ) -> Result<Arc<Pdu>> {
        let create = self.create_num(room).await?;
        let ends: Vec<Num> = room.ends.iter().map(|(num, _)| *num).collect();
        let needs: Vec<KeyId> =
            needed.iter().map(|key| room.graph.keys.intern(&key.0, &key.1)).collect();
        let chosen = self.decide(room, |it| {
            engine::choose_prev(&it.graph, &it.engine_head(create, &ends), &needs)
        });
        let chosen = chosen.await?.map_err(|_| Error::internal("no extremities were chosen"))?;
        let before = self.decide(room, |it| {
            engine::state_before(&it.graph, &it.engine_head(create, &ends), &chosen)
        });
        let before = before.await?.map_err(|_| Error::internal("no state was found"))?;
        let state = self.pieces(room, &before, &needs).await?;
        let prev: Vec<_> =
            room.ends.iter().filter(|(num, _)| chosen.contains(num)).cloned().collect();
        let (transaction, sender) = (draft.transaction.clone(), draft.sender.to_owned());
        let pdu = Arc::new(self.build(room, plan.head(), draft, &prev, &state)?);
        let num = plan.next_position();
        let state: Vec<_> = state.into_iter().map(|(key, (_, it))| (key, it)).collect();
        let known = new_known(room, num, &pdu);
        let decision = self.decide(room, |it| {
            let head = it.engine_head(create, &ends);
            engine::decide(&it.graph, &head, &known, &[], Mode::Live, false)
        });
        let decision = decision.await?.map_err(|_| Error::internal("an own event waits"))?;
        if decision.verdict != Verdict::Accepted {
            return Err(Error::forbidden(decision.reason.unwrap_or_default()));
        }
        let decided = Decided {
            known,
            is_stored: false,
            decision,
            place: Place::End,
            missing: Vec::new(),
            may_notify: may_notify(&state, &sender, &room.rules),
        };
        self.enter(room, plan, decided, transaction).await?;
        Ok(pdu)
    }

    /// These pieces of a state.
    pub(super) async fn pieces(
        &self,
        room: &mut Loaded,
        state: &State,
        keys: &[KeyId],
    ) -> Result<Vec<(StateKey, StateEvent)>> {
        let found = self.decide(room, |it| {
            let mut found = Vec::with_capacity(keys.len());
            let mut complete = true;
            for key in keys {
                match states::lookup(&it.graph, state, *key) {
                    Some(Some(num)) => match it.graph.event(num) {
                        Some(known) => found.push((*key, num, Arc::clone(&known.pdu))),
                        None => complete = false,
                    },
                    Some(None) => {}
                    None => complete = false,
                }
            }
            if complete { Ok(found) } else { Err(engine::Incomplete) }
        });
        let found = found.await?.map_err(|_| Error::internal("a state was not found"))?;
        let name = |key: KeyId| room.graph.keys.get(key).cloned();
        Ok(found.into_iter().filter_map(|(key, num, pdu)| Some((name(key)?, (num, pdu)))).collect())
    }
}
