//! Tables for what both kinds of deliveries share.

use super::super::*;

type Deliveries = RoomDeliveries<&'static str>;

const NOW: u64 = 1_000_000;

/// A room whose alarm has found that nothing is undelivered.
fn at_rest(readers: &[&'static str]) -> Deliveries {
    let mut room = Deliveries::load(readers.iter().copied(), None);
    let overdue = room.alarm(NOW, 0, 2).unwrap();
    assert_eq!(room.memberships.listed(overdue, &[], NOW), []);
    assert_eq!(room.next_due(NOW), None);
    room
}

#[test]
fn a_batch_has_an_alarm_when_somebody_is_to_hear_of_it() {
    let due = Some(NOW + DELIVERY_GRACE_MS);
    for (readers, changes_memberships, alarm) in [
        (&[][..], false, None),
        (&[], true, due),
        (&["alice"], false, due),
        (&["alice"], true, due),
    ] {
        let mut room = at_rest(readers);
        assert_eq!(room.alarm_for(NOW, changes_memberships), alarm, "{readers:?}");
        let batch = room.batch();
        room.committed(&batch, due);
        assert_eq!(room.alarm_for(NOW, changes_memberships), None, "{readers:?}: it is stored");
    }
}

#[test]
fn the_alarm_comes_for_whichever_is_due_first() {
    let mut room = at_rest(&["alice"]);
    room.activity.advance(5);
    assert_eq!(room.next_due(NOW), Some(NOW + DELIVERY_GRACE_MS), "activity is queued");
    room.memberships.changed(&"bob", 5, NOW);
    assert_eq!(room.next_due(NOW), Some(NOW + DELIVERY_GRACE_MS));
    assert_eq!(room.activity.next_round(NOW + 1, 1), [("alice", 5)]);
    assert_eq!(room.next_due(NOW + 1), Some(NOW + ANSWER_TIMEOUT_MS), "a membership");
}

#[test]
fn after_a_batch_of_unknown_outcome_the_alarm_looks_for_both() {
    let mut room = at_rest(&["alice"]);
    let batch = room.batch();
    assert!(batch.is_empty());
    room.batch_failed();
    room.outcome_unknown(NOW);
    assert!(room.alarm(NOW, 5, 2).is_some(), "the store is read for memberships");
    assert_eq!(room.activity.next_round(NOW, 2), [("alice", 5)]);
}
