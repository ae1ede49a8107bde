//! What a user's stream decides: which rooms have something new for a token, and how far each was
//! read. Plain data in, plain data out; the `User` object stores it.
//!
//! A stream has one position, `seq`, that grows with every change and every recorded read. Rooms
//! do not write a row per message into it: a room delivers to a member once that something waits,
//! and again only after the member has read it ([`crate::delivery`]). Of each room the stream keeps
//!
//! - `known_position`: the highest position of the room it has heard of, and `known_seq`, when;
//! - *marks* `(seq, position)`: "whoever has seen the stream at `seq` has read the room up to
//!   `position`" ([`Marks`]).
//!
//! How far a token has read a room is the furthest of the marks it covers, and the room has
//! something new exactly when `known_position` lies beyond.
//!
//! **Invariant:** a client whose token covers the last change of a room (a recorded read is one)
//! has read the room up to `known_position`, or no client has: then the room is *unread*, and new
//! to every token. Removing a mark makes a client read again what it has; it never makes a gap.
//!
//! A delivery to an unread room is dropped and writes nothing: no client waits that would have to
//! be woken. How far it went must not be forgotten, though. A client may have read the room before
//! that event and record this read after the delivery; the room would count as read, and nobody
//! would hear of the event. So memory keeps how far the dropped deliveries went ([`HeardRooms`]),
//! and the next read that is recorded takes it in. A read that began with another memory, before
//! the object was built anew, records nothing for its rooms: its client is given the same events
//! again.

use ruma::events::room::member::MembershipState;

use crate::sync_token::{Seen, SyncToken};

mod changed_rooms;
mod heard;
mod marks;
mod page;
mod whereabouts;

pub use self::{
    changed_rooms::{ChangedRooms, MAX_RECENT_ROOMS, MAX_UNREAD_ROOMS},
    heard::{Heard, HeardRooms, Instance, MAX_HEARD_ROOMS},
    marks::{MAX_MARKS_PER_ROOM, Marks},
    page::{Candidate, Page},
    whereabouts::{Whereabouts, whereabouts},
};

#[cfg(test)]
mod tests;

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
    /// [`Marks::furthest`]: how far any client has read since the user joined.
    pub read_position: Option<u64>,
    /// The user left and wants to see nothing more of the room. Clients that have not heard of the
    /// leaving still must.
    pub forgotten: bool,
}

impl RoomEntry {
    /// Whether no client has read what the stream knows of: the room is new to every token.
    pub fn is_unread(&self) -> bool {
        self.membership == MembershipState::Join
            && self.read_position.is_none_or(|read| self.known_position > read)
    }
}

/// What a membership that a room delivers does.
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
            read_position: None,
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
    if drops_marks {
        entry.read_position = None;
    }
    if position > entry.known_position {
        entry.known_position = position;
        entry.known_seq = seq;
    }
    Some(MembershipPlan { entry, drops_marks })
}

