//! Keys and devices between servers (F12, T16).

use crate::federation_sending::{SEND, accept, shared};
use skerry_tests::{
    Key, PATIENCE, Server, Sync, User, Value, json,
    keys::{one_time, one_time_keys},
    peer::PeerRoom,
    remote::Remote,
    unique,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

both_hosts![
    f12_another_server_is_given_keys,
    t16_another_server_claims_a_key_once,
    f12_keys_of_another_server_are_asked_for,
    t16_of_another_servers_answer_only_what_was_asked_is_believed,
    sc7_keys_are_claimed_at_another_server,
    f12_a_server_that_does_not_answer_is_a_failure,
    f12_a_change_at_another_server_is_told,
    t9b_nobody_tells_of_changes_of_others_users,
    f12_changes_are_told_to_servers_in_encrypted_rooms,
    t16_servers_without_an_encrypted_room_are_told_nothing,
];

const QUERY: &str = "/_matrix/federation/v1/user/keys/query";
const CLAIM: &str = "/_matrix/federation/v1/user/keys/claim";

/// An encrypted room of Alice's that Carol of another server has joined.
async fn with_carol(remote: &Remote, server: &Server) -> (User, PeerRoom, String) {
    accept(remote);
    let (alice, mut rooms) = shared(&[remote], server).await;
    let room = rooms.remove(0);
    alice.encrypt(&room.id).await;
    (alice, room, remote.peer.user("carol"))
}

async fn f12_another_server_is_given_keys(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let key = alice.upload_device_keys().await;
    let rename = alice.put(format!("/devices/{}", alice.device));
    rename.json(&json!({ "display_name": "not for others" })).ok().await;
    let master = Key::default().cross_signing(&alice.id, "master", None);
    alice.post("/keys/device_signing/upload").json(&json!({ "master_key": master })).ok().await;
    let expected = key.device(&alice.id, &alice.device);
    let asked = json!({ "device_keys": { (alice.id.as_str()): [],
        (remote.peer.user("carol")): [] } });
    let found = remote.post(server, QUERY, &asked).ok().await;
    assert_eq!(
        found["device_keys"],
        json!({ (alice.id.as_str()): { (alice.device.as_str()): expected } })
    );
    assert_eq!(found["master_keys"][&alice.id], master, "{found}");
    let path = format!("/_matrix/federation/v1/user/devices/{}", alice.id);
    let list = remote.get(server, &path).ok().await;
    assert_eq!(list["user_id"], alice.id.as_str());
    assert!(list["stream_id"].as_u64().is_some_and(|it| it > 0), "{list}");
    let device = json!({ "device_id": alice.device, "keys": expected });
    assert_eq!((&list["devices"], &list["master_key"]), (&json!([device]), &master), "{list}");
    let other = format!("/_matrix/federation/v1/user/devices/{}", remote.peer.user("carol"));
    remote.get(server, &other).refused(404, "M_NOT_FOUND").await;
}

/// T16
async fn t16_another_server_claims_a_key_once(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let keys = json!({ "one_time_keys": one_time_keys(&alice, 0..1) });
    alice.post("/keys/upload").json(&keys).ok().await;
    let asked = json!({ "one_time_keys": { (alice.id.as_str()): { (alice.device.as_str()):
        "signed_curve25519" } } });
    let claimed = remote.post(server, CLAIM, &asked).ok().await;
    let key = &claimed["one_time_keys"][&alice.id][&alice.device]["signed_curve25519:000000"];
    assert_eq!(*key, one_time(&alice, 0), "{claimed}");
    let none = remote.post(server, CLAIM, &asked).ok().await;
    assert_eq!(none, json!({ "one_time_keys": {} }));
}

async fn f12_keys_of_another_server_are_asked_for(server: &Server) {
    let remote = Remote::start();
    let (alice, carol) = (User::register(server, "alice").await, remote.peer.user("carol"));
    let mut device = Key::default().device(&carol, "CAROL");
    device["unsigned"] = json!({ "device_display_name": "Carol's" });
    let master = Key::default().cross_signing(&carol, "master", None);
    let answer = json!({ "device_keys": { (carol.as_str()): { "CAROL": device } },
        "master_keys": { (carol.as_str()): master } });
    remote.answer(QUERY, move |_| (200, answer.clone()));
    let found = alice.query_keys(&[&carol, &alice.id]).await;
    assert_eq!(found["device_keys"][&carol]["CAROL"], device, "{found}");
    assert_eq!(found["master_keys"][&carol], master, "{found}");
    assert!(found["device_keys"].get(&alice.id).is_some() && found.get("failures").is_none());
}

/// T16
async fn t16_of_another_servers_answer_only_what_was_asked_is_believed(server: &Server) {
    let remote = Remote::start();
    let (alice, carol) = (User::register(server, "alice").await, remote.peer.user("carol"));
    let (mallory, key) = (remote.peer.user("mallory"), Key::default());
    let answer = json!({
        "device_keys": {
            (carol.as_str()): {
                "GOOD": key.device(&carol, "GOOD"),
                "OTHER": key.device(&carol, "GOOD"),
                "STOLEN": key.device(&alice.id, "STOLEN"),
            },
            (alice.id.as_str()): { "FORGED": key.device(&alice.id, "FORGED") },
            (mallory.as_str()): { "M": key.device(&mallory, "M") },
        },
        "master_keys": { (carol.as_str()): key.cross_signing(&mallory, "master", None),
            (alice.id.as_str()): key.cross_signing(&alice.id, "master", None) },
    });
    remote.answer(QUERY, move |_| (200, answer.clone()));
    let found = alice.query_keys(&[&carol, &alice.id]).await;
    let expected = json!({ "GOOD": key.device(&carol, "GOOD") });
    let expected = json!({ (carol.as_str()): expected, (alice.id.as_str()): {} });
    assert_eq!(found["device_keys"], expected, "{found}");
    assert!(found.get("master_keys").is_none(), "{found}");
}

async fn sc7_keys_are_claimed_at_another_server(server: &Server) {
    let remote = Remote::start();
    let (alice, carol) = (User::register(server, "alice").await, remote.peer.user("carol"));
    let key = json!({ "key": "abc",
        "signatures": { (carol.as_str()): { "ed25519:CAROL": "sig" } } });
    let given = json!({ "CAROL": { "signed_curve25519:A": key }, "OTHER": { "x:A": "y" } });
    let answer = json!({ "one_time_keys": { (carol.as_str()): given } });
    remote.answer(CLAIM, move |_| (200, answer.clone()));
    let asked = json!({ "one_time_keys": { (carol.as_str()): { "CAROL": "signed_curve25519" } } });
    let claimed = alice.post("/keys/claim").json(&asked).ok().await;
    let expected = json!({ (carol.as_str()): { "CAROL": { "signed_curve25519:A": key } } });
    assert_eq!(claimed["one_time_keys"], expected, "{claimed}");
}

async fn f12_a_server_that_does_not_answer_is_a_failure(server: &Server) {
    let (good, bad) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let (carol, dave) = (good.peer.user("carol"), bad.peer.user("dave"));
    let answer = json!({ "device_keys": { (carol.as_str()): {} } });
    good.answer(QUERY, move |_| (200, answer.clone()));
    bad.answer(QUERY, |_| (500, json!({ "errcode": "M_UNKNOWN", "error": "no" })));
    let found = alice.query_keys(&[&carol, &dave]).await;
    let failures = found["failures"].as_object().expect("failures");
    assert_eq!(failures.keys().collect::<Vec<_>>(), [&bad.peer.name], "{found}");
    assert!(found["device_keys"].get(&carol).is_some(), "{found}");
    let asked = json!({ "one_time_keys": { (dave.as_str()): { "D": "signed_curve25519" } } });
    let claimed = alice.post("/keys/claim").json(&asked).ok().await;
    assert!(claimed["failures"].get(&bad.peer.name).is_some(), "{claimed}");
}

/// Sends EDUs of a server.
async fn send(remote: &Remote, server: &Server, edus: &[Value]) {
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [],
        "edus": edus });
    remote.put(server, &format!("{SEND}{}", unique("txn")), &body).ok().await;
}

