//! What is kept of a user, and how much of it.

use ruma::{RoomId, events::room::member::MembershipState};
use serde_json::{Value as JsonValue, json};
use skerry::{
    messages::user::{
        CreateFilter, GetAccountData, GetFilter, GetProfile, SetAccountData, SetProfileField,
        SetTag,
    },
    objects::user::limits,
};
use skerry_core::sync_token::SyncToken;

use super::{
    account::lived_in,
    stand::{World, a_room, raw},
};

impl World {
    /// Sets account data.
    pub(crate) async fn set(&self, room_id: Option<&RoomId>, event_type: &str, content: JsonValue) {
        self.ask(set(room_id, event_type, &content)).await;
    }
}

fn set(room_id: Option<&RoomId>, event_type: &str, content: &JsonValue) -> SetAccountData {
    SetAccountData {
        room_id: room_id.map(ToOwned::to_owned),
        event_type: event_type.to_owned(),
        content: raw(content),
    }
}

/// Whoever may ban may invent names.
#[tokio::test]
async fn of_whom_nobody_has_registered_nothing_is_stored() {
    let world = World::new().await;
    let before = world.host.commits();
    for membership in [MembershipState::Ban, MembershipState::Invite, MembershipState::Leave] {
        world.membership(a_room(), membership, 3).await;
    }
    world.activity(4).await;
    assert_eq!(world.host.commits(), before);
    assert_eq!(world.count("SELECT COUNT(*) FROM user_rooms").await, 0);
}

#[tokio::test]
async fn a_profile_has_a_size() {
    let world = lived_in().await;
    let set = async |field: &str, chars: usize| {
        let value = Some(json!("ß".repeat(chars)));
        world.try_ask(SetProfileField { field: field.to_owned(), value }).await.is_ok()
    };
    world.ask(SetProfileField { field: "displayname".to_owned(), value: None }).await;
    let most = limits::PROFILE_BYTES;
    assert!(set("a", 10).await);
    assert!(!set("b", most / 2).await, "with the other field it is too large");
    assert!(set("a", (most - 3) / 2).await, "alone it just fits");
    assert!(!set("a", most / 2).await);
    assert_eq!(world.ask(GetProfile {}).await.unwrap().len(), 1);
}

#[tokio::test]
async fn account_data_is_told_once_and_bounded() {
    let world = World::registered().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    let token = world.read(world.position().await, 3).await;
    world.set(Some(a_room()), "u.x", json!({ "a": 1 })).await;
    let changes = world.changes(Some(token)).await;
    let [room] = &*changes.joined else { panic!("one room") };
    assert!(!room.has_events);
    assert_eq!(room.account_data[0].get(), r#"{"type":"u.x","content":{"a":1}}"#);
    assert_eq!(world.changes(Some(SyncToken::at(changes.position))).await.joined.len(), 0);
    let large = json!({ "a": "x".repeat(limits::ACCOUNT_DATA_BYTES) });
    assert_eq!(world.refused(set(None, "u.x", &large)).await, 413);
    for number in 0..limits::ACCOUNT_DATA_TYPES {
        world.set(None, &format!("u.{number}"), json!({})).await;
    }
    assert_eq!(world.refused(set(None, "one.more", &json!({}))).await, 413);
    world.set(None, "u.1", json!({ "b": 1 })).await;
}

#[tokio::test]
async fn only_of_a_joined_room_something_is_kept() {
    let world = World::registered().await;
    let data = || set(Some(a_room()), "org.example", &json!({}));
    let tag = |info: Option<JsonValue>| SetTag {
        room_id: a_room().to_owned(),
        tag: "u.a".to_owned(),
        info: info.as_ref().map(raw),
    };
    let steps = [
        (None, false),
        (Some(MembershipState::Invite), false),
        (Some(MembershipState::Join), true),
        (Some(MembershipState::Leave), false),
    ];
    for (number, (membership, may)) in (1..).zip(steps) {
        if let Some(membership) = membership {
            world.membership(a_room(), membership, number).await;
        }
        match may {
            true => {
                world.ask(data()).await;
                world.ask(tag(Some(json!({})))).await;
            }
            false => {
                assert_eq!(world.refused(data()).await, 403);
                assert_eq!(world.refused(tag(Some(json!({})))).await, 403);
            }
        }
    }
    world.ask(tag(None)).await;
}

#[tokio::test]
async fn tags_are_merged_and_bounded() {
    let world = World::registered().await;
    world.membership(a_room(), MembershipState::Join, 1).await;
    let tag = |name: String, info: Option<JsonValue>| SetTag {
        room_id: a_room().to_owned(),
        tag: name,
        info: info.as_ref().map(raw),
    };
    world.ask(tag("u.a".to_owned(), Some(json!({ "order": 1 })))).await;
    world.ask(tag("u.b".to_owned(), Some(json!({})))).await;
    world.ask(tag("u.b".to_owned(), None)).await;
    world.ask(tag("u.b".to_owned(), None)).await;
    let get = GetAccountData { room_id: Some(a_room().to_owned()), event_type: "m.tag".to_owned() };
    let content = world.ask(get).await.unwrap();
    assert_eq!(content.get(), r#"{"tags":{"u.a":{"order":1}}}"#);
    for number in 1..limits::TAGS_PER_ROOM {
        world.ask(tag(format!("u.{number}"), Some(json!({})))).await;
    }
    assert_eq!(world.refused(tag("u.more".to_owned(), Some(json!({})))).await, 413);
    assert_eq!(world.refused(tag("x".repeat(256), Some(json!({})))).await, 400);
}

#[tokio::test]
async fn the_same_filter_has_the_same_id_and_the_oldest_goes() {
    let world = World::registered().await;
    let create = async |limit: u64| {
        let filter = raw(&json!({ "room": { "timeline": { "limit": limit } } }));
        world.ask(CreateFilter { filter }).await
    };
    assert_eq!(create(0).await, create(0).await);
    let most = limits::FILTERS as u64;
    for limit in 1..=most {
        create(limit).await;
    }
    let get = async |id: &str| world.ask(GetFilter { filter_id: id.to_owned() }).await.is_some();
    assert!(!get("0").await && get("1").await && !get("x").await);
    assert_eq!(world.count("SELECT COUNT(*) FROM user_filters").await, most);
}

#[tokio::test]
async fn all_account_data_together_is_bounded() {
    let world = World::registered().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    let large = json!({ "a": "x".repeat(limits::ACCOUNT_DATA_BYTES - 100) });
    let whole = limits::ACCOUNT_DATA_TOTAL_BYTES / limits::ACCOUNT_DATA_BYTES as u64;
    for number in 0..whole {
        let room = (number % 2 == 0).then(a_room);
        world.set(room, &format!("u.{number}"), large.clone()).await;
    }
    assert_eq!(world.refused(set(None, "one.more", &large)).await, 413);
    let world = world.restarted();
    assert_eq!(world.refused(set(None, "one.more", &large)).await, 413);
    world.set(None, "u.1", large.clone()).await;
    world.set(None, "u.1", json!({})).await;
    world.set(None, "one.more", large.clone()).await;
    assert_eq!(world.refused(set(None, "u.1", &large)).await, 413);
}
