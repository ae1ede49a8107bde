//! Members hear of what concerns them, whoever else cannot be reached and whatever crashes.

use std::{sync::Arc, time::Duration};

use ruma::{OwnedUserId, UserId, owned_device_id, owned_user_id};
use serde_json::Value as JsonValue;
use skerry::{
    messages::{Caller, room::MembershipAction},
    objects::{Object as _, room::limits::OVERDUE_MEMBERSHIPS},
};
use skerry_core::delivery::RETRY_MAX_MS;
use tokio::time::timeout;

use super::stand::{alice, bob, membership, message};
use crate::{
    own_room::whole_room,
    room::{Stand, ask},
};

fn carol() -> Caller {
    Caller { user_id: owned_user_id!("@carol:localhost"), device_id: owned_device_id!("C") }
}

/// A member reads the room to its end: they are to hear of the next event.
async fn reads(stand: &Stand, caller: Caller) {
    stand.ask(whole_room(caller)).await.unwrap();
}

/// Alice's room, with bob and carol in it.
async fn of_three() -> Stand {
    let stand = Stand::created(|_| {}).await;
    for caller in [bob(), carol()] {
        stand.change(caller, MembershipAction::Join).await.unwrap();
    }
    stand.run_deferred().await;
    stand.users.asked();
    stand
}

/// What of a kind somebody was told since the last look.
fn told(asked: &[(String, JsonValue)], who: &Caller, kind: &str) -> Vec<JsonValue> {
    let of_them = asked.iter().filter(|(name, _)| *name == who.user_id);
    of_them.filter_map(|(_, question)| question.get(kind).cloned()).collect()
}

/// The alarm goes off, and does not fail: no other object's failure is its own. Gives how long it
/// was waited for.
async fn alarm_succeeds(stand: &Stand) -> u64 {
    let waited_ms = stand.host.pass_until_alarm();
    assert!(waited_ms.is_some(), "an alarm, as long as somebody is not told");
    stand.host.alarm_goes_off();
    stand.room.alarm().await.unwrap();
    stand.host.alarm_is_over();
    stand.run_deferred().await;
    waited_ms.unwrap()
}

/// C2: the first of two invited users cannot be reached, for longer than a platform repeats an
/// alarm. The second one hears of their invitation at once, and the first one as soon as they can
/// be reached.
#[tokio::test]
async fn c2_a_user_who_cannot_be_reached_holds_up_no_other_membership() {
    let mut stand = Stand::created(|_| {}).await;
    for caller in [bob(), carol()] {
        stand.users.fail(caller.user_id.as_str());
        let invite = membership(alice(), caller.user_id, MembershipAction::Invite);
        stand.ask(invite).await.unwrap();
    }
    stand.crash();
    stand.users.mend();
    stand.users.fail(bob().user_id.as_str());
    stand.users.asked();
    alarm_succeeds(&stand).await;
    let asked = stand.users.asked();
    assert_eq!(told(&asked, &bob(), "membership").len(), 1, "{asked:?}");
    assert_eq!(told(&asked, &carol(), "membership").len(), 1, "{asked:?}");
    for attempt in 0..30 {
        let waited_ms = alarm_succeeds(&stand).await;
        assert!(waited_ms <= RETRY_MAX_MS, "attempt {attempt}: {waited_ms}");
        let asked = stand.users.asked();
        assert_eq!(told(&asked, &bob(), "membership").len(), 1, "attempt {attempt}");
        assert_eq!(told(&asked, &carol(), "membership").len(), 0, "attempt {attempt}");
    }
    stand.users.mend();
    alarm_succeeds(&stand).await;
    let asked = stand.users.asked();
    assert_eq!(told(&asked, &bob(), "membership").len(), 1);
    while stand.host.alarm_is_set_for_ms().is_some() {
        alarm_succeeds(&stand).await;
    }
    assert_eq!(stand.users.asked(), [], "nobody is told again");
}

