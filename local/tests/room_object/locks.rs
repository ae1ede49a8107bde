//! Who is asked and never answers delays nobody in the room.

use std::{future::Future, time::Duration};

use futures_util::future::{self, Either};
use ruma::{api::client::filter::RoomEventFilter, room_alias_id};
use skerry::{
    Error,
    messages::{
        Requester,
        room::{
            Forget, GetContext, GetJoinedMembers, GetMembers, GetPublicInfo, GetState,
            MembershipAction,
        },
    },
    ports::ObjectHost as _,
};

use super::stand::{alice, bob, message};
use crate::{host::GlobalStore, room::Stand};

/// Longer than anything here needs that waits for nobody.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether a member's message is sent while something is under way that comes to no end.
async fn is_sent_meanwhile(stand: &Stand, under_way: impl Future) {
    let sending = async {
        // By now it is where it hangs.
        tokio::time::sleep(Duration::from_millis(20)).await;
        stand.ask(message(alice(), "meanwhile")).await.unwrap();
    };
    let sending = tokio::time::timeout(PATIENCE, sending);
    match future::select(Box::pin(under_way), Box::pin(sending)).await {
        Either::Left(_) => panic!("it came to an end before the message was sent"),
        Either::Right((sent, _)) => sent.unwrap(),
    }
}

#[tokio::test]
async fn a_member_who_cannot_be_told_of_their_membership_delays_no_message() {
    let stand = Stand::created(|_| {}).await;
    stand.users.hang(bob().user_id.as_str());
    is_sent_meanwhile(&stand, stand.change(bob(), MembershipAction::Join)).await;
}

#[tokio::test]
async fn a_member_who_cannot_be_told_of_a_message_delays_no_message() {
    let stand = Stand::created(|_| {}).await;
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    stand.run_deferred().await;
    stand.ask(crate::own_room::whole_room(bob())).await.unwrap();
    stand.users.hang(bob().user_id.as_str());
    stand.say("one").await.unwrap();
    is_sent_meanwhile(&stand, stand.run_deferred()).await;
}

#[tokio::test]
async fn an_alarm_that_waits_for_members_delays_no_message() {
    let stand = Stand::created(|_| {}).await;
    stand.users.hang(bob().user_id.as_str());
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    is_sent_meanwhile(&stand, stand.alarm()).await;
}

#[tokio::test]
async fn a_global_store_that_never_answers_delays_no_message() {
    let (stand, mut create) = Stand::open().await;
    stand.reserve(1_100_000).await;
    (create.listed, create.alias) = (true, Some(room_alias_id!("#harbor:localhost").to_owned()));
    stand.host.global_is(GlobalStore::Hangs);
    stand.ask(create).await.unwrap();
    is_sent_meanwhile(&stand, stand.run_deferred()).await;
    is_sent_meanwhile(&stand, stand.alarm()).await;
    stand.host.global_is(GlobalStore::Up);
    while !stand.agenda().await.is_empty() {
        stand.alarm().await.expect("an alarm, as long as something is due");
    }
    assert_eq!(stand.has_alias().await, Some(true));
    assert_eq!(stand.entry().await, Some(("Harbor".to_owned(), 1)));
}

/// A room is removed while the global store does not answer: whoever asks about the room is
/// answered meanwhile, and nothing is left of it in the end, in either store.
#[tokio::test]
async fn a_removal_that_waits_for_the_global_store_delays_nobody_and_comes_to_its_end() {
    for dies in [false, true] {
        let (mut stand, mut create) = Stand::open().await;
        stand.reserve(1_100_000).await;
        (create.listed, create.alias) =
            (true, Some(room_alias_id!("#harbor:localhost").to_owned()));
        stand.ask_to_the_end(create).await;
        stand.change(alice(), MembershipAction::Leave).await.unwrap();
        stand.run_deferred().await;
        stand.ask(Forget { user_id: alice().user_id }).await.unwrap();
        stand.host.global_is(GlobalStore::Hangs);
        let is_gone = async {
            loop {
                let answer = tokio::time::timeout(PATIENCE, stand.ask(GetPublicInfo {})).await;
                match answer.expect("the question waits") {
                    Err(Error::UnknownRoom) => return,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let alarms = async {
            loop {
                stand.alarm().await.expect("an alarm, as long as something is left");
            }
        };
        let alarms = Box::pin(alarms);
        assert!(matches!(future::select(alarms, Box::pin(is_gone)).await, Either::Right(_)));
        assert_eq!(stand.has_alias().await, Some(true), "the global store does not answer");
        if dies {
            stand.crash();
        }
        stand.host.global_is(GlobalStore::Up);
        while stand.alarm().await.is_some() {}
        assert_eq!(stand.has_alias().await, None);
        assert_eq!(stand.entry().await, None);
        assert_eq!(stand.agenda().await, [""; 0]);
        // A room of that ID begins anew.
        stand.ask_to_the_end(stand.creation()).await;
        assert!(stand.ask(GetPublicInfo {}).await.is_ok());
    }
}

/// Whole states that are read at a time are bounded in bytes (T1c). What is read whole waits for
/// space, and under no lock; pages and single events wait for nothing.
#[tokio::test]
async fn who_waits_for_space_for_a_whole_state_delays_no_message() {
    let stand = Stand::created(|_| {}).await;
    let event_id = stand.say("one").await.unwrap();
    let all = stand.host.space().take(u64::MAX).await.unwrap();
    let state = || stand.ask(GetState { requester: Requester::User(alice()) });
    let members = || {
        let (caller, at) = (alice(), None);
        stand.ask(GetMembers { caller, at, membership: None, not_membership: None })
    };
    let joined = || stand.ask(GetJoinedMembers { caller: alice() });
    let context = || {
        stand.ask(GetContext {
            caller: alice(),
            event_id: event_id.clone(),
            limit: 1,
            filter: RoomEventFilter::default(),
            ignored_users: Vec::new(),
        })
    };
    let sync = || stand.ask(crate::own_room::whole_room(alice()));
    is_sent_meanwhile(&stand, state()).await;
    is_sent_meanwhile(&stand, members()).await;
    is_sent_meanwhile(&stand, joined()).await;
    is_sent_meanwhile(&stand, context()).await;
    is_sent_meanwhile(&stand, sync()).await;
    drop(all);
    assert!(!state().await.unwrap().is_empty());
    assert_eq!((members().await.unwrap().len(), joined().await.unwrap().len()), (1, 1));
    assert!(!context().await.unwrap().state.is_empty());
    assert!(!sync().await.unwrap().state.is_empty());
}
