//! Dehydrated devices (MSC3814): who has no device is sent messages all the same, and their next
//! device finds them (S-C7, T16).

use crate::{
    keys_changes::changed,
    to_device::{send, sending},
};
use skerry_tests::{
    Host, Key, Options, Reply, Request, Server, User, Value, encode, json, keys::one_time_key_of,
    path, unique,
};

both_hosts![
    a_dehydrated_device_is_left_found_and_removed,
    sc7_its_keys_are_asked_for_and_claimed_as_any_devices,
    sc7_what_comes_while_nobody_is_logged_in_waits_for_the_next_device,
    messages_are_given_by_the_page_and_stay,
    a_new_one_takes_the_place_of_the_old,
    one_that_is_left_again_keeps_what_has_come,
    sc7_who_shares_an_encrypted_room_learns_of_each_change,
    it_goes_with_all_devices_and_not_with_one,
    t16_nobody_is_both_logged_in_and_dehydrated,
    t16_what_is_no_dehydrated_device_is_refused_and_nothing_changes,
    t16_nobody_sees_or_removes_anothers,
];

private_server![
    native_alone: Native => [a_dehydrated_device_outlives_a_restart],
    worker_alone: Worker => [a_dehydrated_device_outlives_a_restart],
];

const PATH: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";

/// An ID as clients choose it: a public key, with all that base64 has.
fn new_id() -> String {
    let mut id = unique("a/b+c");
    id.push_str(&"x".repeat(43_usize.saturating_sub(id.len())));
    id
}

/// What is uploaded of a device.
fn upload(user: &User, id: &str, key: &Key) -> Value {
    let mut keys = key.device(&user.id, id);
    keys["dehydrated"] = json!(true);
    let keys = key.sign(&strip(&keys), &user.id, &format!("ed25519:{id}"));
    json!({
        "device_id": id,
        "initial_device_display_name": "waiting",
        "device_data": { "algorithm": "org.matrix.msc3814.v2", "device_pickle": "cGlja2xl",
            "nonce": "bm9uY2U", "other": [1.5, null] },
        "device_keys": keys,
        "one_time_keys": { "signed_curve25519:A": one_time_key_of(&user.id, id, 1),
            "signed_curve25519:B": one_time_key_of(&user.id, id, 2) },
        "fallback_keys": { "signed_curve25519:F": one_time_key_of(&user.id, id, 3) },
    })
}

fn strip(keys: &Value) -> Value {
    let mut keys = keys.clone();
    keys.as_object_mut().expect("keys").remove("signatures");
    keys
}

async fn leave(user: &User, id: &str) -> Key {
    let key = Key::default();
    let left = user.put(PATH).json(&upload(user, id, &key)).ok().await;
    assert_eq!(left, json!({ "device_id": id }));
    key
}

async fn found(user: &User) -> Option<String> {
    let reply = user.get(PATH).send().await;
    if reply.status == 404 {
        reply.refused(404, "M_NOT_FOUND");
        return None;
    }
    Some(reply.ok()["device_id"].as_str().expect("an ID").to_owned())
}

fn events_path(id: &str) -> String {
    format!("{PATH}/{}/events", encode(id))
}

/// A page, as the first drafts have it.
fn posting(user: &User, id: &str, next_batch: Option<&str>) -> Request {
    let body = next_batch.map_or_else(|| json!({}), |it| json!({ "next_batch": it }));
    user.post(events_path(id)).json(&body)
}

fn numbers(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().expect("events").iter();
    events.map(|it| it["content"]["n"].as_u64().expect("a number")).collect()
}

async fn claim(by: &User, of: &User, id: &str) -> Option<String> {
    let asked = json!({ "one_time_keys": { (of.id.as_str()): { (id): "signed_curve25519" } } });
    let claimed = by.post("/keys/claim").json(&asked).ok().await;
    claimed["one_time_keys"][&of.id][id].as_object()?.keys().next().cloned()
}

async fn two(server: &Server) -> (User, User) {
    (User::register(server, "alice").await, User::register(server, "bob").await)
}

