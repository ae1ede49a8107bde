//! Who may see which event ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility

use ruma::events::room::{history_visibility::HistoryVisibility, member::MembershipState};

/// What one user was in a room and how visible its history was, over the room's whole life.
/// A value at position `p` holds for events after `p`, and for the event at `p` itself.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The user's memberships, in order.
    pub memberships: Vec<(u64, MembershipState)>,
    /// History visibilities, in order.
    pub visibilities: Vec<(u64, HistoryVisibility)>,
}

/// How far a user may look into a room at all.
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

    /// How far the user may look into the room now.
    pub fn access(&self) -> Access {
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
            (_, _) if self.is_world_readable() => Access::Peeker,
            (true, Some(position)) => Access::Former(position),
            (false, _) => Access::None,
        }
    }

    /// Whether everybody may read events sent now.
    pub fn is_world_readable(&self) -> bool {
        last_at(&self.visibilities, u64::MAX) == Some(HistoryVisibility::WorldReadable)
    }

    /// Whether the user may see the event at `position`.
    ///
    /// A change of membership or visibility is seen by whom either side of it allows.
    pub fn may_see(&self, position: u64) -> bool {
        let before = position.saturating_sub(1);
        self.allows(before, position) || self.allows(position, position)
    }

    /// Whether the values that hold at `at` allow the event at `position`.
    fn allows(&self, at: u64, position: u64) -> bool {
        let membership = self.membership_at(at);
        let visibility = last_at(&self.visibilities, at).unwrap_or(HistoryVisibility::Shared);
        self.allows_in(&membership, &visibility, position)
    }

    /// Whether a state with this membership of the user and this visibility allows the event at
    /// `position`.
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

    /// Whether the user was joined at some time after the event at `position`.
    fn joined_after(&self, position: u64) -> bool {
        let joined_then = self.membership_at(position) == MembershipState::Join;
        joined_then
            || self
                .memberships
                .iter()
                .any(|(at, it)| *at > position && *it == MembershipState::Join)
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
        Timeline { memberships: memberships.to_vec(), visibilities: visibilities.to_vec() }
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
            assert_eq!(timeline.access(), Access::None);
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
            assert_eq!(timeline(&[(1, Shared)], &memberships).access(), access, "{name}");
        }
        assert_eq!(timeline(&[(1, WorldReadable)], &[]).access(), Access::Peeker);
    }
}
