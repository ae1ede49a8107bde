//! Tags on rooms.

use skerry_tests::{Server, User, json, path};

both_hosts![
    tags_are_set_listed_and_removed,
    tags_come_down_sync,
    a_tag_order_is_a_number,
    a_tag_has_a_size
];

async fn tags_are_set_listed_and_removed(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let list = path(["user", &alice.id, "rooms", &room, "tags"]);
    assert_eq!(alice.get(&list).ok().await, json!({ "tags": {} }));
    let tag = |name: &str| path(["user", &alice.id, "rooms", &room, "tags", name]);
    alice.put(tag("m.favourite")).json(&json!({ "order": 0.25 })).ok().await;
    alice.put(tag("u.work / ü")).json(&json!({})).ok().await;
    let tags = alice.get(&list).ok().await;
    assert_eq!(tags, json!({ "tags": { "m.favourite": { "order": 0.25 }, "u.work / ü": {} } }));
    alice.delete(tag("m.favourite")).ok().await;
    assert_eq!(alice.get(&list).ok().await, json!({ "tags": { "u.work / ü": {} } }));
}

async fn tags_come_down_sync(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let mut watch = alice.watch().await;
    let tag = path(["user", &alice.id, "rooms", &room, "tags", "m.lowpriority"]);
    alice.put(&tag).json(&json!({ "order": 0.5 })).ok().await;
    let found = watch.room("a tag", &room, |it| it.account_data("m.tag").cloned()).await;
    assert_eq!(found, json!({ "tags": { "m.lowpriority": { "order": 0.5 } } }));
    alice.delete(&tag).ok().await;
    let found = watch.room("no tag", &room, |it| it.account_data("m.tag").cloned()).await;
    assert_eq!(found, json!({ "tags": {} }));
    let fresh = alice.sync().get().await;
    let data = fresh.joined(&room).expect("the room").account_data("m.tag").cloned();
    assert_eq!(data.unwrap_or_else(|| json!({ "tags": {} })), json!({ "tags": {} }));
}

async fn a_tag_order_is_a_number(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let tag = path(["user", &alice.id, "rooms", &room, "tags", "m.favourite"]);
    let reply = alice.put(&tag).json(&json!({ "order": "first" })).send().await;
    reply.refused_with_any(&[(400, "M_BAD_JSON"), (400, "M_INVALID_PARAM")]);
    let list = alice.get(path(["user", &alice.id, "rooms", &room, "tags"])).ok().await;
    assert_eq!(list, json!({ "tags": {} }));
}

/// T1d
async fn a_tag_has_a_size(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let tag = |name: &str| path(["user", &alice.id, "rooms", &room, "tags", name]);
    let large = json!({ "order": 0.5, "org.example": "x".repeat(1100) });
    alice.put(tag("u.work")).json(&large).refused(413, "M_TOO_LARGE").await;
    alice.put(tag(&"x".repeat(256))).json(&json!({})).refused(400, "M_INVALID_PARAM").await;
    for number in 0..100 {
        alice.put(tag(&format!("u.{number}"))).json(&json!({ "order": 0.5 })).ok().await;
    }
    alice.put(tag("u.more")).json(&json!({})).refused(413, "M_TOO_LARGE").await;
    alice.delete(tag("u.0")).ok().await;
    alice.put(tag("u.more")).json(&json!({})).ok().await;
}