async fn a_dehydrated_device_is_left_found_and_removed(server: &Server) {
    let alice = User::register(server, "alice").await;
    let versions = alice.get("/_matrix/client/versions").ok().await;
    assert_eq!(versions["unstable_features"]["org.matrix.msc3814"], true, "{versions}");
    assert_eq!(found(&alice).await, None);
    alice.delete(PATH).refused(404, "M_NOT_FOUND").await;
    let id = new_id();
    let uploaded = upload(&alice, &id, &Key::default());
    alice.put(PATH).json(&uploaded).ok().await;
    let tablet = User::log_in(server, &alice.id).await;
    let given = tablet.get(PATH).ok().await;
    assert_eq!(given["device_data"], uploaded["device_data"], "{given}");
    assert_eq!(given["device_id"], id.as_str());
    // It stands among the devices, and nobody has been seen on it.
    let device = tablet.get(path(["devices", &id])).ok().await;
    assert_eq!(device["display_name"], "waiting", "{device}");
    assert_eq!((&device["last_seen_ts"], &device["last_seen_ip"]), (&Value::Null, &Value::Null));
    let devices = alice.get("/devices").ok().await;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(3), "{devices}");
    assert_eq!(tablet.delete(PATH).ok().await, json!({ "device_id": id }));
    assert_eq!(found(&alice).await, None);
    alice.get(path(["devices", &id])).refused(404, "M_NOT_FOUND").await;
    posting(&alice, &id, None).refused(403, "M_FORBIDDEN").await;
}

async fn sc7_its_keys_are_asked_for_and_claimed_as_any_devices(server: &Server) {
    let (alice, bob) = two(server).await;
    let (master, own) = (Key::default(), Key::default());
    let signing = json!({ "master_key": master.cross_signing(&alice.id, "master", None),
        "self_signing_key": own.cross_signing(&alice.id, "self_signing", Some(&master)) });
    alice.post("/keys/device_signing/upload").json(&signing).ok().await;
    let id = new_id();
    let mut uploaded = upload(&alice, &id, &Key::default());
    // Signed at once: nobody is on the device who could ask for it later.
    let signed = own.sign(&uploaded["device_keys"], &alice.id, &own.id());
    uploaded["device_keys"] = signed.clone();
    alice.put(PATH).json(&uploaded).ok().await;
    let given = bob.query_keys(&[&alice.id]).await;
    let mut given = given["device_keys"][&alice.id][&id].clone();
    assert_eq!(given["dehydrated"], true, "{given}");
    assert_eq!(given["unsigned"]["device_display_name"], "waiting", "{given}");
    given.as_object_mut().expect("keys").remove("unsigned");
    assert_eq!(given, signed);
    for expected in ["A", "B", "F", "F"] {
        let claimed = claim(&bob, &alice, &id).await;
        assert_eq!(claimed, Some(format!("signed_curve25519:{expected}")));
    }
    // A signature that is none is not handed on.
    let id = new_id();
    let mut uploaded = upload(&alice, &id, &Key::default());
    uploaded["device_keys"]["signatures"][&alice.id][own.id()] = json!("AAAA");
    alice.put(PATH).json(&uploaded).ok().await;
    let given = bob.query_keys(&[&alice.id]).await;
    let signatures = &given["device_keys"][&alice.id][&id]["signatures"][&alice.id];
    assert_eq!(signatures.as_object().map(serde_json::Map::len), Some(1), "{given}");
    // It is signed later as any device is, by one that is logged in.
    let mut signed = strip_unsigned(&given["device_keys"][&alice.id][&id]);
    signed = own.sign(&signed, &alice.id, &own.id());
    let signatures = json!({ (alice.id.as_str()): { (id.as_str()): signed } });
    let refused = alice.post("/keys/signatures/upload").json(&signatures).ok().await;
    assert_eq!(refused.get("failures"), None, "{refused}");
}

fn strip_unsigned(keys: &Value) -> Value {
    let mut keys = keys.clone();
    keys.as_object_mut().expect("keys").remove("unsigned");
    keys
}

