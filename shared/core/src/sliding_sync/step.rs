//! What a client is to be given of a room that it wants.

use ruma::events::room::member::MembershipState;

use super::{GivenRoom, RequiredState, Wanted};
use crate::user_stream::RoomEntry;

/// What a client is to be given of a room.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Up to where it was given the room; none: it is new to the client.
    pub from: Option<u64>,
    /// An invitation or a knock: the room itself is not read.
    pub is_stripped: bool,
    /// The newest events are given anew, because more of them are wanted than before.
    pub expands: bool,
    /// State that is wanted and was not before.
    pub added: RequiredState,
    /// Receipts after this; none: all that matter.
    pub receipts_from: Option<u64>,
    /// Whether the room itself is to be read.
    pub is_read: bool,
    /// Only receipts or who types may be new.
    pub is_ephemeral: bool,
    /// It has become a direct one, or is none any more.
    pub dm_changed: bool,
}

/// What of a room may be new besides what it and the client's wishes tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Besides {
    /// `m.direct` names it.
    pub is_dm: bool,
    /// Receipts are wanted.
    pub receipts: bool,
    /// Receipts or who types may be new, and are wanted.
    pub is_ephemeral: bool,
}

/// What a client is to be given of a room that it wants, if anything.
pub fn step(
    entry: &RoomEntry,
    wanted: &Wanted,
    given: Option<(&GivenRoom, &RequiredState)>,
    besides: Besides,
) -> Option<Step> {
    let same = given.filter(|it| it.0.membership_seq == entry.membership_seq);
    let dm_changed = same.map_or(besides.is_dm, |it| it.0.is_dm != besides.is_dm);
    match entry.membership {
        MembershipState::Invite | MembershipState::Knock => {
            let is_new = same.is_none();
            let step = Step { is_stripped: is_new, dm_changed, ..Step::default() };
            (is_new || dm_changed).then_some(step)
        }
        MembershipState::Join => {
            let Some((room, required)) = same else {
                return Some(Step { is_read: true, dm_changed, ..new(wanted) });
            };
            let added = wanted.required_state.beyond(required);
            let expands = wanted.timeline_limit > room.timeline_limit;
            let has_receipts = besides.receipts && !room.receipts;
            let is_new = entry.known_position > room.to || expands || !added.is_empty();
            let is_ephemeral = !is_new && (besides.is_ephemeral || has_receipts);
            let step = Step {
                from: Some(room.to),
                is_stripped: false,
                expands,
                added,
                receipts_from: Some(room.to).filter(|_| !has_receipts),
                is_read: is_new || is_ephemeral,
                is_ephemeral,
                dm_changed,
            };
            (step.is_read || dm_changed).then_some(step)
        }
        _ => {
            let from = given.map(|it| it.0.to).filter(|it| *it > 0);
            let step = Step { from, ..new(wanted) };
            same.is_none().then_some(Step { is_read: true, dm_changed: false, ..step })
        }
    }
}

/// All that is wanted of a room.
fn new(wanted: &Wanted) -> Step {
    Step { added: wanted.required_state.clone(), ..Step::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(membership: MembershipState, seq: u64, known: u64) -> RoomEntry {
        RoomEntry {
            membership,
            membership_position: 2,
            membership_seq: seq,
            known_position: known,
            known_seq: seq,
            read_position: None,
            forgotten: false,
        }
    }

    fn required(types: &[&str]) -> RequiredState {
        types.iter().map(|it| ((*it).to_owned(), String::new())).collect()
    }

    fn wanted(timeline_limit: u64, types: &[&str]) -> Wanted {
        Wanted { timeline_limit, required_state: required(types), ..Wanted::default() }
    }

    #[test]
    fn what_is_given_of_a_joined_room() {
        let had = GivenRoom {
            membership_seq: 5,
            to: 10,
            timeline_limit: 20,
            receipts: true,
            ..GivenRoom::default()
        };
        let state = required(&["a", "b"]);
        let joined = |known| entry(MembershipState::Join, 5, known);
        let read =
            |it: Option<Step>| it.map(|it| (it.from, it.expands, it.added.len(), it.is_read));
        let besides = Besides { receipts: true, ..Besides::default() };
        let given = Some((&had, &state));
        let cases = [
            (
                "new",
                step(&joined(10), &wanted(1, &["a"]), None, besides),
                Some((None, false, 1, true)),
            ),
            ("nothing new", step(&joined(10), &wanted(20, &["a", "b"]), given, besides), None),
            (
                "an event",
                step(&joined(11), &wanted(20, &["a", "b"]), given, besides),
                Some((Some(10), false, 0, true)),
            ),
            (
                "more events wanted",
                step(&joined(10), &wanted(21, &["a", "b"]), given, besides),
                Some((Some(10), true, 0, true)),
            ),
            (
                "fewer events wanted",
                step(&joined(10), &wanted(1, &["a", "b"]), given, besides),
                None,
            ),
            (
                "more state wanted",
                step(&joined(10), &wanted(20, &["a", "b", "c"]), given, besides),
                Some((Some(10), false, 1, true)),
            ),
            ("less state wanted", step(&joined(10), &wanted(20, &["a"]), given, besides), None),
            (
                "joined anew",
                step(&entry(MembershipState::Join, 6, 10), &wanted(20, &["a"]), given, besides),
                Some((None, false, 1, true)),
            ),
        ];
        for (name, found, expected) in cases {
            assert_eq!(read(found), expected, "{name}");
        }
    }

    #[test]
    fn receipts_and_direct_rooms() {
        let had = GivenRoom { membership_seq: 5, to: 10, ..GivenRoom::default() };
        let state = required(&[]);
        let joined = entry(MembershipState::Join, 5, 10);
        let all = |is_dm, receipts, is_ephemeral| {
            let besides = Besides { is_dm, receipts, is_ephemeral };
            step(&joined, &wanted(0, &[]), Some((&had, &state)), besides)
        };
        assert_eq!(all(false, false, false), None);
        let first = all(false, true, false).unwrap();
        assert_eq!((first.is_ephemeral, first.receipts_from), (true, None), "all receipts");
        let typing = all(false, false, true).unwrap();
        assert_eq!((typing.is_ephemeral, typing.receipts_from), (true, Some(10)));
        let direct = all(true, false, false).unwrap();
        assert_eq!((direct.is_read, direct.dm_changed), (false, true));
    }

    #[test]
    fn what_is_given_of_other_memberships() {
        use MembershipState::{Ban, Invite, Join, Knock, Leave};
        let given_at =
            |membership_seq, to| GivenRoom { membership_seq, to, ..GivenRoom::default() };
        let cases = [
            ("an invitation", Invite, None, Some((None, true))),
            ("it was given", Invite, Some(given_at(5, 0)), None),
            ("another one", Knock, Some(given_at(4, 0)), Some((None, true))),
            ("taken up", Join, Some(given_at(4, 0)), Some((None, false))),
            ("left", Leave, Some(given_at(4, 9)), Some((Some(9), false))),
            ("which was told", Leave, Some(given_at(5, 9)), None),
            ("turned down", Leave, Some(given_at(4, 0)), Some((None, false))),
            ("banned, and never given", Ban, None, Some((None, false))),
        ];
        let state = required(&[]);
        for (name, membership, given, expected) in cases {
            let entry = entry(membership, 5, 10);
            let given = given.as_ref().map(|it| (it, &state));
            let found = step(&entry, &wanted(1, &[]), given, Besides::default());
            assert_eq!(found.map(|it| (it.from, it.is_stripped)), expected, "{name}");
        }
    }
}