fn update(user: &str, stream_id: u64) -> Value {
    let content = json!({ "user_id": user, "device_id": "CAROL", "stream_id": stream_id });
    json!({ "edu_type": "m.device_list_update", "content": content })
}

fn is_changed(sync: &Sync, user: &str) -> Option<()> {
    let changed = sync.json["device_lists"]["changed"].as_array()?;
    changed.iter().any(|it| it == user).then_some(())
}

async fn f12_a_change_at_another_server_is_told(server: &Server) {
    let remote = Remote::start();
    let (alice, room, carol) = with_carol(&remote, server).await;
    let last = alice.say(&room.id, "so far").await;
    let sync = alice.sync().until_event(&room.id, &last).await;
    let mut watch = skerry_tests::Watch::from(&alice, sync.next_batch());
    let keys = |kind: &str| json!({ "edu_type": kind, "content": { "user_id": carol } });
    for edu in [
        update(&carol, 1),
        keys("m.signing_key_update"),
        keys("org.matrix.signing_key_update"),
        update(&carol, 2),
    ] {
        send(&remote, server, &[json!({ "edu_type": "m.device_list_update" }), edu]).await;
        watch.until("the change of Carol's devices", |it| is_changed(it, &carol)).await;
    }
}

async fn t9b_nobody_tells_of_changes_of_others_users(server: &Server) {
    let (remote, other) = (Remote::start(), Remote::start());
    let (alice, room, carol) = with_carol(&remote, server).await;
    let last = alice.say(&room.id, "so far").await;
    let sync = alice.sync().until_event(&room.id, &last).await;
    let mut watch = skerry_tests::Watch::from(&alice, sync.next_batch());
    send(&other, server, &[update(&carol, 1), update(&alice.id, 1)]).await;
    let stranger = remote.peer.user("stranger");
    send(&remote, server, &[update(&stranger, 1), update(&alice.id, 1)]).await;
    let last = alice.say(&room.id, "after it").await;
    watch
        .until("what is said after it", |sync| {
            assert!(sync.json.get("device_lists").is_none(), "{}", sync.json);
            sync.joined(&room.id)?.event(&last).cloned()
        })
        .await;
}

