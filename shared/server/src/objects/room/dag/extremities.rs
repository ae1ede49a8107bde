//! The forward extremities after an event, and what of them is stored.

use std::sync::Arc;

use skerry_core::engine::{Decision, Known, Num};

use crate::{
    messages::room::Position,
    objects::room::{
        Room,
        loaded::{Loaded, plan::Plan},
    },
    store::room::meta,
};

impl Room {
    /// The forward extremities, and what of them the store must be told.
    pub(crate) fn write_ends(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        known: &Known,
        decision: &Decision,
        position: Position,
    ) {
        let end = |num: &Num| match *num == known.num {
            true => Some((*num, Arc::clone(&known.pdu))),
            false => room.ends.iter().find(|it| it.0 == *num).cloned(),
        };
        let is_same = decision.extremities.iter().eq(room.ends.iter().map(|(num, _)| num));
        let is_head = plan.head() <= known.num;
        if is_same && is_head {
            return;
        }
        plan.ends = decision.extremities.iter().filter_map(end).collect();
        // The newest visible event is found without being told, where it stands at its number.
        let is_newest = match is_same {
            true => !room.ends_stored,
            false => decision.extremities == [known.num] && position == known.num,
        };
        let is_own = decision.current_changes.keys().all(|key| Some(*key) == known.key);
        if is_newest && is_head && is_own && !room.ends_stored && room.head + 1 == known.num {
            return;
        }
        let stored = (!is_newest).then_some(decision.extremities.as_slice());
        plan.stmts.push(meta::update_ends(self.scope(), stored, plan.head()));
        plan.ends_stored = stored.is_some();
        plan.is_linear = false;
    }
}
