//! Tables for what a room delivers.

use super::*;

mod memberships;
mod model;
mod room;

type Room = Delivery<&'static str>;

/// A room whose readers watch and have rows.
fn watched_by(readers: &[&'static str]) -> Room {
    Room::load(readers.iter().copied(), None)
}

fn round(room: &mut Room, now_ms: u64) -> Vec<(&'static str, u64)> {
    let mut round = room.next_round(now_ms, DELIVERIES_PER_ROUND);
    round.sort_unstable();
    round
}

#[test]
fn a_reader_is_delivered_to_once_until_they_read() {
    let mut room = watched_by(&[]);
    assert!(room.read(&"alice"), "a row must be written");
    room.row_written(&"alice");
    for position in [5, 6] {
        room.advance(position);
    }
    assert_eq!(round(&mut room, 0), [("alice", 5)]);
    room.answered(&"alice", 5, Answer::Noted, 1);
    room.advance(7);
    assert_eq!(round(&mut room, 2), []);
    assert!(!room.read(&"alice"), "the row is there already");
    room.advance(8);
    assert_eq!(round(&mut room, 3), [("alice", 8)]);
}

#[test]
fn an_event_needs_an_alarm_when_somebody_watches_and_none_is_set() {
    let now = 50_000;
    let due = now + DELIVERY_GRACE_MS;
    let mut room = watched_by(&[]);
    assert_eq!(room.alarm_for(now), None, "nobody watches");
    _ = room.read(&"alice");
    assert_eq!(room.alarm_for(now), Some(due));
    assert_eq!(room.alarm_for(now), Some(due), "the batch was not committed");
    room.alarm_set(due);
    assert_eq!(room.alarm_for(now + 1), None, "it comes soon enough");
    room.alarm_set(now + RETRY_MAX_MS);
    assert_eq!(room.alarm_for(now), Some(due), "it comes too late");
    room.alarm_set(now - 1);
    assert_eq!(room.alarm_for(now), Some(due), "it is late, or lost");
}

#[test]
fn what_is_taken_is_outstanding_before_anything_is_sent() {
    let mut room = watched_by(&["alice"]);
    room.alarm_set(8);
    room.advance(5);
    // The alarm comes before the first round was handed out.
    room.alarm(8, 5);
    assert_eq!(room.next_due(8), Some(8 + DELIVERY_GRACE_MS), "queued");
    assert_eq!(round(&mut room, 9), [("alice", 5)]);
    assert_eq!(room.next_due(9), Some(9 + ANSWER_TIMEOUT_MS), "sent");
    room.answered(&"alice", 5, Answer::Unreachable, 10);
    assert_eq!(room.next_due(10), Some(10 + RETRY_MIN_MS), "failed");
    room.answered(&"alice", 5, Answer::Noted, 11);
    assert_eq!(room.next_due(11), None, "answered after all");
}

#[test]
fn one_reader_who_cannot_be_reached_delays_nobody_and_is_never_given_up() {
    let mut room = watched_by(&["alice", "bob"]);
    room.advance(5);
    assert_eq!(round(&mut room, 0), [("alice", 5), ("bob", 5)]);
    room.answered(&"bob", 5, Answer::Noted, 0);
    _ = room.read(&"bob");
    let (mut now, mut waits) = (0, Vec::new());
    for _ in 0..100 {
        room.answered(&"alice", 5, Answer::Unreachable, now);
        let due = room.next_due(now).unwrap();
        waits.push((due - now) / RETRY_MIN_MS);
        room.alarm(due - 1, 5);
        assert!(!room.has_more(), "before it is due");
        room.alarm(due, 5);
        room.alarm(due, 5);
        assert_eq!(round(&mut room, due), [("alice", 5)], "an alarm that comes twice");
        now = due;
    }
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 64, 90]);
    assert_eq!(waits[99], 90);
    for is_failed in [false, true] {
        let mut room = room.clone();
        if is_failed {
            room.answered(&"alice", 5, Answer::Unreachable, now);
        }
        room.advance(6);
        assert_eq!(round(&mut room, now), [("bob", 6)]);
    }
}