/// Takes a membership in that no room delivers, because the room is not here: another server has
/// sent it, or the user has turned it down. `seq` is the stream's next position. The room, once it
/// is here, has the say: whatever it delivers stands behind. None: it ends what is not there, or
/// the user is joined.
pub fn plan_remote_membership(
    entry: Option<&RoomEntry>,
    membership: MembershipState,
    seq: u64,
) -> Option<MembershipPlan> {
    use MembershipState as Is;
    let before = entry.map_or(Is::Leave, |it| it.membership.clone());
    let is_pending = matches!(before, Is::Invite | Is::Knock);
    let may_be = match membership {
        Is::Invite | Is::Knock => before != Is::Join,
        Is::Leave | Is::Ban => is_pending,
        _ => false,
    };
    if !may_be {
        return None;
    }
    let entry = match entry {
        Some(entry) => {
            let entry = entry.clone();
            RoomEntry { membership, membership_seq: seq, forgotten: false, ..entry }
        }
        None => RoomEntry {
            membership,
            membership_position: 0,
            membership_seq: seq,
            known_position: 0,
            known_seq: seq,
            read_position: None,
            forgotten: false,
        },
    };
    Some(MembershipPlan { entry, drops_marks: false })
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

/// What a client is given of a room.
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

impl Ask {
    /// How far a room has been read by who asks. None: the room is new to them.
    pub fn read_position(&self, entry: &RoomEntry, marks: &Marks) -> Option<u64> {
        marks.seen_by(self.since?.seen_of(entry.membership_seq)?)
    }
}

/// What a client is given of a room, if anything. `read` is [`Ask::read_position`].
pub fn change(
    entry: &RoomEntry,
    read: Option<u64>,
    has_account_data: bool,
    ask: &Ask,
) -> Option<Change> {
    let is_new = match ask.since.map(|it| it.seen_of(entry.membership_seq)) {
        None => true,
        Some(Some(seen)) => entry.membership_seq > seen.base,
        Some(None) => is_paged(&entry.membership, ask),
    };
    match entry.membership {
        MembershipState::Join => {
            let from = read.filter(|_| !is_new);
            let has_events = ask.full_state || from.is_none_or(|read| entry.known_position > read);
            (has_events || has_account_data).then_some(Change::Joined { from, has_events })
        }
        MembershipState::Invite => (is_new || ask.full_state).then_some(Change::Invited),
        MembershipState::Knock => (is_new || ask.full_state).then_some(Change::Knocked),
        _ => {
            // A client that has got nothing of the room yet is given it among all that were left.
            let has_begun = ask.since.is_some_and(|it| it.seen_of(entry.membership_seq).is_some());
            let among_all = ask.include_leave && !entry.forgotten;
            let wanted = match ask.since {
                None => among_all,
                Some(_) if is_new => has_begun || !entry.forgotten,
                Some(_) => ask.full_state && among_all,
            };
            // While a client catches up it may have been behind with a room that was left since.
            let is_sure = ask.since.is_none_or(|it| it.rest.is_none());
            wanted.then_some(Change::Left { from: read.filter(|_| is_sure) })
        }
    }
}

/// Whether a client that begins is given such rooms by the page; the others all come with the
/// first.
fn is_paged(membership: &MembershipState, ask: &Ask) -> bool {
    match membership {
        MembershipState::Join => true,
        MembershipState::Invite | MembershipState::Knock => false,
        _ => ask.include_leave,
    }
}

/// One room a client has read.
#[derive(Clone, Copy, Debug)]
pub struct RoomRead {
    /// Up to here.
    pub to: u64,
    /// The position of the stream that `Changes` gave before the room was read.
    pub base: u64,
    /// [`HeardRooms::dropped`].
    pub dropped: Option<u64>,
    /// Whether `Changes` was answered by the [`Instance`] that `dropped` comes from. If not, a
    /// delivery may have been dropped in between that nobody remembers.
    pub is_same_instance: bool,
}

/// What a read does to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    /// The room afterwards. When that is committed, [`HeardRooms::recorded`].
    pub entry: RoomEntry,
    /// Its marks afterwards.
    pub marks: Marks,
    /// `known_position` grew: the read got further than the stream knew, or something waits that
    /// was dropped. Clients have something to read and are to be woken.
    pub raises: bool,
}

/// Takes a read of a room in; `seq` is the stream's next position, one for all rooms of a read.
/// None: nothing is to be written.
pub fn plan_read(entry: &RoomEntry, marks: &Marks, read: &RoomRead, seq: u64) -> Option<ReadPlan> {
    // Of a room that the user has left there is nothing to read beyond; whoever has read more has
    // seen that they came back, which the stream does not know yet and which begins the room anew.
    let most = match entry.membership {
        MembershipState::Join => u64::MAX,
        _ => entry.membership_position,
    };
    let to = read.to.min(most);
    let seen = marks.seen_by(Seen { base: read.base, own: None });
    if !read.is_same_instance || seen.is_some_and(|seen| to <= seen) {
        return None;
    }
    let (mut entry, mut marks) = (entry.clone(), marks.clone());
    marks.record(seq, to);
    entry.read_position = marks.furthest();
    let heard = read.dropped.map_or(to, |dropped| dropped.max(to)).min(most);
    let raises = heard > entry.known_position;
    if raises {
        entry.known_position = heard;
        entry.known_seq = seq;
    }
    Some(ReadPlan { entry, marks, raises })
}
