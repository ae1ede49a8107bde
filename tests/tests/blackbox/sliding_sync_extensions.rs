//! Extensions of sliding sync: what comes besides rooms.

use skerry_tests::{
    Server, User, Value, encode, json, path,
    sliding::{Slid, Sliding, list},
};

both_hosts![
    s_c7_messages_to_the_device_wait_until_they_are_acknowledged,
    messages_to_the_device_come_by_the_page,
    what_is_not_enabled_is_not_there,
    account_data_comes_when_it_changes,
    room_account_data_comes_with_its_room,
    push_rules_come_when_they_change_and_rooms_count_by_them,
    receipts_come_with_their_rooms,
    typing_comes_and_goes,
    extensions_keep_to_their_lists_and_rooms,
    key_counts_are_told,
    who_has_changed_their_devices_is_told_without_any_list,
    who_comes_into_an_encrypted_room_is_told,
];

const POLL_MS: u64 = 20_000;

async fn settled(user: &User, body: Value) -> Sliding {
    let mut client = user.sliding(body);
    client.settle().await;
    client
}

fn enabled(names: &[&str]) -> Value {
    names.iter().map(|it| ((*it).to_owned(), json!({ "enabled": true }))).collect()
}

fn numbers(slid: &Slid) -> Vec<u64> {
    let events = slid.extension("to_device")["events"].as_array().cloned().unwrap_or_default();
    events.iter().map(|it| it["content"]["n"].as_u64().expect("a number")).collect()
}

async fn send(from: &User, to: &User, number: usize) {
    super::to_device::send(from, to, &to.device, number).await;
}

/// S-C7
async fn s_c7_messages_to_the_device_wait_until_they_are_acknowledged(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut client = alice.sliding(json!({ "extensions": enabled(&["to_device"]) }));
    let first = client.next(0).await;
    let since = first.extension("to_device")["next_batch"].as_str().expect("a token").to_owned();
    client.body["extensions"]["to_device"]["since"] = json!(since);
    let poll = client.lost(POLL_MS);
    let (woken, ()) = tokio::join!(poll, send(&bob, &alice, 1));
    assert_eq!(numbers(&woken), [1]);
    send(&bob, &alice, 2).await;
    // Whoever does not say that they have it gets it again, also on another connection.
    assert_eq!(numbers(&client.next(0).await), [1, 2]);
    let mut other = client.clone();
    (other.pos, other.body["conn_id"]) = (None, json!("other"));
    let slid = other.next(0).await;
    assert_eq!(numbers(&slid), [1, 2]);
    other.body["extensions"]["to_device"]["since"] =
        slid.extension("to_device")["next_batch"].clone();
    assert_eq!(numbers(&other.next(0).await), [] as [u64; 0]);
    assert_eq!(numbers(&client.next(0).await), [] as [u64; 0], "they are gone");
    send(&bob, &alice, 3).await;
    let slid = other.next(POLL_MS).await;
    assert_eq!(numbers(&slid), [3]);
}

async fn messages_to_the_device_come_by_the_page(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    for number in 0..5 {
        send(&bob, &alice, number).await;
    }
    let wanted = json!({ "to_device": { "enabled": true, "limit": 2 } });
    let mut client = alice.sliding(json!({ "extensions": wanted }));
    let mut found = Vec::new();
    for _ in 0..3 {
        let slid = client.next(0).await;
        found.push(numbers(&slid));
        let next = slid.extension("to_device")["next_batch"].clone();
        client.body["extensions"]["to_device"]["since"] = next;
    }
    assert_eq!(found, [vec![0, 1], vec![2, 3], vec![4]]);
}

async fn what_is_not_enabled_is_not_there(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    send(&bob, &alice, 1).await;
    let slid = alice.sliding(json!({})).next(0).await;
    assert_eq!(slid.json["extensions"], json!({}));
    let disabled = json!({ "to_device": { "enabled": false }, "e2ee": {} });
    let slid = alice.sliding(json!({ "extensions": disabled })).next(0).await;
    assert_eq!(slid.json["extensions"], json!({}));
}

