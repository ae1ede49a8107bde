//! Tables for what a user's stream decides; the model is in [`model`].

use super::*;
use crate::sync_token::Rest;

mod model;

fn joined(known_position: u64, known_seq: u64) -> RoomEntry {
    RoomEntry {
        membership: MembershipState::Join,
        membership_position: 1,
        membership_seq: 1,
        known_position,
        known_seq,
        read_position: Some(known_position),
        forgotten: false,
    }
}

fn with(membership: MembershipState, membership_seq: u64) -> RoomEntry {
    RoomEntry { membership, membership_seq, ..joined(1, membership_seq) }
}

fn since(base: u64) -> Ask {
    Ask { since: Some(SyncToken::at(base)), ..Ask::default() }
}

#[test]
fn what_a_client_is_told_of_a_joined_room() {
    let read = |from| Some(Change::Joined { from, has_events: true });
    let account_data = |from| Some(Change::Joined { from, has_events: false });
    let cases = [
        ("a client that begins", joined(9, 5), Some(9), false, Ask::default(), read(None)),
        ("something new", joined(9, 5), Some(7), false, since(4), read(Some(7))),
        ("nothing new", joined(9, 5), Some(9), false, since(5), None),
        ("account data alone", joined(9, 5), Some(9), true, since(5), account_data(Some(9))),
        ("joined since", with(MembershipState::Join, 8), Some(7), false, since(7), read(None)),
        ("never read", joined(9, 5), None, false, since(5), read(None)),
        (
            "everything, on request",
            joined(9, 5),
            Some(9),
            false,
            Ask { full_state: true, ..since(5) },
            read(Some(9)),
        ),
    ];
    for (name, entry, seen, has_account_data, ask, expected) in cases {
        assert_eq!(change(&entry, seen, has_account_data, &ask), expected, "{name}");
    }
}

#[test]
fn what_a_client_is_told_of_other_rooms() {
    use MembershipState::{Ban, Invite, Knock, Leave};
    let with_leave = |ask: Ask| Ask { include_leave: true, ..ask };
    let full = |ask: Ask| Ask { full_state: true, ..ask };
    let left = Some(Change::Left { from: Some(1) });
    let cases = [
        ("a new invitation", Invite, since(4), Some(Change::Invited)),
        ("an old invitation", Invite, since(5), None),
        ("invitations at first", Invite, Ask::default(), Some(Change::Invited)),
        ("a new knock", Knock, since(4), Some(Change::Knocked)),
        ("left since", Leave, since(4), left),
        ("banned since", Ban, since(4), left),
        ("left before", Leave, with_leave(since(5)), None),
        ("left before, full state", Leave, with_leave(full(since(5))), left),
        ("left since, full state", Leave, full(since(4)), left),
        ("left, at first", Leave, Ask::default(), None),
        ("left, at first, when asked for", Leave, with_leave(Ask::default()), left),
    ];
    for (name, membership, ask, expected) in cases {
        let entry = with(membership, 5);
        assert_eq!(change(&entry, Some(1), false, &ask), expected, "{name}");
    }
}

/// Only [`MembershipState::Leave`] and [`MembershipState::Ban`] can be forgotten.
#[test]
fn what_a_client_is_told_of_a_forgotten_room() {
    let with_leave = |ask: Ask| Ask { include_leave: true, ..ask };
    let full = |ask: Ask| Ask { full_state: true, ..ask };
    let rest = |before, seen| Some(Rest { before, seen });
    let token = |rest| Some(SyncToken::at(9).with_rest(rest));
    let behind = Some(SyncToken::at(4).seen());
    let (left, left_anew) =
        (Some(Change::Left { from: Some(1) }), Some(Change::Left { from: None }));
    let cases = [
        ("left since", since(4), left),
        ("left since, full state", with_leave(full(since(4))), left),
        ("left before, full state", with_leave(full(since(5))), None),
        ("left before", since(5), None),
        ("at first", with_leave(Ask::default()), None),
        ("still at first", with_leave(Ask { since: token(rest(7, None)), ..Ask::default() }), None),
        ("a page behind", Ask { since: token(rest(7, behind)), ..Ask::default() }, left_anew),
    ];
    for membership in [MembershipState::Leave, MembershipState::Ban] {
        let entry = RoomEntry { forgotten: true, ..with(membership, 5) };
        for (name, ask, expected) in &cases {
            assert_eq!(change(&entry, Some(1), false, ask), *expected, "{name}");
        }
    }
}

