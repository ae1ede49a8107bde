//! Own events off the current state: in a room with more forward extremities than an event may
//! name, an event comes after some of them, and the room has fewer from then on.

use std::sync::Arc;

use skerry_core::{
    Pdu,
    authorize::StateKey,
    engine::{self, Circumstances, KeyId, Mode, Num, Undecided, Verdict},
};

use crate::{
    Error, Result,
    objects::room::{
        Room,
        load::power::may_notify,
        loaded::{
            Loaded,
            decided::{Decided, Placement, new_event},
            draft::Draft,
            plan::Plan,
        },
    },
};

impl Room {
    /// Plans an own event that comes after some of the room's extremities.
    pub(crate) async fn plan_off_current(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        draft: Draft<'_>,
        needed: &[StateKey],
    ) -> Result<Arc<Pdu>> {
        // What is planned speaks of the engine's keys.
        if plan.events.is_empty() {
            room.engine_memory.trim(room.state);
        }
        let create = self.create_num(room).await?;
        let extremities: Vec<Num> = room.extremities.iter().map(|(num, _)| *num).collect();
        let needs: Vec<KeyId> =
            needed.iter().map(|key| room.engine_memory.keys.intern(&key.0, &key.1)).collect();
        let chosen = self.decide(room, |room| {
            engine::choose_prev(
                &room.engine_memory,
                &room.engine_head(create, &extremities),
                &needs,
            )
        });
        let chosen = chosen.await?.map_err(|_| Error::internal("no extremities were chosen"))?;
        let before = self.decide(room, |room| {
            engine::state_before(
                &room.engine_memory,
                &room.engine_head(create, &extremities),
                &chosen,
            )
        });
        let before = before.await?.map_err(|it| undecided(&it))?;
        let state = self.pieces(room, &before, &needs).await?;
        let prev: Vec<_> =
            room.extremities.iter().filter(|(num, _)| chosen.contains(num)).cloned().collect();
        let (transaction, sender) = (draft.transaction.clone(), draft.sender.to_owned());
        let pdu = Arc::new(self.build(room, plan.head(), draft, &prev, &state)?);
        let num = plan.next_position();
        let state: Vec<_> = state.into_iter().map(|(key, (_, it))| (key, it)).collect();
        let event = new_event(room, num, &pdu);
        let decision = self.decide(room, |room| {
            let head = room.engine_head(create, &extremities);
            engine::decide(&room.engine_memory, &head, &event, Circumstances::of(Mode::Own))
        });
        let decision = decision.await?.map_err(|it| undecided(&it))?;
        if decision.verdict != Verdict::Accepted {
            return Err(Error::forbidden(decision.reason.unwrap_or_default()));
        }
        let decided = Decided {
            event,
            was_outlier: false,
            decision,
            placement: Placement::AtEnd,
            missing: Vec::new(),
            may_notify: may_notify(&state, &sender, &room.rules),
        };
        self.plan_decided(room, plan, decided, transaction).await?;
        Ok(pdu)
    }
}

/// Why an own event was not decided.
fn undecided(undecided: &Undecided) -> Error {
    match undecided {
        Undecided::Unverified(_) => Error::forbidden(engine::NOT_VERIFIED),
        _ => Error::internal("an own event waits"),
    }
}
