//! What makes a status, and when it is told.

use ruma::{device_id, owned_user_id};

use super::*;

const TIMES: Times = Times { offline: 1_000, told_every: 100, refresh: 50_000, stale: 60_000 };
/// Long after the beginning of time.
const T: u64 = 1_000_000;

/// What happens, at which time.
#[derive(Clone, Debug)]
enum Step {
    /// A device sets the status.
    Set(&'static str, PresenceState),
    /// A device asks, and waits for so long.
    Asked(&'static str, PresenceState, u64),
    /// The user does something.
    Acted,
    /// The alarm comes while somebody waits of whom nothing is known.
    Stays,
    Nothing,
}

fn after(steps: &[(u64, Step)]) -> (Own, u64) {
    let (mut own, mut now_ms) = (Own::default(), T);
    for (at_ms, step) in steps {
        now_ms = T + at_ms;
        let now = (now_ms, TIMES);
        match step.clone() {
            Step::Set(device, presence) => own.set(device.into(), presence, None, now),
            Step::Asked(device, presence, wait_ms) => {
                own.asked(device.into(), presence, wait_ms, now);
            }
            Step::Acted => own.acted(now_ms, now_ms),
            Step::Stays => own.stays(now_ms, TIMES),
            Step::Nothing => {}
        }
    }
    (own, now_ms)
}

#[test]
fn what_devices_say_makes_the_status() {
    use PresenceState::{Offline, Online, Unavailable};
    use Step::{Asked, Nothing, Set};
    let cases = [
        ("nobody has asked", vec![(0, Nothing)], Offline),
        ("who asks is there", vec![(0, Asked("A", Online, 0))], Online),
        ("and waits", vec![(0, Asked("A", Online, 500)), (1_499, Nothing)], Online),
        ("and goes", vec![(0, Asked("A", Online, 500)), (1_500, Nothing)], Offline),
        ("who hides is not", vec![(0, Asked("A", Offline, 500))], Offline),
        (
            "who hides leaves others where they are",
            vec![(0, Asked("A", Online, 0)), (1, Asked("B", Offline, 0))],
            Online,
        ),
        ("who is idle says it", vec![(0, Asked("A", Unavailable, 0))], Unavailable),
        (
            "one that is idle does not count beside one that is not",
            vec![(0, Asked("A", Online, 0)), (1, Asked("B", Unavailable, 0))],
            Online,
        ),
        (
            "but when that has gone",
            vec![(0, Asked("A", Online, 0)), (1_000, Asked("B", Unavailable, 0))],
            Unavailable,
        ),
        (
            "one that is not idle counts beside one that is",
            vec![(0, Asked("A", Unavailable, 0)), (1, Asked("B", Online, 0))],
            Online,
        ),
        (
            "a device becomes idle",
            vec![(0, Asked("A", Online, 0)), (1, Asked("A", Unavailable, 0))],
            Unavailable,
        ),
        (
            "of two the one that stays longer counts",
            vec![(0, Asked("A", Online, 0)), (900, Asked("B", Online, 0)), (1_800, Nothing)],
            Online,
        ),
        (
            "what is set counts for all devices",
            vec![(0, Asked("A", Online, 0)), (1, Set("B", Unavailable))],
            Unavailable,
        ),
        (
            "nobody is there any more",
            vec![(0, Asked("A", Online, 9_000)), (1, Set("B", Offline))],
            Offline,
        ),
    ];
    check(cases);
}

#[test]
fn what_users_do_makes_the_status() {
    use PresenceState::{Offline, Online, Unavailable};
    use Step::{Acted, Asked, Nothing, Set, Stays};
    let idle = IDLE_MS;
    let cases = [
        (
            "who asks after that is",
            vec![(0, Set("A", Offline)), (1, Asked("A", Online, 0))],
            Online,
        ),
        (
            "who does nothing is idle",
            vec![(0, Asked("A", Online, 2 * idle)), (idle, Asked("A", Online, 0))],
            Unavailable,
        ),
        (
            "who did something is not",
            vec![(0, Asked("A", Online, 2 * idle)), (9, Acted), (idle, Asked("A", Online, 0))],
            Online,
        ),
        (
            "who sets it is not",
            vec![(0, Asked("A", Online, 2 * idle)), (idle, Set("A", Online))],
            Online,
        ),
        ("who is idle does something", vec![(0, Set("A", Unavailable)), (1, Acted)], Online),
        ("who is not there does something", vec![(0, Acted)], Offline),
        (
            "somebody waits still",
            vec![(0, Asked("A", Online, 0)), (1_500, Stays), (2_499, Nothing)],
            Online,
        ),
        ("nobody was there who could", vec![(0, Set("A", Offline)), (1, Stays)], Offline),
    ];
    check(cases);
}

/// What it is about, what happens when, and the status in the end.
type Case = (&'static str, Vec<(u64, Step)>, PresenceState);

fn check<const N: usize>(cases: [Case; N]) {
    for (name, steps, expected) in cases {
        let (own, now_ms) = after(&steps);
        assert_eq!(own.shown(now_ms), expected, "{name}");
    }
}

#[test]
fn a_status_is_told_when_it_changes_and_not_too_often() {
    let mut own = Own::default();
    assert!(!own.tell(T, TIMES), "nobody knew anything else");
    assert_eq!(own.due_ms(T, TIMES), None);
    own.asked(device_id!("A"), PresenceState::Online, 0, (T, TIMES));
    assert!(own.tell(T, TIMES));
    assert!(!own.tell(T + 1, TIMES), "once");
    assert_eq!(own.due_ms(T, TIMES), Some(T + 1_000), "when the device has gone");
    own.set(device_id!("A"), PresenceState::Offline, None, (T + 1, TIMES));
    assert!(!own.tell(T + 99, TIMES), "not yet");
    assert_eq!(own.due_ms(T + 99, TIMES), Some(T + 100));
    assert!(own.tell(T + 100, TIMES));
    assert_eq!(own.due_ms(T + 100, TIMES), None, "there is nothing to wait for");
}

#[test]
fn a_message_is_told_and_goes_with_its_user() {
    let mut own = Own::default();
    let now = (T, TIMES);
    own.set(device_id!("A"), PresenceState::Online, Some("here".to_owned()), now);
    assert!(own.tell(T, TIMES));
    let status = own.status(owned_user_id!("@ann:x.y"), T);
    assert_eq!(status.status_msg.as_deref(), Some("here"));
    own.set(device_id!("A"), PresenceState::Online, Some("there".to_owned()), now);
    assert!(own.tell(T + 100, TIMES), "another message");
    own.set(device_id!("A"), PresenceState::Offline, Some("gone".to_owned()), (T + 200, TIMES));
    assert_eq!(own.status(owned_user_id!("@ann:x.y"), T + 200).status_msg, None);
}

#[test]
fn who_stays_is_told_again_before_nobody_believes_it() {
    let mut own = Own::default();
    own.asked(device_id!("A"), PresenceState::Unavailable, 200_000, (T, TIMES));
    assert!(own.tell(T, TIMES));
    assert_eq!(own.due_ms(T, TIMES), Some(T + TIMES.refresh));
    assert!(!own.tell(T + TIMES.refresh - 1, TIMES));
    assert!(own.tell(T + TIMES.refresh, TIMES));
    let status = own.status(owned_user_id!("@ann:x.y"), T);
    assert!(status.is_believed(T + TIMES.stale - 1, TIMES));
    assert!(!status.is_believed(T + TIMES.stale, TIMES));
}

#[test]
fn others_are_told_how_long_ago_somebody_did_something() {
    let (mut own, _) = after(&[(0, Step::Set("A", PresenceState::Online))]);
    let status = own.status(owned_user_id!("@ann:x.y"), T + 300);
    let content = serde_json::to_value(status.content(T + 400)).unwrap();
    let expected = serde_json::json!({ "presence": "online", "currently_active": true,
        "last_active_ago": 400 });
    assert_eq!(content, expected);
    let update = serde_json::to_value(status.update(T + 400)).unwrap();
    assert_eq!(update["last_active_ago"], 400);
    assert_eq!(update["currently_active"], true);
    own.set(device_id!("A"), PresenceState::Unavailable, None, (T + 500, TIMES));
    let update = own.status(owned_user_id!("@ann:x.y"), T + 600).update(T + 600);
    assert_eq!((u64::from(update.last_active_ago), update.currently_active), (600, false));
}