#[test]
fn what_a_client_is_told_of_rooms_that_are_still_to_come() {
    use MembershipState::{Invite, Join, Leave};
    let rest =
        |seen: Option<u64>| Rest { before: 7, seen: seen.map(|it| SyncToken::at(it).seen()) };
    let ask =
        |seen| Ask { since: Some(SyncToken::at(9).with_rest(Some(rest(seen)))), ..Ask::default() };
    let with_leave = |ask: Ask| Ask { include_leave: true, ..ask };
    let read = |from| Some(Change::Joined { from, has_events: true });
    let left = |from| Some(Change::Left { from });
    let cases = [
        ("one that was given", with(Join, 7), ask(None), None),
        ("one that was not", with(Join, 6), ask(None), read(None)),
        ("one the client had before", with(Join, 2), ask(Some(3)), None),
        ("one it was in before, read since", with(Join, 2), ask(Some(1)), read(None)),
        ("left before it began", with(Leave, 6), ask(None), None),
        ("left before it began, asked for", with(Leave, 6), with_leave(ask(None)), left(None)),
        ("left while it catches up", with(Leave, 10), ask(Some(3)), left(None)),
        ("an invitation came with the first page", with(Invite, 6), ask(None), None),
    ];
    for (name, entry, ask, expected) in cases {
        let mut marks = Marks::default();
        marks.record(3, 1);
        let read = ask.read_position(&entry, &marks);
        assert_eq!(change(&entry, read, false, &ask), expected, "{name}");
    }
}

#[test]
fn what_is_on_a_page() {
    let read = Change::Joined { from: None, has_events: true };
    let unread = Change::Joined { from: Some(1), has_events: false };
    let of = |change, membership_seq| Candidate { change, membership_seq };
    let rest = |before, seen: Option<u64>| {
        Some(Rest { before, seen: seen.map(|it| SyncToken::at(it).seen()) })
    };
    let rooms = [
        of(read, 4),
        of(unread, 1),
        of(Change::Left { from: None }, 8),
        of(Change::Invited, 2),
        of(read, 6),
    ];
    let begins = Ask::default();
    let (behind, still_behind) = (
        since(5),
        Ask { since: Some(SyncToken::at(9).with_rest(rest(5, Some(3)))), ..Ask::default() },
    );
    // Name, who asks, how many are wanted, the rest, the rooms that are given.
    let cases = [
        ("all fit", begins, 3, None, vec![4, 1, 8, 2, 6]),
        ("who begins", begins, 2, rest(6, None), vec![1, 8, 2, 6]),
        ("one at least", begins, 0, rest(8, None), vec![1, 8, 2]),
        ("who is behind", behind, 2, rest(6, Some(5)), vec![1, 8, 2, 6]),
        ("who still is", still_behind, 2, rest(6, Some(3)), vec![1, 8, 2, 6]),
        ("the last page", still_behind, 3, None, vec![4, 1, 8, 2, 6]),
    ];
    for (name, ask, limit, expected, given) in cases {
        let page = Page::cut(&rooms, &ask, limit);
        assert_eq!(page.rest, expected, "{name}");
        let on_page = rooms.iter().filter(|it| page.gives(it));
        assert_eq!(on_page.map(|it| it.membership_seq).collect::<Vec<_>>(), given, "{name}");
    }
}