/// C2: as before, of what waits to be read in a room.
#[tokio::test]
async fn c2_a_user_who_cannot_be_reached_holds_up_no_other_delivery() {
    let stand = of_three().await;
    for caller in [bob(), carol()] {
        reads(&stand, caller).await;
    }
    stand.users.fail(bob().user_id.as_str());
    stand.say("hello").await.unwrap();
    stand.run_deferred().await;
    let asked = stand.users.asked();
    let first = told(&asked, &bob(), "room_activity");
    assert_eq!(told(&asked, &carol(), "room_activity"), first);
    assert_eq!(first.len(), 1);
    for attempt in 0..30 {
        alarm_succeeds(&stand).await;
        let asked = stand.users.asked();
        // An alarm of something else may come before the next attempt.
        assert!(told(&asked, &bob(), "room_activity").len() <= 1, "attempt {attempt}");
        assert_eq!(told(&asked, &carol(), "room_activity").len(), 0, "attempt {attempt}");
    }
    stand.users.mend();
    let mut heard = Vec::new();
    while stand.host.alarm_is_set_for_ms().is_some() {
        alarm_succeeds(&stand).await;
        heard.extend(told(&stand.users.asked(), &bob(), "room_activity"));
    }
    assert_eq!(heard, first, "the event, once");
}

/// C3: between the commit of a join and the delivery to those who watch, while the new member is
/// being told, the alarm of an earlier event comes; then the room crashes. Those who watch hear of
/// the join all the same.
#[tokio::test]
async fn c3_an_alarm_and_a_crash_before_a_delivery_leave_nobody_untold() {
    let mut stand = Stand::created(|_| {}).await;
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    reads(&stand, alice()).await;
    stand.ask(message(bob(), "earlier")).await.unwrap();
    stand.run_deferred().await;
    reads(&stand, alice()).await;
    assert!(stand.host.alarm_is_set_for_ms().is_some(), "of the earlier event");
    stand.users.asked();
    stand.users.hold();
    let room = Arc::clone(&stand.room);
    let join = membership(carol(), carol().user_id, MembershipAction::Join);
    let joining = tokio::spawn(async move { ask(&room, join).await });
    stand.users.held().await;
    let asked = stand.users.asked();
    assert_eq!(told(&asked, &carol(), "membership").len(), 1, "carol is being told");
    assert_eq!(told(&asked, &alice(), "room_activity").len(), 0, "alice is not yet");
    stand.host.alarm_goes_off();
    // Those it tells do not answer, and the process does not live to see it.
    let alarm = timeout(Duration::from_millis(50), stand.room.alarm()).await;
    assert!(alarm.is_err());
    joining.abort();
    stand.crash();
    stand.users.release();
    stand.users.asked();
    let mut heard = Vec::new();
    while stand.host.alarm_is_set_for_ms().is_some() {
        alarm_succeeds(&stand).await;
        heard.extend(told(&stand.users.asked(), &alice(), "room_activity"));
    }
    let head = stand.host.count("room_events").await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0]["position"], head, "alice hears of the join");
}

/// C2: so many who cannot be reached that one alarm does not get beyond them.
#[tokio::test]
async fn c2_users_who_cannot_be_reached_hold_up_nobody_however_many_they_are() {
    let mut stand = Stand::created(|_| {}).await;
    let count = OVERDUE_MEMBERSHIPS + 1;
    let users: Vec<OwnedUserId> =
        (0..count).map(|it| UserId::parse(format!("@user{it}:localhost")).unwrap()).collect();
    for user_id in &users {
        stand.users.fail(user_id.as_str());
        let invite = membership(alice(), user_id.clone(), MembershipAction::Invite);
        stand.ask(invite).await.unwrap();
    }
    stand.crash();
    stand.users.mend();
    let (last, unreachable) = users.split_last().unwrap();
    for user_id in unreachable {
        stand.users.fail(user_id.as_str());
    }
    let mut heard = false;
    for _ in 0..3 {
        stand.users.asked();
        alarm_succeeds(&stand).await;
        heard |= stand.users.asked().iter().any(|(name, _)| name == last);
    }
    assert!(heard, "the last one is behind all who cannot be reached");
}
