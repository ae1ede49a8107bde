//! Messages to devices: they wait until their device has them, and none comes twice.

use ruma::{owned_user_id, to_device::DeviceIdOrAllDevices};
use serde_json::{Value as JsonValue, json};
use skerry::messages::user::{DeliverToDevice, EndSessions, Inbox};
use skerry_core::{
    sync_token::SyncToken,
    to_device::{MAX_BYTES, MAX_CONTENT_BYTES, MAX_MESSAGES, Message, PAGE_BYTES, PAGE_MESSAGES},
};

use super::{
    account::{HOUR_MS, login},
    stand::{World, get_changes, raw},
};
use crate::host::Fate;

/// Of `@bob:localhost`.
pub(crate) fn message(id: &str, to: &[(&str, JsonValue)]) -> Message {
    let content = |(to, content): &(&str, JsonValue)| {
        let content = ruma::serde::Raw::from_json(raw(content));
        (DeviceIdOrAllDevices::try_from(*to).unwrap(), content)
    };
    Message {
        id: id.to_owned(),
        sender: owned_user_id!("@bob:localhost"),
        event_type: "m.test".to_owned(),
        contents: to.iter().map(content).collect(),
    }
}

fn numbered(number: usize) -> Message {
    message(&number.to_string(), &[("D", json!({ "n": number }))])
}

impl World {
    async fn deliver(&self, messages: Vec<Message>) {
        self.ask(DeliverToDevice { messages }).await;
    }

    /// What a device is given that comes back with a token.
    async fn inbox(&self, access_hash: &str, since: Option<SyncToken>) -> (Inbox, SyncToken) {
        let changes = self.ask(get_changes(access_hash, since)).await;
        let token = SyncToken::at(changes.position).with_to_device(changes.inbox.upto);
        (changes.inbox, token)
    }

    async fn numbers(&self, since: Option<SyncToken>) -> (Vec<u64>, SyncToken) {
        let (inbox, token) = self.inbox("d", since).await;
        let number = |it: &skerry::messages::RawJson| {
            serde_json::from_str::<JsonValue>(it.get()).unwrap()["content"]["n"].as_u64().unwrap()
        };
        (inbox.events.iter().map(number).collect(), token)
    }

    async fn waiting(&self) -> u64 {
        self.count("SELECT COUNT(*) FROM user_to_device").await
    }
}

#[tokio::test]
async fn a_message_waits_until_its_device_comes_back_with_the_token_that_followed_it() {
    let mut world = World::registered().await;
    world.deliver(vec![numbered(1), numbered(2)]).await;
    assert_eq!(world.host.woken(), 1);
    let (numbers, first) = world.numbers(None).await;
    assert_eq!(numbers, [1, 2]);
    assert_eq!(world.numbers(None).await.0, [1, 2], "the answer may have got lost");
    world = world.restarted();
    world.deliver(vec![numbered(3)]).await;
    assert_eq!(world.numbers(None).await.0, [1, 2, 3]);
    assert_eq!(world.waiting().await, 3);
    let (numbers, second) = world.numbers(Some(first)).await;
    assert_eq!((numbers, world.waiting().await), (vec![3], 1));
    assert_eq!(world.numbers(Some(first)).await.0, [3], "the same token once more");
    let commits = world.host.commits();
    assert_eq!(world.numbers(Some(second)).await.0, [0_u64; 0]);
    assert_eq!(world.waiting().await, 0);
    assert_eq!(world.host.commits(), commits + 1);
    assert_eq!(world.numbers(Some(second)).await.0, [0_u64; 0]);
    world.restarted().numbers(Some(second)).await;
}

/// What is sent beside the reading of a room comes with what is read of it.
#[tokio::test]
async fn a_read_gives_what_waits_by_then() {
    let world = World::registered().await;
    let (_, token) = world.numbers(None).await;
    world.deliver(vec![numbered(1)]).await;
    let changes = world.changes(Some(token)).await;
    world.deliver(vec![numbered(2)]).await;
    let read = skerry::messages::user::Read {
        position: changes.position,
        instance: changes.instance,
        device_id: "D".into(),
        rooms: Vec::new(),
        active_ms: None,
    };
    let recorded = world.ask(read).await;
    assert_eq!((changes.inbox.events.len(), recorded.inbox.events.len()), (1, 2));
    let token = recorded.token.with_to_device(recorded.inbox.upto);
    assert_eq!(world.numbers(Some(token)).await.0, [0_u64; 0]);
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test]
async fn many_messages_come_by_the_page() {
    let world = World::registered().await;
    let large = "x".repeat(MAX_CONTENT_BYTES - 100);
    for number in 0..250 {
        world.deliver(vec![numbered(number)]).await;
    }
    let (mut token, mut all) = (None, Vec::new());
    for expected in [PAGE_MESSAGES, PAGE_MESSAGES, 50, 0] {
        let (numbers, next) = world.numbers(token).await;
        assert_eq!(numbers.len(), expected);
        all.extend(numbers);
        token = Some(next);
    }
    assert_eq!(all, (0..250).collect::<Vec<_>>());
    for number in 250..300 {
        let content = json!({ "n": number, "large": large });
        world.deliver(vec![message(&number.to_string(), &[("D", content)])]).await;
    }
    let (numbers, _) = world.numbers(token).await;
    assert!(numbers.len() < PAGE_BYTES / MAX_CONTENT_BYTES + 2, "{}", numbers.len());
}