#[test]
fn what_a_membership_does() {
    use MembershipState::{Invite, Join, Leave};
    // Name, before, (membership, position), after: membership seq, known position, drops marks.
    let cases = [
        ("the first invitation", None, (Invite, 3), Some((7, 3, false))),
        ("the first join", None, (Join, 3), Some((7, 3, true))),
        ("told twice", Some(joined(3, 2)), (Join, 1), None),
        ("told late", Some(joined(3, 2)), (Leave, 1), None),
        ("a new profile", Some(joined(3, 2)), (Join, 4), Some((1, 4, false))),
        ("leaving", Some(joined(3, 2)), (Leave, 4), Some((7, 4, false))),
        ("coming back", Some(with(Leave, 2)), (Join, 4), Some((7, 4, true))),
        ("a second invitation", Some(with(Invite, 2)), (Invite, 4), Some((7, 4, false))),
    ];
    for (name, before, (membership, position), expected) in cases {
        let plan = plan_membership(before.as_ref(), membership, position, 7);
        let got = plan.map(|it| (it.entry.membership_seq, it.entry.known_position, it.drops_marks));
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn a_forgotten_room_is_remembered_when_something_happens() {
    let entry = RoomEntry { forgotten: true, ..with(MembershipState::Leave, 3) };
    let plan = plan_membership(Some(&entry), MembershipState::Invite, 9, 4).unwrap();
    assert!(!plan.entry.forgotten);
}

#[test]
fn a_room_that_is_joined_again_was_read_by_nobody() {
    let entry = RoomEntry { read_position: Some(1), ..with(MembershipState::Leave, 3) };
    let plan = plan_membership(Some(&entry), MembershipState::Join, 9, 4).unwrap();
    assert_eq!((plan.entry.read_position, plan.entry.is_unread()), (None, true));
    let plan = plan_membership(Some(&joined(5, 1)), MembershipState::Join, 9, 4).unwrap();
    assert_eq!(plan.entry.read_position, Some(5), "a new profile");
}

#[test]
fn what_a_delivery_comes_to() {
    use Heard::{Known, News, Unread};
    let unread = |read_position| RoomEntry { read_position, ..joined(5, 1) };
    // Name, the room as it is stored, the position delivered.
    let cases = [
        ("a room that was read", Some(joined(5, 1)), 6, News),
        ("delivered twice", Some(joined(5, 1)), 5, Known),
        ("an unread room", Some(unread(Some(4))), 6, Unread),
        ("a room that nobody ever read", Some(unread(None)), 6, Unread),
        ("an unread room, delivered twice", Some(unread(Some(4))), 5, Known),
        ("after leaving", Some(with(MembershipState::Leave, 1)), 9, Unread),
        ("before joining", Some(with(MembershipState::Invite, 1)), 9, Unread),
        ("a room the stream has never heard of", None, 9, Unread),
    ];
    for (name, entry, position, expected) in cases {
        let mut heard = HeardRooms::new(Instance::new(1));
        assert_eq!(heard.hear_from_memory(&"r", position), None, "{name}");
        assert_eq!(heard.hear(&"r", entry.as_ref(), position), expected, "{name}");
        let is_dropped = expected == Unread && entry.is_some_and(|it| it.is_unread());
        assert_eq!(heard.dropped(&"r"), is_dropped.then_some(position), "{name}");
    }
}

#[test]
fn an_unread_room_is_not_looked_up_again() {
    let mut heard = HeardRooms::new(Instance::new(1));
    assert_eq!(heard.hear(&"r", Some(&joined(5, 1)), 6), Heard::News);
    assert_eq!(heard.hear_from_memory(&"r", 6), None, "before it is committed");
    heard.noted(&"r", 6);
    assert_eq!(heard.hear_from_memory(&"r", 6), Some(Heard::Known));
    assert_eq!(heard.hear_from_memory(&"r", 8), Some(Heard::Unread));
    assert_eq!(heard.hear_from_memory(&"r", 7), Some(Heard::Unread));
    assert_eq!(heard.dropped(&"r"), Some(8));
    let entry = RoomEntry { read_position: Some(5), ..joined(6, 2) };
    let read = RoomRead { to: 7, base: 2, dropped: heard.dropped(&"r"), is_same_instance: true };
    let plan = plan_read(&entry, &Marks::default(), &read, 3).unwrap();
    heard.recorded(&"r", &plan);
    assert_eq!((plan.entry.is_unread(), heard.dropped(&"r")), (true, None));
    assert_eq!(heard.hear_from_memory(&"r", 8), Some(Heard::Known));
    assert_eq!(heard.hear_from_memory(&"r", 9), Some(Heard::Unread));
    let read = RoomRead { to: 9, dropped: heard.dropped(&"r"), ..read };
    let plan = plan_read(&plan.entry, &plan.marks, &read, 4).unwrap();
    heard.recorded(&"r", &plan);
    assert_eq!(heard.hear_from_memory(&"r", 10), None, "it was read to its end");
}

#[test]
fn a_full_memory_is_another_instance() {
    let mut heard = HeardRooms::new(Instance::new(u64::MAX));
    let before = heard.instance();
    for room in 0..MAX_HEARD_ROOMS {
        heard.noted(&room, 1);
        heard.noted(&room, 2);
    }
    assert_eq!(heard.instance(), before);
    heard.noted(&MAX_HEARD_ROOMS, 1);
    assert_ne!(heard.instance(), before);
    assert_eq!(heard.hear_from_memory(&0, 3), None);
    assert_eq!(heard.hear_from_memory(&MAX_HEARD_ROOMS, 3), Some(Heard::Unread));
}

/// A client reads the room up to 2 while the stream knows of 1. The room, which was read, delivers
/// 3; it is dropped, because the stream takes the room for unread. Then the read is recorded.
#[test]
fn an_event_between_a_read_and_its_record_is_not_lost() {
    let entry = RoomEntry { known_seq: 5, read_position: None, ..joined(1, 5) };
    let mut heard = HeardRooms::new(Instance::new(1));
    assert_eq!(heard.hear(&"r", Some(&entry), 3), Heard::Unread);
    let dropped = heard.dropped(&"r");
    let read = RoomRead { to: 2, base: 5, dropped, is_same_instance: true };
    let plan = plan_read(&entry, &Marks::default(), &read, 6).unwrap();
    assert!(plan.raises, "clients are woken");
    assert_eq!(plan.entry.known_position, 3);
    assert!(plan.entry.is_unread());
    let token = SyncToken::after_read(5, 6);
    let ask = Ask { since: Some(token), ..Ask::default() };
    let expected = Change::Joined { from: Some(2), has_events: true };
    assert_eq!(change(&plan.entry, plan.marks.seen_by(token.seen()), false, &ask), Some(expected));

    // The object was built anew in between: the memory of the dropped delivery is gone.
    let read = RoomRead { dropped: None, is_same_instance: false, ..read };
    assert_eq!(plan_read(&entry, &Marks::default(), &read, 6), None);
}

#[test]
fn what_a_read_does() {
    let mut marks = Marks::default();
    marks.record(4, 6);
    let entry = RoomEntry { known_seq: 5, read_position: Some(6), ..joined(8, 5) };
    let (membership, membership_position) = (MembershipState::Leave, 8);
    let left = RoomEntry { membership, membership_position, ..entry.clone() };
    // Name, the room, how far it was read, what was dropped, the known position afterwards.
    let cases = [
        ("up to what is known", &entry, 8, None, Some((8, false))),
        ("less far", &entry, 7, None, Some((8, false))),
        ("nothing more than before", &entry, 6, None, None),
        ("further than is known", &entry, 9, None, Some((9, true))),
        ("something was dropped", &entry, 8, Some(10), Some((10, true))),
        ("something was dropped and read", &entry, 11, Some(10), Some((11, true))),
        ("a room that was left", &left, 11, Some(10), Some((8, false))),
    ];
    for (name, entry, to, dropped, expected) in cases {
        let read = RoomRead { to, base: 5, dropped, is_same_instance: true };
        let plan = plan_read(entry, &marks, &read, 7);
        let got = plan.as_ref().map(|it| (it.entry.known_position, it.raises));
        assert_eq!(got, expected, "{name}");
        if let Some(plan) = plan {
            let most = if name.ends_with("left") { 8 } else { u64::MAX };
            assert_eq!(plan.marks.seen_by(SyncToken::at(7).seen()), Some(to.min(most)), "{name}");
            assert_eq!(plan.entry.read_position, Some(to.min(most)), "{name}");
            assert_eq!(plan.entry.known_seq, if plan.raises { 7 } else { 5 }, "{name}");
        }
    }
}

#[test]
fn marks_say_how_far_a_token_has_read() {
    let mut marks = Marks::default();
    assert_eq!((marks.furthest(), marks.seen_by(SyncToken::at(9).seen())), (None, None));
    marks.record(5, 9);
    marks.record(7, 12);
    marks.record(8, 11);
    assert_eq!(marks.furthest(), Some(12));
    let cases = [("s4", None), ("s5", Some(9)), ("s6_8", Some(11)), ("s7", Some(12))];
    for (token, expected) in cases {
        assert_eq!(marks.seen_by(token.parse::<SyncToken>().unwrap().seen()), expected, "{token}");
    }
    let json = serde_json::to_string(&marks).unwrap();
    assert_eq!(json, "[[5,9],[7,12],[8,11]]");
    assert_eq!(serde_json::from_str::<Marks>(&json).unwrap(), marks);
}

#[test]
fn thinned_marks_are_bounded_and_reach_far_back() {
    let mut marks = Marks::default();
    let reaches = |marks: &Marks, seq| marks.seen_by(SyncToken::at(seq).seen()).is_some();
    for seq in 1..=100_000 {
        marks.record(seq, seq);
        assert!(marks.len() <= MAX_MARKS_PER_ROOM, "at {seq}");
        assert_eq!(marks.furthest(), Some(seq));
    }
    assert!(reaches(&marks, 50_000));
    // The furthest mark stays, however old it is.
    marks.record(100_001, 200_000);
    for seq in 100_002..=300_000 {
        marks.record(seq, seq - 100_000);
        assert!(marks.len() <= MAX_MARKS_PER_ROOM, "at {seq}");
    }
    assert_eq!(marks.furthest(), Some(200_000));
}

#[test]
fn rooms_that_may_have_something_new() {
    let rooms = [("old", 2, false), ("unread", 1, true), ("new", 8, false)];
    let mut index = ChangedRooms::load(rooms);
    let since = |index: &ChangedRooms<&'static str>, base| {
        index.since(SyncToken::at(base)).map(|it| it.into_iter().collect::<Vec<_>>())
    };
    assert_eq!(since(&index, 0), Some(vec!["new", "old", "unread"]));
    assert_eq!(since(&index, 2), Some(vec!["new", "unread"]));
    assert_eq!(since(&index, 8), Some(vec!["unread"]));
    let rest = Some(Rest { before: 2, seen: None });
    assert_eq!(index.since(SyncToken::at(8).with_rest(rest)), None, "rooms are still to come");
    index.changed(&"unread", 9, false);
    index.changed(&"old", 10, true);
    assert_eq!(since(&index, 10), Some(vec!["old"]));
    assert_eq!(since(&index, 8), Some(vec!["old", "unread"]));
    index.account_data_changed(&"new", 11);
    assert_eq!(since(&index, 10), Some(vec!["new", "old"]));
    assert_eq!(index.complete_after(), 0);
}

#[test]
fn what_is_remembered_of_changed_rooms_is_bounded() {
    let recent = MAX_RECENT_ROOMS as u64;
    let mut index: ChangedRooms<u64> =
        ChangedRooms::load((1..=recent + 5).rev().map(|seq| (seq, seq, false)));
    assert_eq!(index.complete_after(), 5);
    assert_eq!(index.since(SyncToken::at(4)), None);
    assert_eq!(index.since(SyncToken::at(5)).map(|it| it.len()), Some(MAX_RECENT_ROOMS));
    index.changed(&1, recent + 6, false);
    assert_eq!(index.complete_after(), 6);
    for room in 0..=MAX_UNREAD_ROOMS as u64 {
        index.changed(&room, recent + 7 + room, true);
    }
    assert_eq!(index.since(SyncToken::at(u64::MAX)), None, "too many unread rooms");
}

#[test]
fn what_no_room_tells_stands_before_all_that_a_room_tells() {
    use MembershipState::{Ban, Invite, Join, Knock, Leave};
    let all = [None, Some(Leave), Some(Invite), Some(Knock), Some(Ban), Some(Join)];
    let cases = [
        (Invite, [true, true, true, true, true, false]),
        (Knock, [true, true, true, true, true, false]),
        (Leave, [false, false, true, true, false, false]),
        (Ban, [false, false, true, true, false, false]),
        (Join, [false; 6]),
    ];
    for (membership, expected) in cases {
        for (before, is_taken) in all.iter().zip(expected) {
            let entry = before.clone().map(|it| RoomEntry {
                membership_position: 9,
                forgotten: true,
                ..with(it, 3)
            });
            let plan = plan_remote_membership(entry.as_ref(), membership.clone(), 7);
            assert_eq!(plan.is_some(), is_taken, "{membership} after {before:?}");
            let Some(MembershipPlan { entry: after, drops_marks }) = plan else { continue };
            assert!(!drops_marks && !after.forgotten);
            assert_eq!((&after.membership, after.membership_seq), (&membership, 7));
            let at = entry.map_or(0, |it| it.membership_position);
            assert_eq!(after.membership_position, at);
            let told = plan_membership(Some(&after), Join, at + 1, 8);
            assert!(told.is_some(), "what a room tells later counts");
            assert_eq!(plan_membership(Some(&after), Leave, at, 8), None, "and nothing earlier");
        }
    }
}
