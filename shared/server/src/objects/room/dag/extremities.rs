//! The forward extremities after an event, and what of them is stored.

use std::{collections::HashMap, sync::Arc};

use skerry_core::{
    Pdu,
    engine::{Decision, Event, Num},
};

use crate::{
    messages::room::Position,
    objects::room::{
        Room,
        loaded::{Loaded, plan::Plan},
    },
    store::room::meta,
};

impl Room {
    /// Plans the forward extremities, and writes those that the store cannot find by itself.
    pub(crate) fn write_extremities(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        event: &Event,
        decision: &Decision,
        position: Position,
    ) {
        let known: HashMap<Num, &Arc<Pdu>> =
            room.extremities.iter().map(|(num, pdu)| (*num, pdu)).collect();
        let extremity = |num: &Num| match *num == event.num {
            true => Some((*num, Arc::clone(&event.pdu))),
            false => known.get(num).map(|it| (*num, Arc::clone(it))),
        };
        let is_same = decision.extremities.iter().eq(room.extremities.iter().map(|(num, _)| num));
        let is_head = plan.head() <= event.num;
        if is_same && is_head {
            return;
        }
        plan.extremities = decision.extremities.iter().filter_map(extremity).collect();
        // The store finds the newest visible event by itself, where it stands at its number.
        let is_newest = match is_same {
            true => !room.extremities_stored,
            false => decision.extremities == [event.num] && position == event.num,
        };
        let is_own = decision.current_changes.keys().all(|key| Some(*key) == event.key);
        if is_newest && is_head && is_own && !room.extremities_stored && room.head + 1 == event.num
        {
            return;
        }
        let stored = (!is_newest).then_some(decision.extremities.as_slice());
        plan.stmts.push(meta::update_extremities(self.scope(), stored, plan.head()));
        plan.extremities_stored = stored.is_some();
        plan.is_linear = false;
    }
}
