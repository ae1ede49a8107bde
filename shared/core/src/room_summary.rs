//! Who may know of a room they are not in ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy

use ruma::{RoomVersionId, events::room::member::MembershipState};

use crate::room_version;

/// What a room says of who may enter or read it.
#[derive(Clone, Copy, Debug)]
pub struct Openness<'a> {
    /// The join rule.
    pub join_rule: &'a str,
    /// Whether everybody may read the room.
    pub world_readable: bool,
    /// The room's version, where it is known.
    pub room_version: Option<&'a RoomVersionId>,
}

/// Whether somebody may know of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They may.
    Open,
    /// Where they are in one of the rooms that the join rule names.
    IfAdmitted,
    /// They may not.
    Closed,
}

impl Openness<'_> {
    /// Whether somebody of this membership may know of the room.
    pub fn access(self, membership: &MembershipState) -> Access {
        if self.world_readable {
            return Access::Open;
        }
        match membership {
            MembershipState::Join | MembershipState::Invite | MembershipState::Knock => {
                return Access::Open;
            }
            MembershipState::Ban => return Access::Closed,
            _ => {}
        }
        let rules = self.room_version.and_then(room_version::rules).map(|it| it.authorization);
        // What a version does not know lets in nobody.
        let knows = |flag: fn(&ruma::room_version_rules::AuthorizationRules) -> bool| {
            rules.as_ref().is_none_or(flag)
        };
        match self.join_rule {
            "public" => Access::Open,
            "knock" if knows(|it| it.knocking) => Access::Open,
            "knock_restricted" if knows(|it| it.knock_restricted_join_rule) => Access::Open,
            "restricted" if knows(|it| it.restricted_join_rule) => Access::IfAdmitted,
            _ => Access::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MembershipState::{Ban, Invite, Join, Knock, Leave};

    #[test]
    fn who_may_know_of_a_room() {
        let (v6, v7, v8, v11) =
            (RoomVersionId::V6, RoomVersionId::V7, RoomVersionId::V8, RoomVersionId::V11);
        let cases = [
            ("invite", false, &v11, Leave, Access::Closed),
            ("invite", false, &v11, Join, Access::Open),
            ("invite", false, &v11, Invite, Access::Open),
            ("invite", false, &v11, Knock, Access::Open),
            ("invite", true, &v11, Leave, Access::Open),
            ("invite", true, &v11, Ban, Access::Open),
            ("public", false, &v11, Leave, Access::Open),
            ("public", false, &v11, Ban, Access::Closed),
            ("knock", false, &v11, Leave, Access::Open),
            ("knock", false, &v7, Leave, Access::Open),
            ("knock", false, &v6, Leave, Access::Closed),
            ("restricted", false, &v11, Leave, Access::IfAdmitted),
            ("restricted", false, &v11, Ban, Access::Closed),
            ("restricted", false, &v7, Leave, Access::Closed),
            ("knock_restricted", false, &v11, Leave, Access::Open),
            ("knock_restricted", false, &v8, Leave, Access::Closed),
            ("private", false, &v11, Leave, Access::Closed),
            ("org.example.any", false, &v11, Leave, Access::Closed),
        ];
        for (join_rule, world_readable, version, membership, expected) in cases {
            let openness = Openness { join_rule, world_readable, room_version: Some(version) };
            assert_eq!(openness.access(&membership), expected, "{openness:?} {membership}");
        }
        let unknown = Openness { join_rule: "knock", world_readable: false, room_version: None };
        assert_eq!(unknown.access(&Leave), Access::Open);
    }
}
