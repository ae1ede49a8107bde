//! Dummy events: where the forward extremities of a room stay many because nobody there says
//! anything, a server joins them by an event that no client is shown. Synapse has both its type
//! and that no client sees it.
//!
//! Every server in the room may think of that at the same time, and each such event is one more
//! extremity for all others. So each waits for a time that it draws, and where another one was
//! first, the room has few extremities by then.

use std::{cmp::Reverse, collections::BTreeSet};

use ruma::{
    OwnedUserId, UserId,
    events::{MessageLikeEventType, room::power_levels::RoomPowerLevels},
};

use crate::{gather::Gather as _, pdu::MAX_PREV_EVENTS};

/// The type of these events.
pub const EVENT_TYPE: &str = "org.matrix.dummy_event";

/// Forward extremities that are not too many: those that the next event joins.
pub const FEW_EXTREMITIES: usize = MAX_PREV_EVENTS;

/// How long there are more before this server does something about it, in milliseconds, at least.
pub const PATIENCE_MS: u64 = 10 * 60 * 1_000;

/// Within how long after that, in milliseconds.
pub const SPREAD_MS: u64 = 10 * 60 * 1_000;

/// Dummy events in one go, at most.
pub const AT_ONCE: usize = 5;

/// When the next ones follow where there are still too many extremities, in milliseconds.
pub const PAUSE_MS: u64 = 60 * 1_000;

/// When it is looked again whether somebody may send one, in milliseconds.
pub const NOBODY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Users of this server in whose name it is tried, at most.
pub const MAX_SENDERS: usize = 5;

/// Whether clients are shown no such event, whoever sent it.
pub fn is_hidden(event_type: &str) -> bool {
    event_type == EVENT_TYPE
}

/// What a commit does to the watch over the forward extremities of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Nothing.
    Unchanged,
    /// There are too many from now on: something is to be done at a time that [`first_ms`] draws.
    Begins,
    /// There are few again.
    Ends,
}

/// What becomes of the watch with so many extremities. `is_set`: it had begun.
pub fn watch(extremities: usize, is_set: bool) -> Watch {
    match (extremities > FEW_EXTREMITIES, is_set) {
        (true, false) => Watch::Begins,
        (false, true) => Watch::Ends,
        (true, true) | (false, false) => Watch::Unchanged,
    }
}

/// When the first dummy event is due after the watch has begun, in milliseconds.
pub fn first_ms(now_ms: u64, random: u64) -> u64 {
    now_ms + PATIENCE_MS + random % SPREAD_MS
}

/// The users of this server that the power levels name and that may send a dummy event, the most
/// powerful first, and whether those may that are not named.
pub fn senders(
    power: &RoomPowerLevels,
    is_local: impl Fn(&UserId) -> bool,
) -> (Vec<OwnedUserId>, bool) {
    let event_type = || MessageLikeEventType::from(EVENT_TYPE);
    let creators = power.rules.privileged_creators.iter().flatten();
    let named: BTreeSet<&OwnedUserId> = creators.chain(power.users.keys()).gather();
    let may_send =
        |it: &&OwnedUserId| is_local(it) && power.user_can_send_message(it, event_type());
    let mut named: Vec<_> = named.into_iter().filter(may_send).cloned().collect();
    named.sort_by_key(|it| Reverse(power.for_user(it)));
    (named, power.users_default >= power.for_message(event_type()))
}

#[cfg(test)]
mod tests {
    use ruma::{
        events::room::power_levels::RoomPowerLevelsEventContent,
        room_version_rules::RoomVersionRules,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_commit_does_to_the_watch() {
        let cases = [
            ("a room without forks", 1, false, Watch::Unchanged),
            ("as many as an event joins", 10, false, Watch::Unchanged),
            ("one more", 11, false, Watch::Begins),
            ("still too many", 1_000, true, Watch::Unchanged),
            ("few again", 10, true, Watch::Ends),
            ("one again", 1, true, Watch::Ends),
        ];
        for (name, extremities, is_set, expected) in cases {
            assert_eq!(watch(extremities, is_set), expected, "{name}");
        }
    }

    #[test]
    fn servers_draw_different_times() {
        for random in [0, 1, SPREAD_MS - 1, SPREAD_MS, u64::MAX] {
            let at_ms = first_ms(1_000, random);
            assert!(at_ms >= 1_000 + PATIENCE_MS, "{random}");
            assert!(at_ms < 1_000 + PATIENCE_MS + SPREAD_MS, "{random}");
        }
        assert_ne!(first_ms(0, 1), first_ms(0, 2));
    }

    #[test]
    fn who_may_send_one() {
        let all = json!({ "@low:here": -1, "@mod:here": 50, "@high:there": 100, "@top:here": 100 });
        let cases = [
            ("everybody but who is named for less", json!({}), &["@top", "@mod"][..], true),
            ("who may speak", json!({ "events_default": 50 }), &["@top", "@mod"], false),
            ("of this type", json!({ "events": { EVENT_TYPE: 75 } }), &["@top"], false),
            ("nobody here", json!({ "events": { EVENT_TYPE: 101 } }), &[], false),
            (
                "a room where the powerless speak",
                json!({ "users_default": 10, "events_default": 10 }),
                &["@top", "@mod"],
                true,
            ),
        ];
        for (name, mut content, expected, is_open) in cases {
            content["users"] = all.clone();
            let content: RoomPowerLevelsEventContent = serde_json::from_value(content).unwrap();
            let rules = RoomVersionRules::V11.authorization;
            let power = RoomPowerLevels::new(content.into(), &rules, []);
            let (named, open) = senders(&power, |it| it.server_name().as_str() == "here");
            let expected: Vec<_> = expected.iter().map(|it| format!("{it}:here")).collect();
            assert_eq!((named, open), (users(&expected), is_open), "{name}");
        }
    }

    #[test]
    fn creators_may_whatever_the_power_levels_say() {
        let rules = RoomVersionRules::V12.authorization;
        let content = json!({ "events_default": 100, "users": { "@mod:here": 100 } });
        let content: RoomPowerLevelsEventContent = serde_json::from_value(content).unwrap();
        let creators = users(&["@creator:here".to_owned(), "@other:there".to_owned()]);
        let power = RoomPowerLevels::new(content.into(), &rules, creators);
        let (named, open) = senders(&power, |it| it.server_name().as_str() == "here");
        assert_eq!(named, users(&["@creator:here".to_owned(), "@mod:here".to_owned()]));
        assert!(!open);
    }

    fn users(names: &[String]) -> Vec<OwnedUserId> {
        names.iter().map(|it| UserId::parse(it).unwrap()).collect()
    }
}
