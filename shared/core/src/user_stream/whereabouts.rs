//! Where a room was when a token was made: what a client means that asks for history or members as
//! of a token.
//!
//! Of a room that the client was given with the token, or had read to its end, the marks say how
//! far: what comes after is what the next sync brings. Of any other room they do not. It was
//! filtered out, or is still to be given; the user has left it, or has been away; or they have
//! never been in it. Then the room itself has to be asked where it was at that time. What the
//! stream knows of it is less or as much.

use ruma::events::room::member::MembershipState;
use serde::{Deserialize, Serialize};

use super::{Marks, RoomEntry};
use crate::sync_token::SyncToken;

/// What a user's stream knows of where a room was when a token was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// It had got so far, or further.
    pub at_least: u64,
    /// So far and no further has the client been given it.
    pub is_exact: bool,
}

/// Finds where a room was, as far as the stream knows it.
pub fn whereabouts(entry: Option<&RoomEntry>, marks: &Marks, token: SyncToken) -> Whereabouts {
    let Some(entry) = entry else { return Whereabouts::default() };
    let read = token.seen_of(entry.membership_seq).and_then(|seen| marks.seen_by(seen));
    let is_joined = entry.membership == MembershipState::Join;
    // The membership is that of the time of the token, or a later one.
    let is_of_then = entry.membership_seq <= token.base;
    let known = match is_of_then {
        true if is_joined && entry.known_seq <= token.base => entry.known_position,
        true => entry.membership_position,
        false => 0,
    };
    let is_to_be_given = token.rest.is_some_and(|it| entry.membership_seq < it.before);
    let is_partial = token.made.is_some_and(|it| it.is_partial);
    let has_ended = is_of_then && !is_joined;
    Whereabouts {
        at_least: read.unwrap_or(0).max(known),
        is_exact: read.is_some() && !is_to_be_given && !is_partial && !has_ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_token::{Made, Rest};
    use MembershipState::{Invite, Join, Leave};

    /// Membership, where it was set, and when in the stream; what is known, and since when.
    type Known = (MembershipState, u64, u64, u64, u64);

    fn entry((membership, membership_position, membership_seq, position, seq): Known) -> RoomEntry {
        RoomEntry {
            membership,
            membership_position,
            membership_seq,
            known_position: position,
            known_seq: seq,
            read_position: None,
            forgotten: false,
        }
    }

    fn marks(marks: &[(u64, u64)]) -> Marks {
        serde_json::from_value(serde_json::json!(marks)).unwrap()
    }

    #[test]
    fn where_a_room_was() {
        let made = |us, is_partial| Made { us, is_partial };
        let whole = |base| SyncToken::at(base).with_made(made(1, false));
        let partial = |base| SyncToken::at(base).with_made(made(1, true));
        let paged = |base, before| whole(base).with_rest(Some(Rest { before, seen: None }));
        let read: &[_] = &[(4, 20), (8, 30)];
        let joined = || (Join, 10, 3, 30, 7);
        let cases = [
            ("read with the token", joined(), read, whole(8), (30, true)),
            ("read before, nothing came", joined(), read, whole(9), (30, true)),
            ("read before, something came later", joined(), read, whole(5), (20, true)),
            ("filtered out", (Join, 10, 3, 40, 9), read, partial(9), (40, false)),
            ("filtered out, and read later", (Join, 10, 3, 40, 9), read, partial(5), (20, false)),
            ("never read", (Join, 10, 3, 10, 3), &[], whole(5), (10, false)),
            ("still to be given", joined(), read, paged(9, 5), (30, false)),
            ("given with an earlier page", joined(), read, paged(9, 3), (30, true)),
            ("joined later", joined(), read, whole(2), (0, false)),
            ("left before, nothing shown", (Leave, 50, 9, 50, 9), read, whole(9), (50, false)),
            ("left before, and shown", (Leave, 50, 9, 50, 9), &[(10, 50)], whole(10), (50, false)),
            ("left later", (Leave, 50, 9, 50, 9), read, whole(8), (30, true)),
            ("invited", (Invite, 50, 9, 50, 9), &[], whole(9), (50, false)),
            ("invited later", (Invite, 50, 9, 50, 9), &[], whole(8), (0, false)),
        ];
        for (name, known, read, token, (at_least, is_exact)) in cases {
            let found = whereabouts(Some(&entry(known)), &marks(read), token);
            assert_eq!(found, Whereabouts { at_least, is_exact }, "{name}");
        }
        let never = whereabouts(None, &Marks::default(), whole(9));
        assert_eq!(never, Whereabouts::default(), "never there");
    }
}
