//! Changes of memberships: what whoever asks for one may be answered before the event is made.
//!
//! The authorization rules alone would take some actions for others: a kick of a banned user would
//! lift the ban. What is said instead depends on the target's membership, so it is said only to
//! whom the membership is no secret: first who asks is looked at, then what they may do, and only
//! then the target.

use ruma::events::room::member::MembershipState;
use serde::{Deserialize, Serialize};

/// What a user wants done to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Join (own membership).
    Join,
    /// Leave, or reject an invitation, or retract a knock (own membership).
    Leave,
    /// Invite the target.
    Invite,
    /// Remove the target.
    Kick,
    /// Ban the target.
    Ban,
    /// Lift the ban of the target.
    Unban,
    /// Knock (own membership).
    Knock,
}

/// Who asks for a change.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Their membership.
    pub membership: MembershipState,
    /// Whether the membership that is to change is their own.
    pub is_target: bool,
    /// Whether the power levels let them do this to the target.
    pub has_power: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Make the event, which the authorization rules may yet refuse.
    Authorize,
    /// Nothing: the membership is what it would become.
    Done,
    /// Refuse.
    Refuse(Refusal),
}

/// Why a change is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The asker is not in the room, and is answered as if there were none.
    Outside,
    /// The asker lacks the power.
    Power,
    /// The target is not in the room.
    TargetAbsent,
    /// The target is not banned.
    TargetNotBanned,
    /// The target is in the room already.
    TargetJoined,
}

/// What is to be done about the change of a membership.
pub fn answer(action: Action, asker: &Asker, target: &MembershipState) -> Answer {
    use MembershipState as Is;
    let is_present = matches!(target, Is::Join | Is::Invite | Is::Knock);
    let action = match action {
        // Whoever removes themselves leaves.
        Action::Kick if asker.is_target => Action::Leave,
        other => other,
    };
    match action {
        Action::Join if *target == Is::Join => return Answer::Done,
        Action::Leave if !is_present => return Answer::Refuse(Refusal::Outside),
        Action::Join | Action::Leave | Action::Knock => return Answer::Authorize,
        Action::Invite | Action::Kick | Action::Ban | Action::Unban => {}
    }
    if asker.membership != Is::Join {
        return Answer::Refuse(Refusal::Outside);
    }
    let instead = match action {
        Action::Ban if *target == Is::Ban => Answer::Done,
        Action::Kick if !is_present => Answer::Refuse(Refusal::TargetAbsent),
        Action::Unban if *target != Is::Ban => Answer::Refuse(Refusal::TargetNotBanned),
        Action::Invite if *target == Is::Join => Answer::Refuse(Refusal::TargetJoined),
        _ => return Answer::Authorize,
    };
    if asker.has_power { instead } else { Answer::Refuse(Refusal::Power) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: [MembershipState; 5] = [
        MembershipState::Leave,
        MembershipState::Invite,
        MembershipState::Join,
        MembershipState::Knock,
        MembershipState::Ban,
    ];

    const ON_OTHERS: [Action; 4] = [Action::Invite, Action::Kick, Action::Ban, Action::Unban];

    fn asker(membership: MembershipState, has_power: bool) -> Asker {
        Asker { membership, is_target: false, has_power }
    }

    /// Of each action: the answers for a target that is out, invited, joined, knocking, banned.
    #[test]
    fn who_is_answered_what() {
        let (yes, done) = (Answer::Authorize, Answer::Done);
        let [power, absent, not_banned, joined] = [
            Refusal::Power,
            Refusal::TargetAbsent,
            Refusal::TargetNotBanned,
            Refusal::TargetJoined,
        ]
        .map(Answer::Refuse);
        let cases = [
            (Action::Invite, true, [yes, yes, joined, yes, yes]),
            (Action::Invite, false, [yes, yes, power, yes, yes]),
            (Action::Kick, true, [absent, yes, yes, yes, absent]),
            (Action::Kick, false, [power, yes, yes, yes, power]),
            (Action::Ban, true, [yes, yes, yes, yes, done]),
            (Action::Ban, false, [yes, yes, yes, yes, power]),
            (Action::Unban, true, [not_banned, not_banned, not_banned, not_banned, yes]),
            (Action::Unban, false, [power, power, power, power, yes]),
        ];
        for (action, has_power, expected) in cases {
            let member = asker(MembershipState::Join, has_power);
            let found = TARGETS.map(|target| answer(action, &member, &target));
            assert_eq!(found, expected, "{action:?} with power: {has_power}");
        }
    }

    #[test]
    fn who_is_not_in_the_room_learns_nothing_of_anybody() {
        for action in ON_OTHERS {
            for membership in TARGETS.into_iter().filter(|it| *it != MembershipState::Join) {
                for has_power in [false, true] {
                    let outsider = asker(membership.clone(), has_power);
                    for target in TARGETS {
                        let found = answer(action, &outsider, &target);
                        let expected = Answer::Refuse(Refusal::Outside);
                        assert_eq!(found, expected, "{action:?} by {outsider:?} of {target}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_one_does_oneself() {
        let outside = Answer::Refuse(Refusal::Outside);
        let yes = Answer::Authorize;
        let cases = [
            (Action::Join, [yes, yes, Answer::Done, yes, yes]),
            (Action::Leave, [outside, yes, yes, yes, outside]),
            (Action::Kick, [outside, yes, yes, yes, outside]),
            (Action::Knock, [yes, yes, yes, yes, yes]),
        ];
        for (action, expected) in cases {
            let found = TARGETS.map(|own| {
                let asker = Asker { is_target: true, ..asker(own.clone(), false) };
                answer(action, &asker, &own)
            });
            assert_eq!(found, expected, "{action:?}");
        }
    }
}
