//! Who may see which event ([spec]).
//!
//! A server sees what its users taken together may see: in a room it counts as joined while any of
//! its users is, else as invited while any of them is ([`ServerTimeline`]). By that membership the
//! rules for users hold for it, with one exception: nobody but a member's server reads a room that
//! everybody may read, because it is for users that such a room is open.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility

use std::sync::Arc;

use ruma::events::room::{history_visibility::HistoryVisibility, member::MembershipState};

/// What a requester was in a room and how visible its history was, over the room's whole life.
/// A value at position `p` holds for events after `p`, and for the event at `p` itself.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The memberships of the user, or of the server as a whole, in order.
    pub memberships: Vec<(u64, MembershipState)>,
    /// History visibilities, in order; the same for everybody in the room.
    pub visibilities: Arc<[(u64, HistoryVisibility)]>,
}

/// How far a requester may look into a room at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A joined member: up to now.
    Member,
    /// A former member: up to the position at which they left.
    Former(u64),
    /// Not a member, but everybody may read the room as it stands.
    Peeker,
    /// No access.
    None,
}

impl Timeline {
    /// The membership that holds after the event at `position`.
    pub fn membership_at(&self, position: u64) -> MembershipState {
        last_at(&self.memberships, position).unwrap_or(MembershipState::Leave)
    }

    /// The current membership.
    pub fn membership(&self) -> MembershipState {
        self.membership_at(u64::MAX)
    }

    /// How far a user with this timeline may look into the room now.
    pub fn access_of_user(&self) -> Access {
        match self.access_of_server() {
            Access::Member => Access::Member,
            _ if self.is_world_readable() => Access::Peeker,
            other => other,
        }
    }

    /// How far a server with this timeline may look into the room now: while one of its users is
    /// joined, and then up to where the last of them left.
    pub fn access_of_server(&self) -> Access {
        let mut joined = false;
        let mut left_at = None;
        for (position, membership) in &self.memberships {
            if *membership == MembershipState::Join {
                joined = true;
                left_at = None;
            } else if joined && left_at.is_none() {
                left_at = Some(*position);
            }
        }
        match (joined, left_at) {
            (true, None) => Access::Member,
            (true, Some(position)) => Access::Former(position),
            (false, _) => Access::None,
        }
    }

    /// Whether everybody may read events sent now.
    pub fn is_world_readable(&self) -> bool {
        last_at(&self.visibilities, u64::MAX) == Some(HistoryVisibility::WorldReadable)
    }

    /// Whether the requester may see the event at `position`, in a room without forks.
    ///
    /// A change of membership or visibility is seen by whom either side of it allows.
    pub fn may_see(&self, position: u64) -> bool {
        let before = position.saturating_sub(1);
        self.allows_at(before, position) || self.allows_at(position, position)
    }

    /// Whether the values that hold at `at` allow the event at `position`.
    pub fn allows_at(&self, at: u64, position: u64) -> bool {
        let membership = self.membership_at(at);
        let visibility = last_at(&self.visibilities, at).unwrap_or(HistoryVisibility::Shared);
        self.allows_in(&membership, &visibility, position)
    }

    /// Whether a state with this membership of the requester and this visibility allows the event
    /// at `position`.
    pub fn allows_in(
        &self,
        membership: &MembershipState,
        visibility: &HistoryVisibility,
        position: u64,
    ) -> bool {
        if *membership == MembershipState::Join {
            return true;
        }
        match visibility {
            HistoryVisibility::WorldReadable => true,
            HistoryVisibility::Joined => false,
            HistoryVisibility::Invited => {
                *membership == MembershipState::Invite && self.joined_after(position)
            }
            // Unknown values are `shared` by the specification.
            _ => self.joined_after(position),
        }
    }

    /// Whether the requester was joined at some time after the event at `position`.
    fn joined_after(&self, position: u64) -> bool {
        let joined_then = self.membership_at(position) == MembershipState::Join;
        joined_then
            || self
                .memberships
                .iter()
                .any(|(at, it)| *at > position && *it == MembershipState::Join)
    }
}

/// How many users of one server are in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Joined users.
    pub joined: u64,
    /// Invited users.
    pub invited: u64,
}

impl Present {
    /// The membership of the server as a whole.
    pub fn membership(self) -> MembershipState {
        match (self.joined, self.invited) {
            (0, 0) => MembershipState::Leave,
            (0, _) => MembershipState::Invite,
            _ => MembershipState::Join,
        }
    }
}

