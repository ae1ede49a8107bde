//! A room that has changed more often than is looked at.

use ruma::{EventId, OwnedEventId, owned_user_id};
use serde_json::json;
use skerry::{
    messages::{
        Caller, Requester,
        room::{GetEvent, MembershipAction},
    },
    objects::room::limits,
};

use super::stand::{alice, bob};
use crate::room::Stand;

/// Whether somebody may see an event.
async fn sees(stand: &Stand, caller: Caller, event_id: &EventId) -> bool {
    let requester = Requester::User(caller);
    let event_id = event_id.to_owned();
    stand.ask(GetEvent { requester, event_id, ignored_users: Vec::new() }).await.is_ok()
}

/// A room with a message before so many changes of visibility, and one after: whether Bob, who
/// joins then, sees them.
async fn seen_after(changes: usize) -> (bool, bool) {
    let stand = Stand::created(|_| {}).await;
    let first = stand.say("first").await.unwrap();
    for number in 0..changes {
        let visibility = if number % 2 == 0 { "invited" } else { "shared" };
        let content = json!({ "history_visibility": visibility });
        stand.send("m.room.history_visibility", Some(""), content).await.unwrap();
    }
    let last = stand.say("last").await.unwrap();
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    (sees(&stand, bob(), &first).await, sees(&stand, bob(), &last).await)
}

#[tokio::test]
async fn before_the_changes_that_are_looked_at_history_is_closed() {
    let most = limits::TIMELINE_CHANGES;
    assert_eq!(seen_after(most - 2).await, (true, true));
    assert_eq!(seen_after(most).await, (false, true));
}

#[tokio::test]
async fn how_visible_history_was_is_read_once_for_all_strangers() {
    let stand = Stand::created(|_| {}).await;
    let content = json!({ "history_visibility": "world_readable" });
    stand.send("m.room.history_visibility", Some(""), content).await.unwrap();
    let message: OwnedEventId = stand.say("to everybody").await.unwrap();
    let strangers = [owned_user_id!("@eve:localhost"), owned_user_id!("@mallory:localhost")];
    let mut reads = Vec::new();
    for user_id in strangers {
        let before = stand.host.reads();
        assert!(sees(&stand, Caller { user_id, ..alice() }, &message).await);
        reads.push(stand.host.reads() - before);
    }
    assert_eq!(reads[1] + 1, reads[0], "{reads:?}");
}
