//! Receipts and typing between servers: what a room believes of other servers' users, and what it
//! tells other servers of its own (T9b, T15b, T16).

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedServerName, OwnedUserId, events::receipt::ReceiptThread};
use serde_json::{Value as JsonValue, json};
use skerry::messages::room::{
    GetOutgoing, MembershipAction, NewReceipt, Outgoing, Position, ReceiptKind, ReceiveEdus,
    SetReceipts, SetTyping,
};
use skerry_core::edu::ReadReceipt;

use super::{
    peer_room::{PEER, caller, user},
    server_reads::stand::{Stand, alice},
};
use crate::own_room::{membership, whole_room};

/// Longer than a user of another server counts as typing.
const TYPING_IS_OVER_MS: u64 = 60_000;

fn peer() -> OwnedServerName {
    PEER.try_into().unwrap()
}

/// What waits for the peer.
fn outgoing(after: Option<Position>, receipts: u64) -> GetOutgoing {
    GetOutgoing { server: peer(), after, limit: 50, newest_only: false, receipts, devices: None }
}

fn event_ids(outgoing: &Outgoing) -> Vec<&str> {
    outgoing.receipts.iter().map(|it| it.event_id.as_str()).collect()
}

impl Stand {
    /// The peer says who of its users types.
    async fn typing(&self, user_id: &OwnedUserId, is_typing: bool) {
        let typing = BTreeMap::from([(user_id.clone(), is_typing)]);
        let edus = ReceiveEdus { server: peer(), typing, receipts: Vec::new() };
        self.ask(edus).await.unwrap();
        // Time passes when the test says so.
        drop(self.own.host.take_deferred());
    }

    async fn ephemeral(&self, event_type: &str) -> Option<JsonValue> {
        let sync = self.ask(whole_room(alice())).await.unwrap();
        let events = sync.ephemeral.iter().map(|it| serde_json::from_str(it.get()).unwrap());
        let mut events = events.filter(|it: &JsonValue| it["type"] == event_type);
        events.next().map(|it| it["content"].clone())
    }

    async fn typists(&self) -> JsonValue {
        self.ephemeral("m.typing").await.map_or(json!([]), |it| it["user_ids"].clone())
    }

    /// Alice says something.
    async fn says(&self, text: &str) -> OwnedEventId {
        self.own.ask_to_the_end(crate::own_room::message(alice(), text)).await
    }

    /// Alice has read something, and what follows from that is done.
    async fn reads(&self, kind: ReceiptKind, event_id: &OwnedEventId, thread: ReceiptThread) {
        self.set_receipt(kind, event_id, thread).await;
        self.own.run_deferred().await;
    }

    async fn set_receipt(&self, kind: ReceiptKind, event_id: &OwnedEventId, thread: ReceiptThread) {
        let receipts = vec![NewReceipt { kind, event_id: event_id.clone(), thread }];
        self.ask(SetReceipts { user_id: alice().user_id, receipts }).await.unwrap();
    }

    /// What the peer was told since the last look.
    fn told(&self) -> Vec<JsonValue> {
        let asked = self.own.users.asked().into_iter();
        asked.filter(|(name, _)| name == PEER).map(|(_, question)| question).collect()
    }
}

#[tokio::test]
async fn who_types_elsewhere_stops_when_their_server_says_no_more() {
    let stand = Stand::new("shared").await;
    let carol = user("carol", PEER);
    stand.typing(&carol, true).await;
    assert_eq!(stand.typists().await, json!([carol]));
    stand.own.host.pass(TYPING_IS_OVER_MS - 1);
    stand.typing(&carol, true).await;
    stand.own.host.pass(TYPING_IS_OVER_MS - 1);
    assert_eq!(stand.typists().await, json!([carol]), "she goes on");
    stand.own.host.pass(1);
    assert_eq!(stand.typists().await, json!([]), "her server may be gone");
    stand.typing(&carol, true).await;
    stand.typing(&carol, false).await;
    assert_eq!(stand.typists().await, json!([]));
    stand.typing(&user("stranger", PEER), true).await;
    assert_eq!(stand.typists().await, json!([]));
}