async fn account_data_comes_when_it_changes(server: &Server) {
    let alice = User::register(server, "alice").await;
    let data = path(["user", &alice.id, "account_data", "org.example"]);
    alice.put(&data).json(&json!({ "n": 1 })).ok().await;
    let mut client = alice.sliding(json!({ "extensions": enabled(&["account_data"]) }));
    let of = |slid: &Slid, kind: &str| {
        let global = slid.extension("account_data")["global"].as_array().cloned();
        global.unwrap_or_default().into_iter().find(|it| it["type"] == kind)
    };
    let first = client.next(0).await;
    assert_eq!(of(&first, "org.example").expect("it")["content"]["n"], 1);
    assert!(of(&first, "m.push_rules").is_some());
    client.settle().await;
    let poll = client.lost(POLL_MS);
    let set = async {
        alice.get("/account/whoami").ok().await;
        alice.put(&data).json(&json!({ "n": 2 })).ok().await
    };
    let (woken, _) = tokio::join!(poll, set);
    assert_eq!(of(&woken, "org.example").expect("it")["content"]["n"], 2);
    let again = client.next(0).await;
    assert!(of(&again, "org.example").is_some(), "the answer was lost");
    assert!(client.next(0).await.is_empty());
}

async fn room_account_data_comes_with_its_room(server: &Server) {
    let alice = User::register(server, "alice").await;
    let (room, other) = (alice.create_room(&json!({})).await, alice.create_room(&json!({})).await);
    for it in [&room, &other] {
        alice.put(path(["user", &alice.id, "rooms", it, "tags", "u.x"])).ok().await;
    }
    let mut body = list(&json!([[0, 0]]), 1, &json!([]));
    body["extensions"] = enabled(&["account_data"]);
    let mut client = alice.sliding(body);
    let tags = |slid: &Slid, room: &str| {
        let found = slid.extension("account_data")["rooms"].get(room)?.as_array()?.clone();
        found.into_iter().find(|it| it["type"] == "m.tag").map(|it| it["content"]["tags"].clone())
    };
    let first = client.next(0).await;
    assert!(tags(&first, &other).is_some() && tags(&first, &room).is_none(), "{}", first.json);
    client.body["lists"]["all"]["ranges"] = json!([[0, 9]]);
    let second = client.next(0).await;
    assert!(tags(&second, &room).is_some() && tags(&second, &other).is_none());
    client.body["lists"]["all"]["ranges"] = json!([[0, 0]]);
    client.settle().await;
    alice.put(path(["user", &alice.id, "rooms", &room, "tags", "u.y"])).ok().await;
    let found = client.until("the tag", |it| tags(it, &room)).await;
    assert!(found.get("u.y").is_some(), "what is not in the window now was given once");
}

async fn receipts_come_with_their_rooms(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let old = alice.say(&room, "old").await;
    let said = alice.say_many(&room, 12).await;
    let read = |user: &User, event: &str| {
        user.post(path(["rooms", &room, "receipt", "m.read", event])).ok()
    };
    read(&bob, &old).await;
    let mut body = list(&json!([[0, 9]]), 2, &json!([]));
    body["extensions"] = enabled(&["receipts"]);
    let mut client = alice.sliding(body);
    client.settle().await;
    let at = |slid: &Slid, event: &str, user: &User| {
        let content = slid.extension("receipts")["rooms"].get(&room)?["content"].clone();
        content.get(event)?["m.read"].get(&user.id).cloned()
    };
    let poll = client.lost(POLL_MS);
    let set = async {
        alice.get("/account/whoami").ok().await;
        read(&bob, &said[11]).await
    };
    let (woken, _) = tokio::join!(poll, set);
    assert!(at(&woken, &said[11], &bob).is_some(), "{}", woken.json);
    assert!(woken.room(&room).is_none(), "a receipt is no news of the room: {}", woken.json);
    // A client that begins is told of those who have read what it is shown.
    let fresh = alice.sliding(client.body.clone()).next(0).await;
    assert!(at(&fresh, &said[11], &bob).is_some(), "{}", fresh.json);
}

async fn typing_comes_and_goes(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut body = list(&json!([[0, 9]]), 1, &json!([]));
    body["extensions"] = enabled(&["typing"]);
    let mut client = settled(&alice, body).await;
    let typing = |is: bool| {
        let body = json!({ "typing": is, "timeout": 30_000 });
        bob.put(path(["rooms", &room, "typing", &bob.id])).json(&body).ok()
    };
    let users = |slid: &Slid| {
        let it = slid.extension("typing")["rooms"].get(&room)?;
        Some(it["content"]["user_ids"].clone())
    };
    typing(true).await;
    let found = client.until("that he types", |it| users(it)).await;
    assert_eq!(found, json!([bob.id]));
    typing(false).await;
    let found =
        client.until("that he does not", |it| users(it).filter(|it| *it == json!([]))).await;
    assert_eq!(found, json!([]));
    assert!(client.next(0).await.is_empty());
}

