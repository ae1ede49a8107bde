//! Tables for what a room delivers of memberships.

use super::super::memberships::MARKS_PER_BATCH;
use super::*;

mod crowd;

type Room = Memberships<&'static str>;

/// When most of it happens.
const NOW: u64 = 1_000_000;

/// A room in which nothing is undelivered.
fn at_rest() -> Room {
    let mut room = Room::load(None);
    assert_eq!(listed(&mut room, NOW, 2, &[]), []);
    assert!(room.is_at_rest());
    room
}

/// The alarm comes, and the store has these undelivered memberships. What is delivered.
fn listed(
    room: &mut Room,
    now_ms: u64,
    limit: usize,
    stored: &[(&'static str, u64)],
) -> Vec<(&'static str, u64)> {
    let overdue = room.alarm(now_ms, limit).expect("the store is to be read");
    let after = stored.iter().filter(|(_, position)| *position > overdue.after);
    let rows: Vec<_> = after.take(overdue.limit).copied().collect();
    room.listed(overdue, &rows, now_ms)
}

/// All of them are asked, and none can be reached.
fn all_fail(room: &mut Room, part: &[(&'static str, u64)], now_ms: u64) {
    for (user, position) in part {
        assert!(room.begin(user, *position));
        room.failed(user, *position, now_ms);
    }
    room.ended(part, now_ms);
}

#[test]
fn a_membership_is_delivered_once_and_written_down_with_the_next_batch() {
    let mut room = at_rest();
    assert_eq!(room.alarm_for(NOW), Some(NOW + DELIVERY_GRACE_MS));
    room.alarm_set(NOW + DELIVERY_GRACE_MS);
    assert_eq!(room.alarm_for(NOW + 1), None, "one is stored that comes soon enough");
    room.changed(&"alice", 5, NOW);
    assert!(room.begin(&"alice", 5));
    room.delivered(&"alice", 5);
    room.ended(&[("alice", 5)], NOW);
    assert_eq!(room.marks_for_batch(), [("alice", 5)]);
    assert_eq!(room.marks_for_batch(), [("alice", 5)], "the batch failed");
    room.marks_committed(&[("alice", 5)]);
    assert_eq!(room.alarm(NOW + DELIVERY_GRACE_MS, 2), None, "there is nothing to be read");
    assert_eq!(room.next_due(NOW + DELIVERY_GRACE_MS), None);
    assert!(room.is_at_rest());
}

/// The store has them as undelivered, and nobody was told which they are.
#[test]
fn memberships_that_come_with_a_state_are_read_by_the_alarm_of_their_batch() {
    let mut room = at_rest();
    assert_eq!(room.alarm_for(NOW), Some(NOW + DELIVERY_GRACE_MS));
    room.alarm_set(NOW + DELIVERY_GRACE_MS);
    room.changed(&"alice", 5, NOW);
    room.came_with_state(NOW);
    assert!(room.begin(&"alice", 5));
    room.delivered(&"alice", 5);
    room.ended(&[("alice", 5)], NOW);
    let due_ms = NOW + DELIVERY_GRACE_MS;
    assert_eq!(listed(&mut room, due_ms, 9, &[("bob", 4), ("alice", 5)]), [("bob", 4)]);
}

#[test]
fn a_membership_that_is_wanted_is_delivered_unless_it_was_or_is_under_way() {
    let mut room = at_rest();
    assert!(room.wanted(&"alice", 5, NOW), "a crash came before it was delivered");
    assert!(!room.wanted(&"alice", 5, NOW), "it is under way");
    assert!(!room.wanted(&"alice", 4, NOW), "a newer one is");
    assert!(room.begin(&"alice", 5));
    room.delivered(&"alice", 5);
    room.ended(&[("alice", 5)], NOW);
    assert_eq!(room.marks_for_batch(), [("alice", 5)]);
    assert!(!room.wanted(&"alice", 5, NOW), "it was, and is yet to be written down");
    assert!(room.wanted(&"alice", 6, NOW));
}

#[test]
fn a_newer_membership_takes_the_place_of_the_older_one() {
    let mut room = at_rest();
    room.changed(&"alice", 5, NOW);
    room.changed(&"bob", 6, NOW);
    assert!(room.begin(&"alice", 5));
    room.changed(&"alice", 7, NOW);
    room.changed(&"bob", 8, NOW);
    assert!(!room.begin(&"bob", 6), "it need not be sent any more");
    room.delivered(&"alice", 5);
    assert_eq!(room.marks_for_batch(), [], "that was the older one");
    assert!(room.begin(&"alice", 7));
    room.failed(&"alice", 5, NOW);
    room.ended(&[("alice", 5), ("bob", 6)], NOW);
    room.delivered(&"alice", 7);
    assert_eq!(room.marks_for_batch(), [("alice", 7)]);
    room.changed(&"alice", 9, NOW);
    assert_eq!(room.marks_for_batch(), [], "it was written over");
}

#[test]
fn what_is_written_down_while_a_batch_is_under_way_is_kept_for_the_next_one() {
    let mut room = Memberships::load(None);
    let overdue = room.alarm(NOW, 2).unwrap();
    assert_eq!(room.listed(overdue, &[], NOW), []);
    let users: Vec<u64> = (1..=MARKS_PER_BATCH as u64 + 1).collect();
    for user in &users {
        room.changed(user, *user, NOW);
        assert!(room.begin(user, *user));
        room.delivered(user, *user);
    }
    assert_eq!(room.next_due(NOW), Some(NOW + DELIVERY_GRACE_MS), "one batch is not enough");
    let batch = room.marks_for_batch();
    assert_eq!(batch.len(), MARKS_PER_BATCH);
    room.changed(&1, 9_999, NOW);
    assert!(room.begin(&1, 9_999));
    room.delivered(&1, 9_999);
    room.marks_committed(&batch);
    let last = *users.last().unwrap();
    assert_eq!(room.marks_for_batch(), [(1, 9_999), (last, last)]);
    assert_eq!(room.next_due(NOW), None, "the batch of this alarm writes them");
}

#[test]
fn an_alarm_is_stored_before_anything_is_sent_and_finds_nothing_when_all_was_delivered() {
    let mut room = Room::load(Some(NOW));
    let part = listed(&mut room, NOW, 2, &[("alice", 5)]);
    assert_eq!(part, [("alice", 5)]);
    let due = NOW + RETRY_MIN_MS;
    assert_eq!(room.next_due(NOW), Some(due));
    room.alarm_set(due);
    assert!(room.begin(&"alice", 5));
    room.delivered(&"alice", 5);
    room.ended(&part, NOW);
    let marks = room.marks_for_batch();
    room.marks_committed(&marks);
    assert_eq!(room.next_due(NOW), None);
    assert_eq!(room.alarm(due, 2), None);
    assert_eq!(room.next_due(due), None);
}

#[test]
fn who_cannot_be_reached_is_tried_less_and_less_often_and_never_given_up() {
    let mut room = Room::load(Some(NOW));
    let stored = [("alice", 5)];
    let (mut now, mut waits) = (NOW, Vec::new());
    for _ in 0..100 {
        let part = listed(&mut room, now, 2, &stored);
        let due = room.next_due(now).unwrap();
        room.alarm_set(due);
        all_fail(&mut room, &part, now + 1);
        assert_eq!(room.next_due(now + 1), None, "that alarm is for the next attempt");
        assert_eq!(room.alarm(due - 1, 2), None, "an alarm of something else");
        assert_eq!(room.next_due(due - 1), Some(due));
        waits.push((due - now) / RETRY_MIN_MS);
        now = due;
    }
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 64, 90]);
    assert_eq!(waits[99], 90);
    let part = listed(&mut room, now, 2, &stored);
    assert!(room.begin(&"alice", 5));
    room.delivered(&"alice", 5);
    room.ended(&part, now);
    room.outcome_unknown(now);
    listed(&mut room, now, 2, &[("bob", 6)]);
    assert_eq!(room.next_due(now), Some(now + RETRY_MIN_MS), "bob has not failed before");
}

#[test]
fn parts_go_on_behind_those_who_cannot_be_reached() {
    let mut room = Room::load(Some(NOW));
    let stored = [("alice", 5), ("bob", 6), ("carol", 7)];
    let (mut now, mut tried) = (NOW, Vec::new());
    for next_ms in [NEXT_PART_MS, RETRY_MIN_MS, NEXT_PART_MS, 2 * RETRY_MIN_MS] {
        let part = listed(&mut room, now, 2, &stored);
        all_fail(&mut room, &part, now);
        tried.push(part.into_iter().map(|(user, _)| user).collect::<Vec<_>>());
        assert_eq!(room.next_due(now), Some(now + next_ms));
        now += next_ms;
    }
    assert_eq!(tried, [vec!["alice", "bob"], vec!["carol"], vec!["alice", "bob"], vec!["carol"]]);
}

#[test]
fn a_turn_in_which_all_were_reached_is_the_last_one() {
    let mut room = Room::load(Some(NOW));
    for (user, position) in listed(&mut room, NOW, 2, &[("alice", 5), ("bob", 6)]) {
        assert!(room.begin(&user, position));
        room.delivered(&user, position);
    }
    let marks = room.marks_for_batch();
    room.marks_committed(&marks);
    assert_eq!(room.next_due(NOW), Some(NOW + NEXT_PART_MS), "there may be more");
    assert_eq!(listed(&mut room, NOW + NEXT_PART_MS, 2, &[]), []);
    assert!(room.is_at_rest());
}

#[test]
fn those_for_whom_there_was_no_time_come_first_in_the_next_part() {
    let stored = [("alice", 5), ("bob", 6), ("carol", 7), ("dave", 8)];
    for limit in [3, 5] {
        let mut room = Room::load(Some(NOW));
        let part = listed(&mut room, NOW, limit, &stored);
        assert!(room.begin(&"alice", 5), "and hangs");
        let end = NOW + ANSWER_TIMEOUT_MS;
        room.ended(&part, end);
        assert_eq!(room.next_due(end), Some(end + NEXT_PART_MS), "limit {limit}");
        let part = listed(&mut room, end + NEXT_PART_MS, limit, &stored);
        assert_eq!(part, [("bob", 6), ("carol", 7), ("dave", 8)], "limit {limit}");
    }
}

#[test]
fn who_cannot_even_be_asked_has_been_tried() {
    let mut room = Room::load(Some(NOW));
    let stored = [("alice", 5), ("bob", 6)];
    let part = listed(&mut room, NOW, 1, &stored);
    room.failed(&"alice", 5, NOW);
    room.ended(&part, NOW);
    assert_eq!(listed(&mut room, NOW + NEXT_PART_MS, 1, &stored), [("bob", 6)]);
}

#[test]
fn who_hangs_is_left_alone_before_they_are_tried_again() {
    let mut room = Room::load(Some(NOW));
    let part = listed(&mut room, NOW, 2, &[("alice", 5)]);
    assert!(room.begin(&"alice", 5));
    let early = NOW + RETRY_MIN_MS;
    assert_eq!(room.alarm(early, 2), None, "she is waited for");
    let end = NOW + ANSWER_TIMEOUT_MS;
    assert_eq!(room.next_due(early), Some(end));
    room.ended(&part, end);
    assert_eq!(room.next_due(end), Some(end + RETRY_MIN_MS));
}

#[test]
fn what_is_under_way_is_not_delivered_by_the_alarm_as_well_until_its_time_is_up() {
    let mut room = at_rest();
    room.changed(&"alice", 5, NOW);
    assert!(room.begin(&"alice", 5));
    let early = NOW + DELIVERY_GRACE_MS;
    assert_eq!(room.alarm(early, 2), None);
    assert_eq!(room.next_due(early), Some(NOW + ANSWER_TIMEOUT_MS));
    let late = NOW + ANSWER_TIMEOUT_MS;
    assert_eq!(listed(&mut room, late, 2, &[("alice", 5)]), [("alice", 5)]);

    let mut room = Room::load(Some(NOW));
    room.changed(&"alice", 5, NOW);
    assert!(room.begin(&"alice", 5));
    let stored = [("alice", 5), ("bob", 6)];
    assert_eq!(listed(&mut room, NOW, 5, &stored), [("bob", 6)], "the store is read");
    assert!(room.begin(&"bob", 6));
    room.delivered(&"bob", 6);
    room.failed(&"alice", 5, NOW);
    assert_eq!(listed(&mut room, NOW, 5, &stored), [("alice", 5)], "bob's mark is not written");
}

#[test]
fn a_first_delivery_that_fails_is_repeated_by_the_alarm_of_its_batch() {
    let mut room = at_rest();
    room.changed(&"alice", 5, NOW);
    assert!(room.begin(&"alice", 5));
    room.failed(&"alice", 5, NOW);
    assert_eq!(listed(&mut room, NOW + 1, 2, &[("alice", 5)]), [("alice", 5)]);
    assert_eq!(room.next_due(NOW + 1), Some(NOW + 1 + RETRY_MIN_MS));
}

#[test]
fn a_batch_of_unknown_outcome_is_looked_for_when_the_alarm_comes() {
    let mut room = at_rest();
    room.outcome_unknown(NOW);
    assert_eq!(listed(&mut room, NOW, 2, &[]), []);
    assert!(room.is_at_rest(), "it was not written");
    room.outcome_unknown(NOW);
    assert_eq!(listed(&mut room, NOW, 2, &[("alice", 5)]), [("alice", 5)]);
}

#[test]
fn a_store_that_could_not_be_read_is_read_again() {
    let mut room = Room::load(Some(NOW));
    assert!(room.alarm(NOW, 2).is_some());
    assert_eq!(room.next_due(NOW), Some(NOW + RETRY_MIN_MS));
    assert!(room.alarm(NOW + RETRY_MIN_MS, 2).is_some());
}