/// What the users of one server taken together were in a room, up to a position. What came
/// after it can be recorded without looking at the rest again.
#[derive(Clone, Debug, Default)]
pub struct ServerTimeline {
    /// The server's memberships, and the history's visibilities.
    pub timeline: Arc<Timeline>,
    /// How many of its users are in the room at the end of the timeline.
    pub present: Present,
    /// Where the timeline ends.
    pub upto: u64,
}

impl ServerTimeline {
    /// From this position on, so many of the server's users are in the room.
    pub fn record(&mut self, position: u64, present: Present) {
        let membership = present.membership();
        if membership != self.timeline.membership() {
            Arc::make_mut(&mut self.timeline).memberships.push((position, membership));
        }
        self.present = present;
        self.upto = self.upto.max(position);
    }
}

/// The last value at or before `position`.
fn last_at<T: Clone>(values: &[(u64, T)], position: u64) -> Option<T> {
    let index = values.partition_point(|(at, _)| *at <= position);
    values.get(index.checked_sub(1)?).map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use HistoryVisibility::{Invited, Joined, Shared, WorldReadable};
    use MembershipState::{Ban, Invite, Join, Leave};

    fn timeline(
        visibilities: &[(u64, HistoryVisibility)],
        memberships: &[(u64, MembershipState)],
    ) -> Timeline {
        Timeline { memberships: memberships.to_vec(), visibilities: visibilities.into() }
    }

    #[test]
    fn who_may_see_which_event() {
        let story = [(10, Invite), (20, Join), (30, Leave)];
        let cases = [
            ("joined: before the invite", Joined, 5, false),
            ("joined: while invited", Joined, 15, false),
            ("joined: the own join", Joined, 20, true),
            ("joined: while joined", Joined, 25, true),
            ("joined: the own leave", Joined, 30, true),
            ("joined: after the leave", Joined, 35, false),
            ("invited: before the invite", Invited, 5, false),
            ("invited: while invited", Invited, 15, true),
            ("invited: after the leave", Invited, 35, false),
            ("shared: before the invite", Shared, 5, true),
            ("shared: after the leave", Shared, 35, false),
            ("world readable: before the invite", WorldReadable, 5, true),
            ("world readable: after the leave", WorldReadable, 35, true),
        ];
        for (name, visibility, position, may) in cases {
            let timeline = timeline(&[(1, visibility)], &story);
            assert_eq!(timeline.may_see(position), may, "{name}");
        }
    }

    #[test]
    fn a_change_of_visibility_is_seen_by_either_side() {
        let story = timeline(&[(1, WorldReadable), (10, Joined), (20, WorldReadable)], &[]);
        let seen: Vec<_> = [9, 10, 11, 19, 20, 21].map(|it| story.may_see(it)).into();
        assert_eq!(seen, [true, true, false, false, true, true]);
    }

    #[test]
    fn an_invitation_alone_shows_no_history() {
        for visibility in [Joined, Invited, Shared] {
            let timeline = timeline(&[(1, visibility)], &[(10, Invite)]);
            assert_eq!(timeline.access_of_user(), Access::None);
            assert_eq!(timeline.access_of_server(), Access::None);
            assert!(!timeline.may_see(15));
        }
    }

    #[test]
    fn access_ends_with_the_last_stay() {
        let cases = [
            ("never there", vec![], Access::None),
            ("joined", vec![(5, Join)], Access::Member),
            ("left", vec![(5, Join), (9, Leave)], Access::Former(9)),
            ("kicked, then banned", vec![(5, Join), (9, Leave), (12, Ban)], Access::Former(9)),
            ("back again", vec![(5, Join), (9, Leave), (12, Join)], Access::Member),
            ("banned without having joined", vec![(5, Ban)], Access::None),
        ];
        for (name, memberships, access) in cases {
            let timeline = timeline(&[(1, Shared)], &memberships);
            assert_eq!(timeline.access_of_user(), access, "{name}");
            assert_eq!(timeline.access_of_server(), access, "{name}: a server");
        }
    }

    #[test]
    fn what_everybody_may_read_is_open_to_users_and_not_to_servers() {
        let cases = [
            ("never there", vec![], Access::Peeker, Access::None),
            ("invited", vec![(5, Invite)], Access::Peeker, Access::None),
            ("joined", vec![(5, Join)], Access::Member, Access::Member),
            ("left", vec![(5, Join), (9, Leave)], Access::Peeker, Access::Former(9)),
        ];
        for (name, memberships, user, server) in cases {
            let timeline = timeline(&[(1, WorldReadable)], &memberships);
            assert_eq!(timeline.access_of_user(), user, "{name}");
            assert_eq!(timeline.access_of_server(), server, "{name}: a server");
        }
    }

    /// The timeline of a server with so many joined and invited users at these positions.
    fn server(visibility: HistoryVisibility, counts: &[(u64, u64, u64)]) -> ServerTimeline {
        let visibilities = [(1, visibility)].into();
        let timeline = Arc::new(Timeline { visibilities, ..Timeline::default() });
        let mut server = ServerTimeline { timeline, ..ServerTimeline::default() };
        for &(position, joined, invited) in counts {
            server.record(position, Present { joined, invited });
        }
        server
    }

    #[test]
    fn a_server_is_what_its_users_are_together() {
        let cases = [
            ("nobody", vec![], vec![]),
            ("the first joins", vec![(5, 1, 0)], vec![(5, Join)]),
            ("another one joins", vec![(5, 1, 0), (7, 2, 0)], vec![(5, Join)]),
            (
                "one of two leaves",
                vec![(5, 2, 0), (7, 1, 0), (9, 0, 0)],
                vec![(5, Join), (9, Leave)],
            ),
            ("an invitation beside a member", vec![(5, 1, 0), (7, 1, 1)], vec![(5, Join)]),
            (
                "the member leaves, the invitation stays",
                vec![(5, 1, 1), (7, 0, 1), (9, 0, 0)],
                vec![(5, Join), (7, Invite), (9, Leave)],
            ),
            ("the invited user joins", vec![(5, 0, 1), (7, 1, 0)], vec![(5, Invite), (7, Join)]),
            ("somebody is banned without having been there", vec![(5, 0, 0)], vec![]),
        ];
        for (name, counts, memberships) in cases {
            let server = server(Shared, &counts);
            assert_eq!(server.timeline.memberships, memberships, "{name}");
            let last = counts.last().copied().unwrap_or_default();
            assert_eq!((server.upto, server.present.joined, server.present.invited), last);
        }
    }

    /// Ann is invited at 10 and joins at 20, Bob joins at 25; Ann leaves at 30, Bob at 40.
    #[test]
    fn which_event_a_server_may_see() {
        let story = [(10, 0, 1), (20, 1, 0), (25, 2, 0), (30, 1, 0), (40, 0, 0)];
        let cases = [
            ("joined: before anybody", Joined, 5, false),
            ("joined: while one is invited", Joined, 15, false),
            ("joined: the first join", Joined, 20, true),
            ("joined: when one of two has left", Joined, 35, true),
            ("joined: the last leave", Joined, 40, true),
            ("joined: after the last leave", Joined, 45, false),
            ("invited: before anybody", Invited, 5, false),
            ("invited: the invitation", Invited, 10, true),
            ("invited: while one is invited", Invited, 15, true),
            ("invited: when one of two has left", Invited, 35, true),
            ("invited: after the last leave", Invited, 45, false),
            ("shared: before anybody", Shared, 5, true),
            ("shared: when one of two has left", Shared, 35, true),
            ("shared: after the last leave", Shared, 45, false),
            ("world readable: before anybody", WorldReadable, 5, true),
            ("world readable: after the last leave", WorldReadable, 45, true),
        ];
        let access = Access::Former(40);
        for (name, visibility, position, may) in cases {
            let server = server(visibility, &story);
            assert_eq!(server.timeline.may_see(position), may, "{name}");
            assert_eq!(server.timeline.access_of_server(), access, "{name}");
        }
    }

    #[test]
    fn what_a_state_of_a_fork_shows_a_server() {
        let story = [(20, 1, 0), (40, 0, 0)];
        let cases = [
            ("joined: nobody in that state", Joined, Leave, 10, false),
            ("joined: one is invited in that state", Joined, Invite, 10, false),
            ("joined: one is joined in that state", Joined, Join, 45, true),
            ("invited: one is invited in that state", Invited, Invite, 10, true),
            ("invited: invited, and nobody joined later", Invited, Invite, 45, false),
            ("shared: before the join", Shared, Leave, 10, true),
            ("shared: after the leave", Shared, Leave, 45, false),
            ("world readable", WorldReadable, Leave, 45, true),
        ];
        for (name, visibility, membership, position, may) in cases {
            let server = server(Shared, &story);
            let allows = server.timeline.allows_in(&membership, &visibility, position);
            assert_eq!(allows, may, "{name}");
        }
    }
}