async fn sc7_what_comes_while_nobody_is_logged_in_waits_for_the_next_device(server: &Server) {
    let (alice, bob) = two(server).await;
    let id = new_id();
    leave(&alice, &id).await;
    alice.post("/logout").ok().await;
    send(&bob, &alice, &id, 1).await;
    send(&bob, &alice, "*", 2).await;
    send(&bob, &alice, &alice.device, 3).await;
    let anew = User::log_in(server, &alice.id).await;
    assert_eq!(found(&anew).await.as_deref(), Some(&*id));
    let page = posting(&anew, &id, None).ok().await;
    assert_eq!(numbers(&page), [1, 2]);
    let expected = json!({ "type": "m.test", "sender": bob.id, "content": { "n": 1 } });
    assert_eq!(page["events"][0], expected);
    let last = posting(&anew, &id, page["next_batch"].as_str()).ok().await;
    assert_eq!((numbers(&last), &last["next_batch"]), (Vec::new(), &page["next_batch"]));
    // Its own inbox is another.
    assert_eq!(anew.sync().get().await.json["to_device"]["events"], json!([]));
    anew.delete(PATH).ok().await;
    send(&bob, &alice, "*", 4).await;
    assert_eq!(found(&anew).await, None);
}

async fn messages_are_given_by_the_page_and_stay(server: &Server) {
    let (alice, bob) = two(server).await;
    let id = new_id();
    leave(&alice, &id).await;
    for number in 0..250 {
        send(&bob, &alice, &id, number).await;
    }
    let all: Vec<u64> = (0..250).collect();
    for _ in 0..2 {
        // Again from the start, as somebody does who was interrupted.
        let (mut given, mut from, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let page = posting(&alice, &id, from.as_deref()).ok().await;
            if numbers(&page).is_empty() {
                break;
            }
            given.extend(numbers(&page));
            from = page["next_batch"].as_str().map(ToOwned::to_owned);
            pages += 1;
        }
        assert_eq!((&given, pages), (&all, 3));
        // As later drafts have it: the last page has no token.
        let (mut given, mut from, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let mut request = alice.get(events_path(&id)).query("limit", 60);
            if let Some(from) = &from {
                request = request.query("from", from);
            }
            let page = request.ok().await;
            given.extend(numbers(&page));
            pages += 1;
            match page.get("next_batch") {
                Some(token) => from = Some(token.as_str().expect("a token").to_owned()),
                None => break,
            }
        }
        assert_eq!((&given, pages), (&all, 5));
    }
    let page = alice.get(events_path(&id)).query("limit", 1_000_000).ok().await;
    assert_eq!(numbers(&page).len(), 100);
    let page = alice.get(events_path(&id)).query("limit", 0).ok().await;
    assert_eq!(numbers(&page), [0], "a page without events would look like the end");
}

async fn a_new_one_takes_the_place_of_the_old(server: &Server) {
    let (alice, bob) = two(server).await;
    let (old, new) = (new_id(), new_id());
    leave(&alice, &old).await;
    send(&bob, &alice, &old, 1).await;
    leave(&alice, &new).await;
    send(&bob, &alice, &old, 2).await;
    send(&bob, &alice, "*", 3).await;
    assert_eq!(found(&alice).await.as_deref(), Some(&*new));
    posting(&alice, &old, None).refused(403, "M_FORBIDDEN").await;
    assert_eq!(numbers(&posting(&alice, &new, None).ok().await), [3]);
    assert_eq!(claim(&bob, &alice, &old).await, None);
    let given = bob.query_keys(&[&alice.id]).await;
    let devices = given["device_keys"][&alice.id].as_object().expect("devices");
    assert_eq!(devices.keys().collect::<Vec<_>>(), [&new]);
    alice.get(path(["devices", &old])).refused(404, "M_NOT_FOUND").await;
    // Another device of the same name is another device.
    leave(&alice, &new).await;
    assert_eq!(numbers(&posting(&alice, &new, None).ok().await), [0; 0]);
    assert_eq!(claim(&bob, &alice, &new).await.as_deref(), Some("signed_curve25519:A"));
}

async fn one_that_is_left_again_keeps_what_has_come(server: &Server) {
    let (alice, bob) = two(server).await;
    let id = new_id();
    let uploaded = upload(&alice, &id, &Key::default());
    alice.put(PATH).json(&uploaded).ok().await;
    send(&bob, &alice, &id, 1).await;
    assert_eq!(claim(&bob, &alice, &id).await.as_deref(), Some("signed_curve25519:A"));
    // The answer was lost.
    alice.put(PATH).json(&uploaded).ok().await;
    assert_eq!(numbers(&posting(&alice, &id, None).ok().await), [1]);
    let claimed = claim(&bob, &alice, &id).await;
    assert_eq!(claimed.as_deref(), Some("signed_curve25519:B"), "no key comes again");
}

