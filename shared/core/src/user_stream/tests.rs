//! Tables for what a user's stream decides; the model is in [`model`].

use super::*;

mod model;

fn joined(known_position: u64, known_seq: u64) -> RoomEntry {
    RoomEntry {
        membership: MembershipState::Join,
        membership_position: 1,
        membership_seq: 1,
        known_position,
        known_seq,
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
        let forgotten = RoomEntry { forgotten: true, ..entry };
        assert_eq!(change(&forgotten, Some(1), false, &ask), None, "{name}, forgotten");
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
fn activity_is_news_when_it_is_later_than_what_is_known() {
    assert!(is_news(&joined(5, 1), 6));
    assert!(!is_news(&joined(5, 1), 5), "told twice");
    assert!(!is_news(&with(MembershipState::Leave, 1), 9), "after leaving");
    assert!(!is_news(&with(MembershipState::Invite, 1), 9), "before joining");
}

#[test]
fn thinned_marks_are_bounded_and_reach_far_back() {
    let mut marks: Vec<u64> = Vec::new();
    let mut deepest = 0;
    for seq in 1..=100_000 {
        marks.push(seq);
        if marks.len() > MAX_MARKS_PER_ROOM {
            let dropped = thin_out(&marks, seq);
            marks.retain(|it| !dropped.contains(it));
        }
        assert!(marks.len() <= MAX_MARKS_PER_ROOM, "at {seq}");
        deepest = seq - marks[0];
    }
    assert_eq!(marks.last(), Some(&100_000));
    assert!(deepest > 50_000, "the oldest mark is {deepest} back");
}
