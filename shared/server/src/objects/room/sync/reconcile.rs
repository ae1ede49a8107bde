//! A timeline whose state events lead to the room's state ([spec]).
//!
//! Clients that do not ask for `state_after` take the state of a room to be what `state` says and
//! what the state events of `timeline` then make of it. Two things keep that from being so by
//! itself.
//!
//! - A state event is not in the timeline, because the user may not see it or because a filter
//!   keeps it out. What it has set is added to `state`. Where the timeline has an older event of
//!   the same key, which would undo that, the timeline begins after it, and is limited.
//! - The room has forked: an event may have come and lost, or won and lost later. Such events are
//!   left out of the timeline, and what holds instead is added to `state`.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#syncing

use std::collections::{BTreeMap, BTreeSet};

use skerry_core::{authorize::StateKey, engine::Num, gather::Gather as _};

use crate::{
    Result,
    messages::room::{Position, SyncRoom},
    objects::room::{
        Room,
        loaded::Loaded,
        read::{access::View, scan::Scan},
    },
    store::room::{
        events::{self, StoredEvent},
        state::{self, Change},
    },
};

impl Room {
    /// Makes a timeline lead to the room's state: gives where it begins, and the state to add.
    /// `changes` are those of the room's state since what the client has seen, if it has seen
    /// anything.
    pub(crate) async fn reconcile(
        &self,
        room: &Loaded,
        command: &SyncRoom,
        view: &View,
        scan: &mut Scan,
        changes: &[Change],
    ) -> Result<(Position, Vec<StoredEvent>)> {
        let mut first = scan.first(view.upto);
        let is_passed_over = scan.passed_over.is_some_and(|it| it >= first);
        if command.state_after || (room.is_linear && !is_passed_over) {
            return Ok((first, Vec::new()));
        }
        let (sql, scope) = (self.sql(), self.scope());
        let read;
        let changes: &[Change] = match command.from {
            Some(_) => changes,
            None => {
                read = state::list_changes(sql, scope, first.saturating_sub(1), view.upto).await?;
                &read
            }
        };
        let changes = changes.iter().filter(|it| it.position >= first);
        let holds: BTreeMap<_, _> = changes.map(|it| (it.key.clone(), it.event)).gather();
        let events: Vec<_> = scan
            .events
            .iter()
            .map(|it| it.state_key.clone().map(|key| (it.num, (it.event_type.clone(), key))))
            .collect();
        let Reconciliation { left_out, added } = reconciliation(&events, &holds);
        if !room.is_linear {
            scan.events.retain(|it| !left_out.contains(&it.num));
        } else if let Some(index) = scan.events.iter().position(|it| left_out.contains(&it.num)) {
            // Older than what was passed over: the client finds it by paging back.
            scan.next = scan.events.get(index).map(|it| it.position);
            scan.events.truncate(index);
            first = scan.first(view.upto);
        }
        Ok((first, events::list(sql, scope, &added).await?))
    }
}

impl Scan {
    /// Where the timeline begins that was found by reading backward from a position.
    pub(crate) fn first(&self, upto: Position) -> Position {
        self.events.last().map_or(upto + 1, |it| it.position)
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
    let present: BTreeSet<_> = timeline.iter().flatten().map(|(num, _)| *num).gather();
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