#[tokio::test]
async fn a_message_that_comes_again_is_passed_over() {
    let mut world = World::registered().await;
    for _ in 0..2 {
        world.deliver(vec![numbered(1), numbered(1), numbered(2)]).await;
        world = world.restarted();
    }
    let (numbers, token) = world.numbers(None).await;
    assert_eq!(numbers, [1, 2]);
    assert_eq!(world.numbers(Some(token)).await.0, [0_u64; 0]);
    world.deliver(vec![numbered(1)]).await;
    assert_eq!(world.numbers(Some(token)).await.0, [0_u64; 0], "also when it was given");
    let of_another = Message { sender: owned_user_id!("@carol:localhost"), ..numbered(1) };
    world.deliver(vec![of_another]).await;
    assert_eq!(world.numbers(Some(token)).await.0, [1], "IDs are those of their sender");
}

/// A batch that fails, or of which nobody knows whether it was written, is repeated.
#[tokio::test]
async fn a_message_is_stored_once_whatever_becomes_of_the_batch() {
    for fate in [Fate::Refused, Fate::WrittenAndFailed] {
        let world = World::registered().await;
        world.deliver(vec![numbered(1)]).await;
        world.host.next_commit(fate);
        world.try_ask(DeliverToDevice { messages: vec![numbered(2)] }).await.unwrap_err();
        world.deliver(vec![numbered(2)]).await;
        let (numbers, token) = world.numbers(None).await;
        assert_eq!(numbers, [1, 2], "{fate:?}");
        world.deliver(vec![numbered(3)]).await;
        assert_eq!(world.numbers(Some(token)).await.0, [3], "{fate:?}");
    }
}

#[tokio::test]
async fn only_devices_that_are_there_are_given_anything() {
    let world = World::registered().await;
    world.ask(login("E", "e")).await;
    let commits = world.host.commits();
    world.deliver(vec![message("1", &[("X", json!({}))])]).await;
    assert_eq!(world.host.commits(), commits);
    world.deliver(vec![message("2", &[("*", json!({ "n": 2 })), ("X", json!({}))])]).await;
    assert_eq!((world.waiting().await, world.inbox("e", None).await.0.events.len()), (2, 1));
    world.ask(EndSessions { device_ids: vec!["E".into()] }).await;
    assert_eq!(world.waiting().await, 1, "what waits for a device goes with it");
    world.ask(login("E", "f")).await;
    assert_eq!(world.inbox("f", None).await.0.events.len(), 0);
    assert_eq!(world.inbox("d", None).await.0.events.len(), 1);
    let nobody = World::new().await;
    nobody.deliver(vec![numbered(1)]).await;
    assert_eq!((nobody.waiting().await, nobody.host.commits()), (0, 0));
}

#[tokio::test]
async fn where_too_many_wait_the_oldest_go() {
    let world = World::registered().await;
    let mut number = 0;
    while number < MAX_MESSAGES + 10 {
        let messages = (number..number + 500).map(numbered).collect();
        world.deliver(messages).await;
        number += 500;
    }
    assert_eq!(world.waiting().await, MAX_MESSAGES as u64);
    let dropped = (number - MAX_MESSAGES) as u64;
    assert_eq!(world.numbers(None).await.0.first(), Some(&dropped));
    world.deliver(vec![numbered(number)]).await;
    let counted = world.count("SELECT messages FROM user_dropped_messages").await;
    assert_eq!(counted, dropped + 1, "of all batches together");
    let world = World::registered().await;
    let large = json!({ "n": 0, "large": "x".repeat(MAX_CONTENT_BYTES - 100) });
    for number in 0..MAX_BYTES / MAX_CONTENT_BYTES + 10 {
        world.deliver(vec![message(&number.to_string(), &[("D", large.clone())])]).await;
    }
    let bytes = world.count("SELECT sum(bytes) FROM user_to_device").await;
    assert!(bytes <= MAX_BYTES as u64, "{bytes}");
    assert!(bytes > (MAX_BYTES - 2 * MAX_CONTENT_BYTES) as u64, "{bytes}");
}

#[tokio::test]
async fn what_has_come_is_forgotten_when_nobody_repeats_it() {
    let world = World::registered().await;
    let seen = async || world.count("SELECT COUNT(*) FROM user_to_device_seen").await;
    let of_another = Message { sender: owned_user_id!("@bob:b.example"), ..numbered(2) };
    world.deliver(vec![numbered(1), of_another]).await;
    world.alarm().await;
    assert_eq!(seen().await, 2, "an alarm that comes early finds nothing due");
    world.host.pass(24 * HOUR_MS);
    world.alarm().await;
    assert_eq!(seen().await, 1);
    for _ in 0..7 {
        world.host.pass(24 * HOUR_MS);
        world.alarm().await;
    }
    assert_eq!(seen().await, 0);
    let due = "SELECT COUNT(*) FROM agenda WHERE due = 'clean'";
    world.host.pass(24 * HOUR_MS);
    world.alarm().await;
    assert_eq!(world.count(due).await, 0);
}