#[tokio::test]
async fn who_has_left_does_not_type() {
    let mut stand = Stand::new("shared").await;
    let dave = user("dave", PEER);
    stand.member(&dave, &dave, "join").await;
    stand.typing(&dave, true).await;
    assert_eq!(stand.typists().await, json!([dave]));
    stand.member(&dave, &dave, "leave").await;
    assert_eq!(stand.typists().await, json!([]));
}

#[tokio::test]
async fn a_room_that_nobody_here_is_in_believes_nothing() {
    let mut stand = Stand::new("shared").await;
    let carol = user("carol", PEER);
    let said = stand.say("said").await;
    let leave = membership(alice(), alice().user_id, MembershipAction::Leave);
    stand.own.ask_to_the_end(leave).await;
    let commits = stand.own.host.commits();
    let (event_id, thread) = (said.event_id.clone(), ReceiptThread::Unthreaded);
    let receipts = vec![ReadReceipt { user_id: carol.clone(), event_id, thread, ts_ms: None }];
    let typing = BTreeMap::from([(carol, true)]);
    stand.ask(ReceiveEdus { server: peer(), typing, receipts }).await.unwrap();
    assert_eq!(stand.own.host.commits(), commits);
    assert!(stand.own.host.take_deferred().is_empty());
}

#[tokio::test]
async fn servers_are_told_once_of_many_receipts() {
    let stand = Stand::new("shared").await;
    let (first, second) = (stand.says("first").await, stand.says("second").await);
    let head = stand.ask(outgoing(None, 500)).await.unwrap().upto;
    stand.told();
    let unthreaded = || ReceiptThread::Unthreaded;
    stand.reads(ReceiptKind::ReadPrivate, &first, unthreaded()).await;
    assert_eq!(stand.told(), [JsonValue::Null; 0], "a private one stays here");
    stand.set_receipt(ReceiptKind::Read, &first, unthreaded()).await;
    stand.set_receipt(ReceiptKind::Read, &first, ReceiptThread::Main).await;
    stand.reads(ReceiptKind::Read, &second, unthreaded()).await;
    let told = stand.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["room_activity"]["is_weak"], true, "{told:?}");
    assert_eq!(told[0]["room_activity"]["position"], head + 4, "{told:?}");
    stand.reads(ReceiptKind::Read, &second, ReceiptThread::Main).await;
    assert_eq!(stand.told(), [JsonValue::Null; 0], "the server has not read since");
    let waiting = stand.ask(outgoing(Some(head), 500)).await.unwrap();
    assert_eq!(event_ids(&waiting), [second.as_str(), second.as_str()], "the newest alone");
    let threads: Vec<_> = waiting.receipts.iter().map(|it| it.thread.clone()).collect();
    assert_eq!(threads, [ReceiptThread::Unthreaded, ReceiptThread::Main]);
    assert!(waiting.pdus.is_empty());
    let third = stand.says("third").await;
    stand.ask(outgoing(Some(waiting.upto), 500)).await.unwrap();
    stand.told();
    stand.reads(ReceiptKind::Read, &third, unthreaded()).await;
    assert_eq!(stand.told().len(), 1, "it has read everything again");
}

#[tokio::test]
async fn a_server_that_has_read_a_receipt_before_it_was_told_is_told_of_the_next() {
    let stand = Stand::new("shared").await;
    let said = stand.says("said").await;
    stand.own.run_deferred().await;
    let upto = stand.ask(outgoing(None, 500)).await.unwrap().upto;
    stand.told();
    let unthreaded = ReceiptThread::Unthreaded;
    stand.set_receipt(ReceiptKind::Read, &said, unthreaded).await;
    let read = stand.ask(outgoing(Some(upto), 500)).await.unwrap();
    assert_eq!(event_ids(&read), [said.as_str()]);
    stand.own.run_deferred().await;
    assert_eq!(stand.told(), [JsonValue::Null; 0], "it knows");
    stand.reads(ReceiptKind::Read, &said, ReceiptThread::Main).await;
    assert_eq!(stand.told().len(), 1);
}