async fn sc7_who_shares_an_encrypted_room_learns_of_each_change(server: &Server) {
    let (alice, bob) = two(server).await;
    let room = alice.public_room(&[&bob]).await;
    alice.encrypt(&room).await;
    let mut watch = bob.watch().await;
    leave(&alice, &new_id()).await;
    changed(&mut watch, &alice).await;
    leave(&alice, &new_id()).await;
    changed(&mut watch, &alice).await;
    alice.delete(PATH).ok().await;
    changed(&mut watch, &alice).await;
    let given = bob.query_keys(&[&alice.id]).await;
    assert_eq!(given["device_keys"][&alice.id], json!({}), "{given}");
}

async fn it_goes_with_all_devices_and_not_with_one(server: &Server) {
    let (alice, bob) = two(server).await;
    let id = new_id();
    leave(&alice, &id).await;
    alice.post("/logout").ok().await;
    let mut user = User::log_in(server, &alice.id).await;
    assert_eq!(found(&user).await.as_deref(), Some(&*id), "one device has logged out");
    user.post("/logout/all").ok().await;
    user = User::log_in(server, &alice.id).await;
    assert_eq!(found(&user).await, None, "all devices have");
    leave(&user, &id).await;
    let change = json!({ "new_password": skerry_tests::PASSWORD, "logout_devices": true });
    user.post("/account/password").uia(change, user.password_auth()).await.ok();
    assert_eq!(found(&user).await, None, "all others have");
    leave(&user, &id).await;
    let body = json!({ "devices": [id] });
    user.post("/delete_devices").uia(body, user.password_auth()).await.ok();
    assert_eq!(found(&user).await, None, "it was deleted as any device is");
    let given = bob.query_keys(&[&alice.id]).await;
    assert_eq!(given["device_keys"][&alice.id], json!({}), "{given}");
    leave(&user, &id).await;
    user.post("/account/deactivate").uia(json!({}), user.password_auth()).await.ok();
    assert_eq!(claim(&bob, &alice, &id).await, None);
}

async fn t16_nobody_is_both_logged_in_and_dehydrated(server: &Server) {
    let alice = User::register(server, "alice").await;
    let id = new_id();
    leave(&alice, &id).await;
    let mut login = alice.password_auth();
    login["device_id"] = json!(id);
    alice.post("/login").json(&login).refused(403, "M_FORBIDDEN").await;
    let own = upload(&alice, &alice.device, &Key::default());
    alice.put(PATH).json(&own).refused(403, "M_FORBIDDEN").await;
    assert_eq!(found(&alice).await.as_deref(), Some(&*id));
    // Nor is one named as a key that signs devices.
    let master = Key::default();
    let signing = json!({ "master_key": master.cross_signing(&alice.id, "master", None) });
    alice.post("/keys/device_signing/upload").json(&signing).ok().await;
    let named = upload(&alice, &master.public(), &Key::default());
    alice.put(PATH).json(&named).refused(403, "M_FORBIDDEN").await;
    assert_eq!(found(&alice).await.as_deref(), Some(&*id));
}

