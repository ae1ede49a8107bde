//! What a user's stream decides: which rooms have something new for a token, and how far each was
//! read. Plain data in, plain data out; the `User` object stores it.
//!
//! A stream has one position, `seq`, that grows with every change and every recorded read. Rooms
//! do not write a row per message into it: a room tells a member once that something waits, and
//! again only after the member has read it. Of each room the stream keeps
//!
//! - `known_position`: the highest position of the room it has heard of, and `known_seq`, when;
//! - *marks* `(seq, position)`: "whoever has seen the stream at `seq` has read the room up to
//!   `position`".
//!
//! **Invariant:** a client whose token covers `known_seq` has read the room up to
//! `known_position`. Hence what a token has seen of a room is the furthest of the marks it
//! covers, and the room has something new exactly when `known_position` lies beyond. Removing a
//! mark makes a client read again what it has; it never makes a gap.

use ruma::events::room::member::MembershipState;

use crate::sync_token::SyncToken;

#[cfg(test)]
mod tests;

/// Marks a room may have before they are thinned out.
pub const MAX_MARKS_PER_ROOM: usize = 36;

/// Marks that are left then.
const MARKS_KEPT: usize = 26;

/// The newest marks are kept whatever their age: several devices ask with recent tokens, and ask
/// again when an answer got lost.
const RECENT_MARKS_KEPT: usize = 12;

/// A room, as the stream of one user knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomEntry {
    /// The user's membership.
    pub membership: MembershipState,
    /// Where in the room it was set.
    pub membership_position: u64,
    /// When in the stream it became what it is.
    pub membership_seq: u64,
    /// The highest position of the room that the stream has heard of.
    pub known_position: u64,
    /// When it heard of it.
    pub known_seq: u64,
    /// The user left and wants to see nothing more of the room.
    pub forgotten: bool,
}

/// What a membership told by a room does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipPlan {
    /// The room afterwards.
    pub entry: RoomEntry,
    /// The user came (back) into the room: what was read before does not count.
    pub drops_marks: bool,
}

/// Takes a membership in; `seq` is the stream's next position. None: it is known already.
pub fn plan_membership(
    entry: Option<&RoomEntry>,
    membership: MembershipState,
    position: u64,
    seq: u64,
) -> Option<MembershipPlan> {
    let drops_marks = membership == MembershipState::Join
        && entry.is_none_or(|it| it.membership != MembershipState::Join);
    let Some(entry) = entry else {
        let entry = RoomEntry {
            membership,
            membership_position: position,
            membership_seq: seq,
            known_position: position,
            known_seq: seq,
            forgotten: false,
        };
        return Some(MembershipPlan { entry, drops_marks });
    };
    if position <= entry.membership_position {
        return None;
    }
    let mut entry = entry.clone();
    // A join over a join is a new profile: something to read, not a room to begin anew.
    let stays_joined =
        membership == MembershipState::Join && entry.membership == MembershipState::Join;
    if !stays_joined {
        entry.membership_seq = seq;
    }
    entry.membership = membership;
    entry.membership_position = position;
    entry.forgotten = false;
    if position > entry.known_position {
        entry.known_position = position;
        entry.known_seq = seq;
    }
    Some(MembershipPlan { entry, drops_marks })
}

/// Whether a room telling of activity says something new. Rooms the user is not joined to have
/// none: what was said until the user left comes with the membership.
pub fn is_news(entry: &RoomEntry, position: u64) -> bool {
    entry.membership == MembershipState::Join && position > entry.known_position
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask {
    /// Its token; none: it begins.
    pub since: Option<SyncToken>,
    /// All rooms that were left, when everything is asked for.
    pub include_leave: bool,
    /// All rooms, whether they have something new or not.
    pub full_state: bool,
}

/// What a client is to be told of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The user is joined.
    Joined {
        /// What was seen already; none: the room is new to the client.
        from: Option<u64>,
        /// Whether the room itself is to be read; else only its account data changed.
        has_events: bool,
    },
    /// The user left, or was removed; the room is to be read from there.
    Left {
        /// As above.
        from: Option<u64>,
    },
    /// The user is invited.
    Invited,
    /// The user asked to be let in.
    Knocked,
}

/// What a client is to be told of a room, if anything. `seen` is the furthest of the marks that
/// its token covers.
pub fn change(
    entry: &RoomEntry,
    seen: Option<u64>,
    has_account_data: bool,
    ask: &Ask,
) -> Option<Change> {
    let is_since = |seq: u64| ask.since.is_none_or(|it| seq > it.base);
    let is_new = is_since(entry.membership_seq);
    match entry.membership {
        MembershipState::Join => {
            let from = seen.filter(|_| !is_new);
            let has_events = ask.full_state || from.is_none_or(|seen| entry.known_position > seen);
            (has_events || has_account_data).then_some(Change::Joined { from, has_events })
        }
        _ if entry.forgotten => None,
        MembershipState::Invite => (is_new || ask.full_state).then_some(Change::Invited),
        MembershipState::Knock => (is_new || ask.full_state).then_some(Change::Knocked),
        _ => {
            let wanted = match ask.since {
                None => ask.include_leave,
                Some(_) => is_new || (ask.full_state && ask.include_leave),
            };
            wanted.then_some(Change::Left { from: seen })
        }
    }
}

/// One room a client has read.
#[derive(Clone, Copy, Debug)]
pub struct RoomRead {
    /// Up to here.
    pub to: u64,
    /// The furthest mark that `base` covers.
    pub seen_at_base: Option<u64>,
    /// [`RoomEntry::known_position`].
    pub known_position: u64,
}

/// What to do with one room that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadPlan {
    /// Write a mark.
    pub marks: bool,
    /// The read got further than the stream knew: other devices have something to read.
    pub raises: bool,
}

/// Takes a read of a room in.
pub fn plan_read(read: &RoomRead) -> ReadPlan {
    ReadPlan {
        marks: read.seen_at_base.is_none_or(|seen| read.to > seen),
        raises: read.to > read.known_position,
    }
}

/// Which marks of a room may go, of all its marks, oldest first.
///
/// Those that stay stand the farther apart the older they are, so that a token of any age finds
/// one that is not much older than itself. Of each class of age the oldest stays: it is the one
/// that grows into the next class.
pub fn thin_out(marks: &[u64], seq: u64) -> Vec<u64> {
    let recent = marks.len().saturating_sub(RECENT_MARKS_KEPT);
    let mut last_class = None;
    let (mut stay, mut dropped) = (Vec::new(), Vec::new());
    for (index, &mark) in marks.iter().enumerate() {
        let class = Some(seq.saturating_sub(mark).checked_ilog2());
        if index >= recent || class != last_class {
            stay.push(mark);
        } else {
            dropped.push(mark);
        }
        last_class = class;
    }
    let surplus = stay.len().saturating_sub(MARKS_KEPT);
    dropped.extend(stay.drain(..surplus));
    dropped
}