#[test]
fn an_answer_that_takes_too_long_is_a_failure() {
    let mut room = watched_by(&["alice"]);
    room.advance(5);
    assert_eq!(round(&mut room, 0), [("alice", 5)]);
    room.alarm(ANSWER_TIMEOUT_MS - 1, 5);
    assert_eq!(room.next_due(0), Some(ANSWER_TIMEOUT_MS));
    room.alarm(ANSWER_TIMEOUT_MS, 5);
    assert_eq!(room.next_due(0), Some(ANSWER_TIMEOUT_MS + RETRY_MIN_MS));
}

#[test]
fn an_answer_to_an_earlier_delivery_does_not_end_a_newer_one() {
    let mut room = watched_by(&["alice"]);
    room.advance(5);
    assert_eq!(round(&mut room, 0), [("alice", 5)]);
    _ = room.read(&"alice");
    room.advance(6);
    for answer in [Answer::Noted, Answer::Unread, Answer::Unreachable] {
        room.answered(&"alice", 5, answer, 1);
    }
    assert_eq!(round(&mut room, 2), [("alice", 6)]);
}

#[test]
fn a_read_does_not_end_a_delivery() {
    let mut room = watched_by(&["alice"]);
    room.advance(5);
    assert_eq!(round(&mut room, 0), [("alice", 5)]);
    _ = room.read(&"alice");
    room.answered(&"alice", 5, Answer::Unreachable, 0);
    room.alarm(RETRY_MIN_MS, 5);
    assert_eq!(round(&mut room, RETRY_MIN_MS), [("alice", 5)]);
    room.answered(&"alice", 5, Answer::Noted, RETRY_MIN_MS);
    assert!(room.is_watched(), "they have read since");
}

#[test]
fn who_leaves_the_room_unread_loses_their_row_unless_they_read_first() {
    let delivered = || {
        let mut room = watched_by(&["alice"]);
        room.advance(5);
        assert_eq!(round(&mut room, 0), [("alice", 5)]);
        room
    };
    let mut room = delivered();
    room.answered(&"alice", 5, Answer::Noted, 0);
    assert_eq!(room.removals_for_batch(), Vec::<&str>::new(), "an active reader keeps it");

    let mut room = delivered();
    room.answered(&"alice", 5, Answer::Unread, 0);
    assert_eq!(room.removals_for_batch(), ["alice"]);
    room.removals_committed();
    assert_eq!(room.removals_for_batch(), Vec::<&str>::new());
    assert!(room.read(&"alice"), "the row is gone");

    let mut room = delivered();
    room.answered(&"alice", 5, Answer::Unread, 0);
    assert!(!room.read(&"alice"), "they read before the removal");
    assert_eq!(room.removals_for_batch(), Vec::<&str>::new());

    let mut room = delivered();
    _ = room.read(&"alice");
    room.answered(&"alice", 5, Answer::Unread, 0);
    assert_eq!(room.removals_for_batch(), Vec::<&str>::new(), "they read before the answer");

    let mut room = delivered();
    room.answered(&"alice", 5, Answer::Unread, 0);
    assert_eq!(room.removals_for_batch(), ["alice"]);
    room.removals_failed();
    assert!(room.clone().read(&"alice"), "nobody knows whether the row is there");
    assert_eq!(room.removals_for_batch(), ["alice"], "the next batch removes it");
}

#[test]
fn who_left_the_room_is_delivered_nothing() {
    let mut room = watched_by(&["alice", "bob", "carol"]);
    room.gone(&"alice");
    room.advance(5);
    room.gone(&"bob");
    assert_eq!(round(&mut room, 0), [("carol", 5)]);
    room.gone(&"carol");
    room.answered(&"carol", 5, Answer::Unreachable, 0);
    assert_eq!(room.next_due(0), None);
    assert_eq!(room.removals_for_batch(), ["alice", "bob", "carol"]);
}