async fn t16_what_is_no_dehydrated_device_is_refused_and_nothing_changes(server: &Server) {
    let (alice, bob) = two(server).await;
    let id = new_id();
    leave(&alice, &id).await;
    send(&bob, &alice, &id, 1).await;
    let good = upload(&alice, &new_id(), &Key::default());
    let new = good["device_id"].as_str().expect("an ID");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let without = |field: &str| {
        let mut body = good.clone();
        body.as_object_mut().expect("a body").remove(field);
        body
    };
    let mut forged = good["device_keys"].clone();
    forged["algorithms"] = json!([]);
    let many =
        (0..501).map(|it| (format!("signed_curve25519:{it}"), one_time_key_of(&alice.id, new, it)));
    let long = json!({ "algorithm": "a", "x": "x".repeat(64 * 1024) });
    let refused = [
        (without("device_id"), 400),
        (without("device_data"), 400),
        (without("device_keys"), 400),
        (with("device_id", json!(7)), 400),
        (with("device_id", json!("")), 400),
        (with("device_id", json!("x".repeat(256))), 400),
        (with("device_id", json!("another")), 400),
        (with("device_data", json!("text")), 400),
        (with("device_data", json!([])), 400),
        (with("device_data", json!({ "device_pickle": "x" })), 400),
        (with("device_data", json!({ "algorithm": 1 })), 400),
        (with("device_data", long), 413),
        (with("initial_device_display_name", json!("x".repeat(257))), 400),
        (with("initial_device_display_name", json!([])), 400),
        (with("device_keys", json!({})), 400),
        (with("device_keys", json!("x")), 400),
        (with("device_keys", forged), 400),
        (with("device_keys", Key::default().device(&bob.id, new)), 400),
        (with("one_time_keys", json!({ "signed_curve25519:A": {} })), 400),
        (with("one_time_keys", json!({ "A": "x" })), 400),
        (with("one_time_keys", many.collect::<serde_json::Map<_, _>>().into()), 413),
        (with("fallback_keys", json!({ "a:A": "x", "a:B": "x" })), 400),
    ];
    for (body, status) in refused {
        let reply: Reply = alice.put(PATH).json(&body).send().await;
        assert_eq!(reply.status, status, "{reply}");
        reply.client_error();
    }
    alice.put(PATH).text("[]").refused(400, "M_BAD_JSON").await;
    alice.put(PATH).text("{").refused(400, "M_NOT_JSON").await;
    for token in ["x", "-1", "1.5", "99999999999999999999", " 1"] {
        posting(&alice, &id, Some(token)).refused(400, "M_INVALID_PARAM").await;
        let request = alice.get(events_path(&id)).query("from", token);
        request.refused(400, "M_INVALID_PARAM").await;
    }
    for limit in ["x", "-1", "1.5"] {
        let request = alice.get(events_path(&id)).query("limit", limit);
        request.refused(400, "M_INVALID_PARAM").await;
    }
    let body = json!({ "next_batch": 7 });
    alice.post(events_path(&id)).json(&body).refused(400, "M_BAD_JSON").await;
    let beyond = posting(&alice, &id, Some("9007199254740991")).ok().await;
    assert_eq!(numbers(&beyond), [0; 0]);
    assert_eq!(found(&alice).await.as_deref(), Some(&*id));
    assert_eq!(numbers(&posting(&alice, &id, None).ok().await), [1]);
    assert_eq!(claim(&bob, &alice, new).await, None, "nothing is half done");
}

async fn t16_nobody_sees_or_removes_anothers(server: &Server) {
    let (alice, bob) = two(server).await;
    let id = new_id();
    leave(&alice, &id).await;
    send(&bob, &alice, &id, 1).await;
    assert_eq!(found(&bob).await, None);
    bob.delete(PATH).refused(404, "M_NOT_FOUND").await;
    posting(&bob, &id, None).refused(403, "M_FORBIDDEN").await;
    bob.get(events_path(&id)).refused(403, "M_FORBIDDEN").await;
    // Nor are the messages of a device that is logged in to be had there.
    send(&bob, &alice, &alice.device, 2).await;
    posting(&alice, &alice.device, None).refused(403, "M_FORBIDDEN").await;
    // Each has their own of that name.
    leave(&bob, &id).await;
    let messages = json!({ (bob.id.as_str()): { (id.as_str()): { "n": 3 } } });
    sending(&alice, &unique("txn"), &messages).ok().await;
    assert_eq!(numbers(&posting(&bob, &id, None).ok().await), [3]);
    assert_eq!(numbers(&posting(&alice, &id, None).ok().await), [1]);
    let stranger = skerry_tests::Client::new(server.url());
    for request in [stranger.get(PATH), stranger.put(PATH), stranger.delete(PATH)] {
        request.refused(401, "M_MISSING_TOKEN").await;
    }
    stranger.get(events_path(&id)).refused(401, "M_MISSING_TOKEN").await;
}

async fn a_dehydrated_device_outlives_a_restart(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (alice, bob) = two(&server).await;
    let id = new_id();
    leave(&alice, &id).await;
    alice.post("/logout").ok().await;
    send(&bob, &alice, &id, 1).await;
    server.restart();
    let bob = bob.at(&server);
    send(&bob, &alice, "*", 2).await;
    let anew = User::log_in(&server, &alice.id).await;
    assert_eq!(found(&anew).await.as_deref(), Some(&*id));
    assert_eq!(numbers(&posting(&anew, &id, None).ok().await), [1, 2]);
    assert_eq!(claim(&bob, &alice, &id).await.as_deref(), Some("signed_curve25519:A"));
}
