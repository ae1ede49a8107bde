//! Messages that come while one is written go together in the next batch.

use std::time::Duration;

use futures_util::future::join_all;
use ruma::OwnedEventId;
use skerry::{Result, messages::room::Send};
use tokio::time::timeout;

use super::{
    commits::messages,
    stand::{alice, bob, message},
};
use crate::{
    host::Fate,
    room::{Stand, ask},
};

/// Alice says something, by a request with this transaction.
fn said(text: &str, transaction_id: &str) -> Send {
    Send { transaction_id: Some(transaction_id.into()), ..message(alice(), text) }
}

/// Asks all at once, in this order.
async fn at_once(stand: &Stand, sends: Vec<Send>) -> Vec<Result<OwnedEventId>> {
    join_all(sends.into_iter().map(|it| ask(&stand.room, it))).await
}

/// What the room has: IDs, and texts.
async fn stored(stand: &Stand) -> (Vec<OwnedEventId>, Vec<String>) {
    messages(stand).await.into_iter().unzip()
}

#[tokio::test]
async fn messages_that_wait_are_written_in_one_batch_in_their_order() {
    let stand = Stand::created(|_| {}).await;
    let texts: Vec<String> = (0..20).map(|it| format!("message {it}")).collect();
    let before = stand.host.commits();
    let sends = texts.iter().map(|it| said(it, it)).collect();
    let sent: Vec<_> = at_once(&stand, sends).await.into_iter().map(Result::unwrap).collect();
    // The first one, and all that waited for it: mostly two. On a busy machine some come later.
    let commits = stand.host.commits() - before;
    assert!(commits < 10, "{commits} batches for 20 messages");
    assert_eq!(stored(&stand).await, (sent, texts));
}

/// C10: also where the first one has not been answered yet.
#[tokio::test]
async fn a_request_that_is_repeated_in_one_batch_gives_the_same_event() {
    let stand = Stand::created(|_| {}).await;
    let sends = vec![
        said("first", "a"),
        said("second", "b"),
        said("second", "b"),
        said("third", "c"),
        said("first", "a"),
    ];
    let sent: Vec<_> = at_once(&stand, sends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(sent[1], sent[2]);
    assert_eq!(sent[0], sent[4]);
    let ids = vec![sent[0].clone(), sent[1].clone(), sent[3].clone()];
    let texts = ["first", "second", "third"].map(str::to_owned).to_vec();
    assert_eq!(stored(&stand).await, (ids, texts));
}

#[tokio::test]
async fn a_message_that_is_refused_refuses_no_other() {
    let stand = Stand::created(|_| {}).await;
    let sends = vec![
        said("first", "a"),
        message(bob(), "of somebody who is not here"),
        said(&"x".repeat(70_000), "b"),
        said("second", "c"),
    ];
    let sent = at_once(&stand, sends).await;
    let refused: Vec<bool> = sent.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, true, true, false]);
    assert_eq!(stored(&stand).await.1, ["first", "second"]);
}

/// C6: nobody is told that a message was sent which is not there, and who repeats the request has
/// sent it once.
#[tokio::test]
async fn of_a_batch_that_failed_nothing_is_lost_or_sent_twice() {
    for fate in [Fate::Refused, Fate::WrittenAndFailed, Fate::WrittenAndHangs] {
        let stand = Stand::created(|_| {}).await;
        let texts = ["first", "second", "third"];
        let sends = || texts.iter().map(|it| said(it, it)).collect::<Vec<_>>();
        // The first message goes alone.
        stand.host.commit_after(1, fate);
        // Whoever asks may go away.
        let sent = timeout(Duration::from_millis(200), at_once(&stand, sends())).await;
        stand.host.commits_are_written();
        let mut expected = Vec::new();
        for (index, send) in sends().into_iter().enumerate() {
            let event_id = stand.ask(send).await.unwrap();
            if let Ok(sent) = &sent
                && let Ok(sent) = &sent[index]
            {
                assert_eq!(*sent, event_id, "{fate:?}");
            }
            expected.push(event_id);
        }
        // They were asked for at once: which of them comes first is not said.
        let (ids, stored) = stored(&stand).await;
        let mut found: Vec<_> = stored.into_iter().zip(ids).collect();
        found.sort();
        let expected = texts.iter().map(|it| (*it).to_owned()).zip(expected);
        assert_eq!(found, expected.collect::<Vec<_>>(), "{fate:?}");
    }
}

/// C6: who was told that a message was not sent is not in the room's next batch.
#[tokio::test]
async fn a_message_whose_room_cannot_be_loaded_is_never_sent() {
    let mut stand = Stand::created(|_| {}).await;
    stand.crash();
    stand.host.can_be_read(false);
    let sent = at_once(&stand, vec![said("first", "a"), said("second", "b")]).await;
    assert!(sent.iter().all(Result::is_err));
    stand.host.can_be_read(true);
    let third = stand.ask(said("third", "c")).await.unwrap();
    let second = stand.ask(said("second", "b")).await.unwrap();
    let texts = ["third", "second"].map(str::to_owned).to_vec();
    assert_eq!(stored(&stand).await, (vec![third, second], texts));
}