#[test]
fn a_room_that_is_loaded_before_its_alarm_came_repeats_the_newest_event() {
    let mut room = Room::load(["alice", "bob"], Some(8));
    assert_eq!(room.next_due(0), None, "the alarm is stored");
    assert_eq!(room.next_due(9), Some(9 + DELIVERY_GRACE_MS), "it is late, or lost");
    room.alarm(8, 5);
    assert_eq!(round(&mut room, 8), [("alice", 5), ("bob", 5)]);
    room.answered(&"alice", 5, Answer::Noted, 9);
    room.answered(&"bob", 5, Answer::Unread, 9);
    assert_eq!(room.next_due(9), None);
    // They may have read that event before the crash: the next one is not to be missed.
    assert_eq!(room.removals_for_batch(), Vec::<&str>::new());
    room.advance(6);
    assert_eq!(round(&mut room, 10), [("alice", 6), ("bob", 6)]);

    let mut room = Room::load(["alice"], Some(8));
    room.advance(6);
    assert_eq!(round(&mut room, 7), [("alice", 6)]);
    room.answered(&"alice", 6, Answer::Noted, 7);
    room.alarm(8, 6);
    assert_eq!(room.next_due(8), None, "the next event made up for it");

    let mut room = Room::load(["alice"], None);
    assert_eq!(room.next_due(0), None, "the alarm had nothing to do");
    room.alarm(8, 5);
    assert_eq!(round(&mut room, 8), []);
}

#[test]
fn an_event_of_unknown_outcome_is_delivered_by_its_alarm() {
    let mut room = watched_by(&["alice"]);
    assert!(room.alarm_for(0).is_some());
    room.outcome_unknown();
    assert_eq!(room.next_due(0), Some(DELIVERY_GRACE_MS));
    room.alarm(DELIVERY_GRACE_MS, 5);
    assert_eq!(round(&mut room, DELIVERY_GRACE_MS), [("alice", 5)]);
    assert!(room.is_watched());
}

#[test]
fn nobody_is_the_last_for_ever() {
    let readers: Vec<u32> = (0..1_000).collect();
    let mut room = Delivery::load(readers.iter().copied(), None);
    let mut last_rounds = vec![0; readers.len()];
    for position in 1..=100 {
        room.advance(position);
        let first = room.next_round(0, DELIVERIES_PER_ROUND);
        assert_eq!(first.len(), DELIVERIES_PER_ROUND);
        assert!(room.has_more());
        let second = room.next_round(0, DELIVERIES_PER_ROUND);
        assert!(!room.has_more());
        for (reader, _) in &second {
            last_rounds[*reader as usize] += 1;
        }
        for (reader, _) in first.into_iter().chain(second) {
            room.answered(&reader, position, Answer::Noted, 0);
            _ = room.read(&reader);
        }
    }
    assert!(last_rounds.iter().all(|it| (40..=60).contains(it)), "{last_rounds:?}");
}

#[test]
fn who_waits_already_comes_before_the_next_event() {
    let mut room = watched_by(&["alice", "bob", "carol"]);
    room.advance(5);
    let (first, _) = room.next_round(0, 1)[0];
    room.answered(&first, 5, Answer::Noted, 0);
    _ = room.read(&first);
    room.advance(6);
    let order: Vec<_> = room.next_round(0, 3).into_iter().map(|it| it.1).collect();
    assert_eq!(order, [5, 5, 6]);
}

#[test]
fn weak_news_are_coalesced_and_leave_no_trace() {
    let mut room = watched_by(&["alice", "bob"]);
    let weak = |room: &mut Room, now_ms| {
        let mut readers = room.advance_weak(now_ms, WEAK_WINDOW_MS, |_| true);
        readers.sort_unstable();
        readers
    };
    assert_eq!(weak(&mut room, 0), ["alice", "bob"]);
    assert_eq!(weak(&mut room, 1), Vec::<&str>::new());
    _ = room.read(&"bob");
    assert_eq!(weak(&mut room, 2), ["bob"], "bob has read");
    assert_eq!(weak(&mut room, WEAK_WINDOW_MS), ["alice"], "the window has passed");
    assert!(!room.advance_weak_to(&"alice", WEAK_WINDOW_MS + 1));
    assert_eq!((room.next_due(9), room.has_more()), (None, false));
    _ = room.read(&"bob");
    assert!(!room.is_told_weak(&"bob"), "he has read");
    assert_eq!(room.advance_weak(9, 99_999, |it| *it == "bob"), ["bob"], "bob alone is meant");
    assert!(room.is_told_weak(&"bob"));
    assert_eq!(room.advance_weak(WEAK_WINDOW_MS + 9, 99_999, |it| *it == "bob"), [""; 0]);
    room.advance(5);
    assert_eq!(round(&mut room, 9), [("alice", 5), ("bob", 5)], "they went on watching");
    assert!(room.has_reader(|it| *it == "bob") && !room.has_reader(|it| *it == "carol"));
    assert_eq!(weak(&mut room, 99_999), Vec::<&str>::new(), "they will read anyway");
}