/// What a server was told of a user's devices and keys, each update once.
fn told(remote: &Remote, user: &str) -> Vec<Value> {
    let bodies = remote.asked(SEND).into_iter();
    let bodies = bodies.map(|it| serde_json::from_slice::<Value>(&it.body).expect("JSON"));
    let edus = bodies.flat_map(|it| it["edus"].as_array().cloned().unwrap_or_default());
    let mut told = Vec::new();
    for edu in edus.filter(|it| it["content"]["user_id"] == user && it["edu_type"] != "m.typing") {
        if !told.contains(&edu) {
            told.push(edu);
        }
    }
    told
}

async fn until_told(remote: &Remote, user: &str, count: usize) -> Vec<Value> {
    let found = async {
        while told(remote, user).len() < count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(PATIENCE, found).await;
    let told = told(remote, user);
    found.unwrap_or_else(|_| panic!("{told:?}"));
    told
}

async fn f12_changes_are_told_to_servers_in_encrypted_rooms(server: &Server) {
    let remote = Remote::start();
    let (alice, room, _) = with_carol(&remote, server).await;
    let key = alice.upload_device_keys().await;
    let first = until_told(&remote, &alice.id, 1).await.remove(0);
    assert_eq!(first["edu_type"], "m.device_list_update");
    let content = &first["content"];
    assert_eq!(content["device_id"], alice.device.as_str());
    assert_eq!(content["keys"], key.device(&alice.id, &alice.device), "{content}");
    let tablet = User::log_in(server, &alice.id).await;
    tablet.upload_device_keys().await;
    let second = until_told(&remote, &alice.id, 2).await.remove(1);
    assert_eq!(second["content"]["device_id"], tablet.device.as_str());
    assert_eq!(second["content"]["prev_id"], json!([content["stream_id"]]), "{second}");
    tablet.post("/logout").json(&json!({})).ok().await;
    let third = until_told(&remote, &alice.id, 3).await.remove(2);
    assert_eq!(third["content"]["deleted"], true, "{third}");
    assert_eq!(third["content"]["prev_id"], json!([second["content"]["stream_id"]]), "{third}");
    let master = Key::default().cross_signing(&alice.id, "master", None);
    alice.post("/keys/device_signing/upload").json(&json!({ "master_key": master })).ok().await;
    let fourth = until_told(&remote, &alice.id, 4).await.remove(3);
    assert_eq!(fourth["edu_type"], "m.signing_key_update", "{fourth}");
    assert_eq!(fourth["content"]["master_key"], master);
    // Who joins tells of their devices too.
    let bob = User::register(server, "bob").await;
    bob.upload_device_keys().await;
    bob.join(&room.id).await;
    until_told(&remote, &bob.id, 1).await;
}

/// T16
async fn t16_servers_without_an_encrypted_room_are_told_nothing(server: &Server) {
    let remote = Remote::start();
    accept(&remote);
    let (alice, rooms) = shared(&[&remote], server).await;
    alice.upload_device_keys().await;
    alice.say(&rooms[0].id, "after it").await;
    remote.until(SEND, |it| String::from_utf8_lossy(&it.body).contains("after it")).await;
    assert_eq!(told(&remote, &alice.id), Vec::<Value>::new());
}