async fn extensions_keep_to_their_lists_and_rooms(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let (room, other) = (alice.public_room(&[&bob]).await, alice.public_room(&[&bob]).await);
    let settings = json!({ "timeline_limit": 1 });
    let mut body = list(&json!([[0, 9]]), 1, &json!([]));
    body["room_subscriptions"] = json!({ (&*room): settings });
    body["extensions"] = json!({ "typing": { "enabled": true, "lists": [], "rooms": ["*"] } });
    let mut client = settled(&alice, body).await;
    for it in [&other, &room] {
        let body = json!({ "typing": true, "timeout": 30_000 });
        bob.put(path(["rooms", it, "typing", &bob.id])).json(&body).ok().await;
    }
    let found = client
        .until("who types", |it| {
            let rooms = it.extension("typing")["rooms"].as_object()?.clone();
            (!rooms.is_empty()).then_some(rooms)
        })
        .await;
    assert_eq!(found.keys().collect::<Vec<_>>(), [&room]);
}

async fn key_counts_are_told(server: &Server) {
    let alice = User::register(server, "alice").await;
    let body = json!({ "extensions": enabled(&["e2ee"]) });
    let slid = alice.sliding(body.clone()).next(0).await;
    let e2ee = slid.extension("e2ee");
    assert_eq!(e2ee["device_one_time_keys_count"]["signed_curve25519"], 0);
    assert_eq!(e2ee["device_unused_fallback_key_types"], json!([]));
    assert_eq!(e2ee.get("device_lists"), None, "nothing has changed for who begins");
}

/// A room of both that is encrypted.
async fn encrypted(alice: &User, bob: &User) -> String {
    let encryption = json!({
        "type": "m.room.encryption", "state_key": "",
        "content": { "algorithm": "m.megolm.v1.aes-sha2" },
    });
    let options = json!({ "preset": "public_chat", "initial_state": [encryption] });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    room
}

fn changed(slid: &Slid, user: &User) -> Option<()> {
    let lists = &slid.extension("e2ee")["device_lists"]["changed"];
    lists.as_array()?.iter().any(|it| *it == user.id).then_some(())
}

async fn who_has_changed_their_devices_is_told_without_any_list(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = encrypted(&alice, &bob).await;
    let mut client = settled(
        &alice,
        json!({
            "conn_id": "encryption", "extensions": enabled(&["e2ee", "to_device"]),
        }),
    )
    .await;
    bob.upload_device_keys().await;
    client.until("that Bob has changed", |it| changed(it, &bob)).await;
    // What is said in the room is none of its business, and wakes it for nothing.
    bob.say(&room, "hello").await;
    let slid = client.next(500).await;
    assert!(slid.is_empty() && changed(&slid, &bob).is_none(), "{}", slid.json);
}

async fn who_comes_into_an_encrypted_room_is_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = encrypted(&alice, &bob).await;
    let mut body = list(&json!([[0, 9]]), 1, &json!([]));
    body["extensions"] = enabled(&["e2ee"]);
    let mut client = settled(&alice, body).await;
    carol.join(&room).await;
    client.until("that Carol has come", |it| changed(it, &carol)).await;
    carol.leave(&room).await;
    client
        .until("that Carol has left", |it| {
            let left = it.extension("e2ee")["device_lists"]["left"].as_array()?.clone();
            left.iter().any(|it| *it == carol.id).then_some(())
        })
        .await;
}

async fn push_rules_come_when_they_change_and_rooms_count_by_them(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut body = list(&json!([[0, 10]]), 10, &json!([]));
    body["extensions"] = enabled(&["account_data"]);
    let mut client = settled(&bob, body).await;
    let rule = format!("/pushrules/global/room/{}", encode(&room));
    let poll = client.lost(POLL_MS);
    let mute = async { bob.put(&rule).json(&json!({ "actions": [] })).ok().await };
    let (woken, _) = tokio::join!(poll, mute);
    let of_rooms = |slid: &Slid| {
        let global = slid.extension("account_data")["global"].as_array().cloned();
        let event = global.unwrap_or_default().into_iter().find(|it| it["type"] == "m.push_rules");
        event.map(|it| it["content"]["global"]["room"].clone())
    };
    assert_eq!(of_rooms(&woken).expect("the rules")[0]["rule_id"], room.as_str());
    assert!(of_rooms(&client.next(0).await).is_some(), "the answer was lost");
    assert!(client.next(0).await.is_empty(), "once");
    let said = alice.say(&room, "of no interest").await;
    let shown = client.until_event(&room, &said).await;
    assert_eq!(shown["notification_count"], 0);
    bob.delete(&rule).ok().await;
    let said = alice.say(&room, "of interest").await;
    let shown = client.until_event(&room, &said).await;
    assert_eq!(shown["notification_count"], 2);
}