#[tokio::test]
async fn receipts_come_in_parts_and_events_with_them() {
    let stand = Stand::new("shared").await;
    let root = stand.says("root").await;
    let after = stand.ask(outgoing(None, 500)).await.unwrap().upto;
    for thread in [ReceiptThread::Unthreaded, ReceiptThread::Main] {
        stand.set_receipt(ReceiptKind::Read, &root, thread).await;
    }
    stand.says("between").await;
    let thread = ReceiptThread::Thread(root.clone());
    stand.set_receipt(ReceiptKind::Read, &root, thread).await;
    // Receipts and events, each time; how far it is.
    let mut parts = Vec::new();
    let mut upto = after;
    for _ in 0..3 {
        let part = stand.ask(outgoing(Some(upto), 1)).await.unwrap();
        upto = part.upto;
        parts.push((part.receipts.len(), part.pdus.len(), upto - after));
    }
    assert_eq!(parts, [(1, 0, 1), (1, 0, 2), (1, 1, 4)]);
    let all = stand.ask(outgoing(Some(after), 500)).await.unwrap();
    assert_eq!((all.receipts.len(), all.pdus.len()), (3, 1));
    let none = stand.ask(outgoing(Some(after), 0)).await.unwrap();
    assert_eq!((none.receipts.len(), none.pdus.len()), (0, 1), "who asks for none gets none");
}

#[tokio::test]
async fn of_who_is_not_in_the_room_no_receipt_is_given() {
    let mut stand = Stand::new("shared").await;
    let said = stand.says("said").await;
    let bob = caller("bob");
    let join = membership(bob.clone(), bob.user_id.clone(), MembershipAction::Join);
    stand.own.ask_to_the_end(join).await;
    let (kind, thread) = (ReceiptKind::Read, ReceiptThread::Unthreaded);
    let receipts = vec![NewReceipt { kind, event_id: said.clone(), thread }];
    let of_bob = SetReceipts { user_id: bob.user_id.clone(), receipts };
    stand.own.ask_to_the_end(of_bob).await;
    let carol = user("carol", PEER);
    let receipts = vec![ReadReceipt {
        user_id: carol,
        event_id: said.clone(),
        thread: ReceiptThread::Unthreaded,
        ts_ms: None,
    }];
    let of_carol = ReceiveEdus { server: peer(), typing: BTreeMap::new(), receipts };
    stand.own.ask_to_the_end(of_carol).await;
    let waiting = stand.ask(outgoing(None, 500)).await.unwrap();
    let users: Vec<_> = waiting.receipts.iter().map(|it| &it.user_id).collect();
    assert_eq!(users, [&bob.user_id], "Carol's own server knows of hers");
    let leave = membership(bob.clone(), bob.user_id.clone(), MembershipAction::Leave);
    stand.own.ask_to_the_end(leave).await;
    let waiting = stand.ask(outgoing(None, 500)).await.unwrap();
    assert!(waiting.receipts.is_empty(), "he has left");
    stand.reads(ReceiptKind::Read, &said, ReceiptThread::Unthreaded).await;
    let acl = json!({ "allow": ["*"], "deny": [PEER] });
    stand.by_carol("m.room.server_acl", acl).await;
    let waiting = stand.ask(outgoing(None, 500)).await.unwrap();
    assert!(waiting.receipts.is_empty() && waiting.pdus.is_empty(), "the server is kept out");
}

#[tokio::test]
async fn servers_are_told_again_of_who_goes_on_typing() {
    let stand = Stand::new("shared").await;
    let alice = alice().user_id;
    stand.own.run_deferred().await;
    stand.told();
    // What was told after so many milliseconds.
    for (after_ms, typing_for_ms, expected) in [
        (0, Some(120_000), Some(true)),
        (20_000, Some(120_000), None),
        (20_000, Some(120_000), Some(true)),
        (5_000, None, Some(false)),
        (0, None, None),
    ] {
        stand.own.host.pass(after_ms);
        stand.ask(SetTyping { user_id: alice.clone(), typing_for_ms }).await.unwrap();
        let deferred = futures_util::future::join_all(stand.own.host.take_deferred());
        // Whoever sees to it that typing ends waits for time to pass.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(700), deferred).await;
        let told: Vec<_> = stand
            .told()
            .iter()
            .map(|it| it["typing_activity"]["users"][alice.as_str()].clone())
            .collect();
        let expected: Vec<_> = expected.into_iter().map(JsonValue::from).collect();
        assert_eq!(told, expected, "after {after_ms} ms: {typing_for_ms:?}");
    }
}
