//! Members hear of what concerns them, whoever else cannot be reached and whatever crashes.

use std::{sync::Arc, time::Duration};

use ruma::{OwnedUserId, UserId, owned_device_id, owned_user_id};
use serde_json::Value as JsonValue;
use skerry::{
    messages::{Caller, room::MembershipAction},
    objects::{Object as _, room::limits::DELIVERIES_AT_ONCE},
    store::room::members,
};
use skerry_core::delivery::{MEMBERSHIPS_PER_PART, RETRY_MAX_MS};
use tokio::time::timeout;

use super::stand::{alice, bob, membership, message};
use crate::{
    host::{Fate, SCOPE},
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

/// Lets alarms come until none is set, and gives what a member was told of a kind.
async fn told_in_the_end(stand: &Stand, who: &Caller, kind: &str) -> Vec<JsonValue> {
    let mut all = Vec::new();
    while stand.host.alarm_is_set_for_ms().is_some() {
        alarm_succeeds(stand).await;
        all.extend(told(&stand.users.asked(), who, kind));
    }
    all
}

/// To whom their membership counts as undelivered.
async fn undelivered(stand: &Stand) -> Vec<OwnedUserId> {
    let listed = members::list_undelivered(&*stand.host.sqlite, SCOPE, 0, 1_000).await.unwrap();
    listed.into_iter().map(|it| it.user_id).collect()
}

/// Users by their number, in the order of their names.
fn crowd(count: usize) -> Vec<Caller> {
    let user = |number| Caller {
        user_id: UserId::parse(format!("@user{number:03}:localhost")).unwrap(),
        device_id: owned_device_id!("D"),
    };
    (0..count).map(user).collect()
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
    let users = crowd(MEMBERSHIPS_PER_PART + 1);
    let users: Vec<OwnedUserId> = users.into_iter().map(|it| it.user_id).collect();
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

/// C2: more who do not answer than are asked at the same time, and one behind them.
#[tokio::test]
async fn c2_users_who_do_not_answer_hold_up_no_other_membership() {
    let mut stand = Stand::created(|_| {}).await;
    let users = crowd(DELIVERIES_AT_ONCE + 2);
    for user in &users {
        stand.users.fail(user.user_id.as_str());
        let invite = membership(alice(), user.user_id.clone(), MembershipAction::Invite);
        stand.ask(invite).await.unwrap();
    }
    stand.crash();
    stand.users.mend();
    let (last, hanging) = users.split_last().unwrap();
    for user in hanging {
        stand.users.hang(user.user_id.as_str());
    }
    stand.users.asked();
    alarm_succeeds(&stand).await;
    assert_eq!(stand.users.asked().len(), DELIVERIES_AT_ONCE, "bounded");
    alarm_succeeds(&stand).await;
    assert_eq!(told(&stand.users.asked(), last, "membership").len(), 1);
    alarm_succeeds(&stand).await;
    assert!(!undelivered(&stand).await.contains(&last.user_id));
}

/// C2: as before, of what waits to be read in a room. Whoever is the last in the order of names is
/// the last of those who are tried again at the same time.
#[tokio::test]
async fn c2_members_who_do_not_answer_hold_up_no_other_delivery() {
    let stand = Stand::created(|_| {}).await;
    let users = crowd(3 * DELIVERIES_AT_ONCE);
    for user in &users {
        stand.change(user.clone(), MembershipAction::Join).await.unwrap();
    }
    stand.run_deferred().await;
    for user in &users {
        reads(&stand, user.clone()).await;
    }
    let (last, hanging) = users.split_last().unwrap();
    for user in hanging {
        stand.users.hang(user.user_id.as_str());
    }
    stand.users.asked();
    stand.say("hello").await.unwrap();
    stand.run_deferred().await;
    assert_eq!(stand.users.asked().len(), DELIVERIES_AT_ONCE, "none of them answers");
    let mut asked = Vec::new();
    for _ in 0..users.len() / DELIVERIES_AT_ONCE {
        alarm_succeeds(&stand).await;
        asked.extend(stand.users.asked());
    }
    assert_eq!(told(&asked, last, "room_activity").len(), 1);
}

/// C3: an alarm comes, and the process dies while it delivers. No platform has to repeat it.
#[tokio::test]
async fn c3_a_crash_in_the_alarm_leaves_an_alarm_for_a_membership() {
    let mut stand = Stand::created(|_| {}).await;
    stand.users.fail(bob().user_id.as_str());
    let invite = membership(alice(), bob().user_id, MembershipAction::Invite);
    stand.ask_to_the_end(invite).await;
    stand.users.mend();
    stand.users.hold();
    for _ in 0..3 {
        stand.crash();
        stand.host.pass_until_alarm().expect("an alarm, as long as somebody is not told");
        stand.host.alarm_goes_off();
        let alarm = timeout(Duration::from_millis(50), stand.room.alarm()).await;
        assert!(alarm.is_err(), "it waits for an answer");
    }
    stand.crash();
    stand.users.release();
    stand.users.asked();
    assert_eq!(told_in_the_end(&stand, &bob(), "membership").await.len(), 1);
    assert!(undelivered(&stand).await.is_empty());
}

/// C3: the answer of a commit is lost, and whoever asked goes away. What was written is delivered.
#[tokio::test]
async fn c3_what_is_written_by_a_batch_that_nobody_waits_for_is_delivered() {
    for fate in [Fate::WrittenAndFailed, Fate::WrittenAndHangs] {
        let stand = of_three().await;
        reads(&stand, bob()).await;
        stand.host.next_commit(fate);
        let sent = timeout(Duration::from_millis(500), stand.say("hello")).await;
        assert!(!matches!(sent, Ok(Ok(_))));
        assert_eq!(told_in_the_end(&stand, &bob(), "room_activity").await.len(), 1, "{fate:?}");

        stand.host.next_commit(fate);
        let leave = stand.change(carol(), MembershipAction::Leave);
        let left = timeout(Duration::from_millis(500), leave).await;
        assert!(!matches!(left, Ok(Ok(()))));
        assert_eq!(told_in_the_end(&stand, &carol(), "membership").await.len(), 1, "{fate:?}");
        assert!(undelivered(&stand).await.is_empty());
    }
}

/// C10: what a user was told earlier is answered after they were told something newer.
#[tokio::test]
async fn c10_a_newer_membership_counts_as_delivered_by_its_own_answer_alone() {
    let stand = Stand::created(|_| {}).await;
    stand.users.hold();
    let mut under_way = Vec::new();
    for action in [MembershipAction::Join, MembershipAction::Leave] {
        let (room, change) = (Arc::clone(&stand.room), membership(bob(), bob().user_id, action));
        under_way.push(tokio::spawn(async move { ask(&room, change).await }));
        stand.users.held().await;
        stand.users.hold();
    }
    stand.users.fail(bob().user_id.as_str());
    under_way.pop().unwrap().abort();
    stand.users.mend();
    stand.users.release();
    under_way.pop().unwrap().await.unwrap().unwrap();
    stand.say("a batch").await.unwrap();
    assert_eq!(undelivered(&stand).await, [bob().user_id], "the newer one");
    stand.users.asked();
    let told = told_in_the_end(&stand, &bob(), "membership").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["membership"], "leave");
    assert!(undelivered(&stand).await.is_empty());
}

/// A mark whose batch failed is written by the next one, and nobody is told again.
#[tokio::test]
async fn what_was_delivered_is_written_down_once_whatever_batch_fails() {
    for fate in [Fate::Refused, Fate::WrittenAndFailed] {
        let mut stand = Stand::created(|_| {}).await;
        stand.crash();
        assert_eq!(told_in_the_end(&stand, &bob(), "membership").await.len(), 0);
        stand.change(bob(), MembershipAction::Join).await.unwrap();
        stand.run_deferred().await;
        assert_eq!(undelivered(&stand).await, [bob().user_id], "it is written by the next batch");
        stand.users.asked();
        stand.host.next_commit(fate);
        stand.say("fails").await.unwrap_err();
        stand.say("is written").await.unwrap();
        assert!(undelivered(&stand).await.is_empty(), "{fate:?}");
        assert_eq!(told_in_the_end(&stand, &bob(), "membership").await, [] as [JsonValue; 0]);
    }
}

#[tokio::test]
async fn an_alarm_that_finds_everything_delivered_reads_and_writes_nothing() {
    let stand = of_three().await;
    alarm_succeeds(&stand).await;
    reads(&stand, bob()).await;
    stand.say("hello").await.unwrap();
    stand.run_deferred().await;
    let before = (stand.host.reads(), stand.host.commits());
    alarm_succeeds(&stand).await;
    // Whether somebody is about to join: nothing of the members.
    assert_eq!((stand.host.reads() - before.0, stand.host.commits()), (1, before.1));
}
