//! Own events in a room with more forward extremities than an event may name: it comes after some
//! of them, and the room shrinks.

use std::sync::Arc;

use skerry_core::{
    Pdu,
    authorize::StateKey,
    engine::{self, KeyId, Mode, Num, Verdict},
};

use crate::{
    Error, Result,
    objects::room::{
        Room,
        load::power::may_notify,
        loaded::{
            Loaded,
            decided::{Decided, Place, new_known},
            draft::Draft,
            plan::Plan,
        },
    },
};

impl Room {
    /// Plans an own event in a room with more extremities than an event may name.
    pub(crate) async fn plan_aside(
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
}
