//! A timeline whose state events lead to the room's state ([spec]).
//!
//! Clients that do not ask for `state_after` take the state of a room to be what `state` says and
//! what the state events of `timeline` then make of it. Where the room has forked that is not so by
//! itself: an event may have come and lost, or won and lost later. Such events are left out of
//! the timeline, and what holds instead is added to `state`.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#syncing

use std::collections::{BTreeMap, BTreeSet};

use skerry_core::{authorize::StateKey, engine::Num};

use crate::{
    Result,
    messages::room::{Position, SyncRoom},
    objects::room::{Room, loaded::Loaded, read::access::View},
    store::room::{
        events::{self, StoredEvent},
        state,
    },
};

impl Room {
    /// The timeline without what does not hold, newest first, and the state to add.
    pub(crate) async fn reconcile(
        &self,
        room: &Loaded,
        command: &SyncRoom,
        view: &View,
        timeline: Vec<StoredEvent>,
        first: Position,
    ) -> Result<(Vec<StoredEvent>, Vec<StoredEvent>)> {
        if room.is_linear || command.state_after {
            return Ok((timeline, Vec::new()));
        }
        let (sql, scope) = (self.sql(), self.scope());
        let changes = state::list_changes(sql, scope, first.saturating_sub(1), view.upto).await?;
        let holds: BTreeMap<_, _> = changes.into_iter().map(|it| (it.key, it.event)).collect();
        let events: Vec<_> = timeline
            .iter()
            .map(|it| it.state_key.clone().map(|key| (it.num, (it.event_type.clone(), key))))
            .collect();
        let Reconciliation { left_out, added } = reconciliation(&events, &holds);
        let kept = timeline.into_iter().filter(|it| !left_out.contains(&it.num)).collect();
        Ok((kept, events::list(sql, scope, &added).await?))
    }
}

/// What has to change for a timeline to lead to the state.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reconciliation {
    left_out: BTreeSet<Num>,
    added: Vec<Num>,
}

/// `timeline`: newest first, the keys of state events. `holds`: the keys that changed while it
/// went on, and what they have at its end.
fn reconciliation(
    timeline: &[Option<(Num, StateKey)>],
    holds: &BTreeMap<StateKey, Option<Num>>,
) -> Reconciliation {
    let present: BTreeSet<_> = timeline.iter().flatten().map(|(num, _)| *num).collect();
    let mut reconciliation = Reconciliation::default();
    let mut reached: BTreeSet<&StateKey> = BTreeSet::new();
    for (num, key) in timeline.iter().flatten() {
        if reached.contains(key) {
            continue;
        }
        if holds.get(key) == Some(&Some(*num)) {
            // Older events of this key are followed by this one.
            reached.insert(key);
        } else {
            reconciliation.left_out.insert(*num);
        }
    }
    let missing = holds.values().flatten().filter(|num| !present.contains(num));
    reconciliation.added.extend(missing);
    reconciliation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> StateKey {
        (name.to_owned(), String::new())
    }

    #[test]
    fn a_timeline_leads_to_the_state() {
        let event = |num, name| Some((num, key(name)));
        let cases = [
            (
                "each followed the other",
                vec![event(3, "name"), event(2, "name")],
                Some(3),
                vec![],
                vec![],
            ),
            (
                "the newer one lost",
                vec![event(3, "name"), event(2, "name")],
                Some(2),
                vec![3],
                vec![],
            ),
            (
                "both lost to an older one",
                vec![event(3, "name"), event(2, "name")],
                Some(1),
                vec![2, 3],
                vec![1],
            ),
            ("nothing holds any more", vec![event(3, "name")], None, vec![3], vec![]),
            ("without an event", vec![None], Some(1), vec![], vec![1]),
        ];
        for (name, timeline, holds, left_out, added) in cases {
            let holds = BTreeMap::from([(key("name"), holds)]);
            let expected = Reconciliation { left_out: left_out.into_iter().collect(), added };
            assert_eq!(reconciliation(&timeline, &holds), expected, "{name}");
        }
        let lost = reconciliation(&[event(2, "name")], &BTreeMap::new());
        assert_eq!(lost.left_out, BTreeSet::from([2]), "it never held");
    }
}
