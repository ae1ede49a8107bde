//! Keys for end-to-end encryption on one server (T16, S-C7).

use skerry_tests::{
    Server, User, Value, json,
    keys::{Key, one_time, one_time_keys},
};
use std::collections::BTreeSet;

both_hosts![
    sc7_what_a_device_uploads_is_given_to_others,
    sc7_keys_of_another_user_or_device_are_refused,
    sc7_bad_keys_are_refused_and_nothing_is_half_written,
    sc7_a_key_of_the_same_name_is_the_same_key,
    sc7_keys_are_claimed_in_the_order_of_uploads,
    t16_a_hundred_claims_at_once_on_fifty_keys,
    t16_a_claimed_key_does_not_come_again,
    sc7_a_fallback_key_is_used_last_and_that_is_told,
    sc7_counts_are_in_every_answer_of_sync,
    sc7_cross_signing_keys_are_uploaded_once_without_a_password,
    t16_the_user_signing_key_is_for_its_owner,
    sc7_own_signatures_are_seen_by_all,
    t16_signatures_of_others_keys_are_for_their_maker,
    sc7_a_device_that_is_gone_has_no_keys,
    t16_who_is_not_there_has_no_keys,
    sc7_a_thousand_users_are_asked_for_keys_by_one_request,
];

async fn upload(user: &User, keys: &Value) -> Value {
    user.post("/keys/upload").json(keys).ok().await
}

async fn claim(by: &User, of: &User) -> Value {
    let asked = json!({ "one_time_keys": { (of.id.as_str()): { (of.device.as_str()):
        "signed_curve25519" } } });
    by.post("/keys/claim").json(&asked).ok().await
}

/// The name of the one key that was claimed.
fn name(claimed: &Value, of: &User) -> String {
    let keys = claimed["one_time_keys"][&of.id][&of.device].as_object();
    let keys = keys.unwrap_or_else(|| panic!("no key: {claimed}"));
    assert_eq!(keys.len(), 1, "{claimed}");
    keys.keys().next().cloned().unwrap_or_default()
}

async fn two(server: &Server) -> (User, User) {
    (User::register(server, "alice").await, User::register(server, "bob").await)
}

async fn sc7_what_a_device_uploads_is_given_to_others(server: &Server) {
    let (alice, bob) = two(server).await;
    let keys = Key::default().device(&alice.id, &alice.device);
    let counts = upload(
        &alice,
        &json!({ "device_keys": keys,
        "one_time_keys": one_time_keys(&alice, 0..3) }),
    )
    .await;
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 3, "{counts}");
    let rename = alice.put(format!("/devices/{}", alice.device));
    rename.json(&json!({ "display_name": "Alice's \"phone\"" })).ok().await;
    let found = bob.query_keys(&[&alice.id]).await;
    let mut given = found["device_keys"][&alice.id][&alice.device].clone();
    assert_eq!(given["unsigned"]["device_display_name"], "Alice's \"phone\"", "{found}");
    given.as_object_mut().expect("keys").remove("unsigned");
    assert_eq!(given, keys);
    let asked = json!({ "device_keys": { (alice.id.as_str()): ["OTHER"] } });
    let other = bob.post("/keys/query").json(&asked).ok().await;
    assert_eq!(other["device_keys"][&alice.id], json!({}), "{other}");
}

async fn sc7_keys_of_another_user_or_device_are_refused(server: &Server) {
    let (alice, bob) = two(server).await;
    let key = Key::default();
    for (user, device) in [(&*bob.id, &*alice.device), (&*alice.id, "OTHER")] {
        let keys = json!({ "device_keys": key.device(user, device) });
        alice.post("/keys/upload").json(&keys).refused(400, "M_INVALID_PARAM").await;
    }
    let mut forged = key.device(&alice.id, &alice.device);
    forged["algorithms"] = json!([]);
    let keys = json!({ "device_keys": forged });
    alice.post("/keys/upload").json(&keys).refused(400, "M_INVALID_SIGNATURE").await;
    let found = bob.query_keys(&[&alice.id]).await;
    assert_eq!(found["device_keys"][&alice.id], json!({}), "{found}");
}

async fn sc7_bad_keys_are_refused_and_nothing_is_half_written(server: &Server) {
    let (alice, bob) = two(server).await;
    let good = one_time(&alice, 1);
    let large = json!({ "key": "x".repeat(5_000), "signatures": good["signatures"] });
    let many = one_time_keys(&alice, 0..501);
    let bad = [
        (json!({ "signed_curve25519:A": good, "signed_curve25519:B": "text" }), 400),
        (json!({ "signed_curve25519:A": good, "signed_curve25519:B": { "key": "x" } }), 400),
        (json!({ "signed_curve25519:A": good, "curve25519:B": large }), 413),
        (many, 413),
    ];
    let keys = Key::default().device(&alice.id, &alice.device);
    for (one_time, status) in bad {
        let body = json!({ "device_keys": keys, "one_time_keys": one_time });
        let reply = alice.post("/keys/upload").json(&body).send().await;
        assert_eq!(reply.status, status, "{reply}");
        reply.client_error();
    }
    let twice =
        json!({ "fallback_keys": { "signed_curve25519:A": good, "signed_curve25519:B": good } });
    alice.post("/keys/upload").json(&twice).refused(400, "M_INVALID_PARAM").await;
    let counts = upload(&alice, &json!({})).await;
    assert_eq!(counts["one_time_key_counts"], json!({ "signed_curve25519": 0 }));
    let found = bob.query_keys(&[&alice.id]).await;
    assert_eq!(found["device_keys"][&alice.id], json!({}), "{found}");
    // As many as a device may have, and not one more.
    for page in [0..500, 500..1_000] {
        upload(&alice, &json!({ "one_time_keys": one_time_keys(&alice, page) })).await;
    }
    let more = json!({ "one_time_keys": one_time_keys(&alice, 1_000..1_001) });
    alice.post("/keys/upload").json(&more).refused(413, "M_TOO_LARGE").await;
}

async fn sc7_a_key_of_the_same_name_is_the_same_key(server: &Server) {
    let alice = User::register(server, "alice").await;
    let keys = json!({ "one_time_keys": one_time_keys(&alice, 0..2) });
    upload(&alice, &keys).await;
    let again = upload(&alice, &keys).await;
    assert_eq!(again["one_time_key_counts"]["signed_curve25519"], 2, "{again}");
    let other = json!({ "one_time_keys": { "signed_curve25519:000000": one_time(&alice, 9),
        "signed_curve25519:new": one_time(&alice, 10) } });
    alice.post("/keys/upload").json(&other).refused(400, "M_INVALID_PARAM").await;
    let after = upload(&alice, &json!({})).await;
    assert_eq!(after["one_time_key_counts"]["signed_curve25519"], 2, "{after}");
}

async fn sc7_keys_are_claimed_in_the_order_of_uploads(server: &Server) {
    let (alice, bob) = two(server).await;
    let first = json!({ "signed_curve25519:zzz": one_time(&alice, 1) });
    upload(&alice, &json!({ "one_time_keys": first })).await;
    let second = json!({ "signed_curve25519:aaa": one_time(&alice, 2) });
    upload(&alice, &json!({ "one_time_keys": second })).await;
    let claimed = claim(&bob, &alice).await;
    assert_eq!(name(&claimed, &alice), "signed_curve25519:zzz");
    let key = &claimed["one_time_keys"][&alice.id][&alice.device]["signed_curve25519:zzz"];
    assert_eq!(*key, one_time(&alice, 1));
    assert_eq!(name(&claim(&bob, &alice).await, &alice), "signed_curve25519:aaa");
    let none = claim(&bob, &alice).await;
    assert_eq!((&none["one_time_keys"], &none["failures"]), (&json!({}), &Value::Null), "{none}");
}

async fn t16_a_hundred_claims_at_once_on_fifty_keys(server: &Server) {
    let (alice, bob) = two(server).await;
    let fallback = json!({ "signed_curve25519:fallback": one_time(&alice, 1_000) });
    let keys = json!({ "one_time_keys": one_time_keys(&alice, 0..50), "fallback_keys": fallback });
    upload(&alice, &keys).await;
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (alice, bob) = (alice.clone(), bob.clone());
        claims.spawn(async move { name(&claim(&bob, &alice).await, &alice) });
    }
    let mut names = Vec::new();
    while let Some(claimed) = claims.join_next().await {
        names.push(claimed.expect("a claim"));
    }
    let fallback = names.iter().filter(|it| *it == "signed_curve25519:fallback").count();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!((fallback, distinct.len()), (50, 51), "{names:?}");
}

async fn t16_a_claimed_key_does_not_come_again(server: &Server) {
    let (alice, bob) = two(server).await;
    let keys = json!({ "one_time_keys": one_time_keys(&alice, 0..1) });
    upload(&alice, &keys).await;
    name(&claim(&bob, &alice).await, &alice);
    // The client repeats an upload of which it has not seen the answer.
    let counts = upload(&alice, &keys).await;
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 0, "{counts}");
    assert_eq!(claim(&bob, &alice).await["one_time_keys"], json!({}));
}

async fn sc7_a_fallback_key_is_used_last_and_that_is_told(server: &Server) {
    let (alice, bob) = two(server).await;
    let fallback = |name: &str, number| json!({ "fallback_keys": { (format!("signed_curve25519:{name}")): one_time(&alice, number) } });
    let unused = async || alice.sync().get().await.json["device_unused_fallback_key_types"].clone();
    assert_eq!(unused().await, json!([]));
    upload(&alice, &fallback("A", 1)).await;
    assert_eq!(unused().await, json!(["signed_curve25519"]));
    for _ in 0..2 {
        assert_eq!(name(&claim(&bob, &alice).await, &alice), "signed_curve25519:A");
        assert_eq!(unused().await, json!([]));
        // The same again is as used as it was.
        upload(&alice, &fallback("A", 1)).await;
        assert_eq!(unused().await, json!([]));
    }
    upload(&alice, &fallback("B", 2)).await;
    assert_eq!(unused().await, json!(["signed_curve25519"]));
    assert_eq!(name(&claim(&bob, &alice).await, &alice), "signed_curve25519:B");
}

async fn sc7_counts_are_in_every_answer_of_sync(server: &Server) {
    let (alice, bob) = two(server).await;
    let first = alice.sync().get().await;
    assert_eq!(first.json["device_one_time_keys_count"], json!({ "signed_curve25519": 0 }));
    upload(&alice, &json!({ "one_time_keys": one_time_keys(&alice, 0..2) })).await;
    claim(&bob, &alice).await;
    // Nothing that a client waits for has happened.
    let last = alice.sync().get().await;
    let waits = |ms| alice.sync().since(last.next_batch()).query("timeout", ms).get();
    let waited = waits(100).await;
    // What happens meanwhile is in the answer too.
    let (claimed, _) = tokio::join!(waits(1_000), claim(&bob, &alice));
    let more = json!({ "one_time_keys": one_time_keys(&alice, 2..7) });
    let (uploaded, _) = tokio::join!(waits(1_000), upload(&alice, &more));
    for (sync, left) in [(&last, 1), (&waited, 1), (&claimed, 0), (&uploaded, 5)] {
        let counts = &sync.json["device_one_time_keys_count"];
        assert_eq!(*counts, json!({ "signed_curve25519": left }), "{}", sync.json);
        assert_eq!(sync.json["device_unused_fallback_key_types"], json!([]));
    }
}

/// The cross-signing keys of a user: master, self-signing, user-signing.
struct CrossSigning {
    master: Key,
    own: Key,
    users: Key,
}

impl CrossSigning {
    fn new() -> Self {
        Self { master: Key::default(), own: Key::default(), users: Key::default() }
    }

    fn body(&self, user: &User) -> Value {
        let master = Some(&self.master);
        json!({
            "master_key": self.master.cross_signing(&user.id, "master", None),
            "self_signing_key": self.own.cross_signing(&user.id, "self_signing", master),
            "user_signing_key": self.users.cross_signing(&user.id, "user_signing", master),
        })
    }

    async fn uploaded(user: &User) -> Self {
        let keys = Self::new();
        user.post("/keys/device_signing/upload").json(&keys.body(user)).ok().await;
        keys
    }
}

async fn sc7_cross_signing_keys_are_uploaded_once_without_a_password(server: &Server) {
    let alice = User::register(server, "alice").await;
    let keys = CrossSigning::uploaded(&alice).await;
    let request = || alice.post("/keys/device_signing/upload");
    request().json(&keys.body(&alice)).ok().await;
    let found = alice.query_keys(&[&alice.id]).await;
    assert_eq!(found["master_keys"][&alice.id], keys.body(&alice)["master_key"], "{found}");
    let others = CrossSigning::new().body(&alice);
    let challenge = request().json(&others).send().await;
    assert_eq!(challenge.status, 401, "{challenge}");
    assert!(challenge.json["flows"].is_array(), "{challenge}");
    assert_eq!(alice.query_keys(&[&alice.id]).await, found, "nothing is replaced");
    request().uia(others.clone(), alice.password_auth()).await.ok();
    let found = alice.query_keys(&[&alice.id]).await;
    assert_eq!(found["self_signing_keys"][&alice.id], others["self_signing_key"], "{found}");
    // Keys that the master key has not signed.
    let stranger = Key::default();
    let mut forged = others.clone();
    forged["self_signing_key"] =
        Key::default().cross_signing(&alice.id, "self_signing", Some(&stranger));
    request().json(&forged).refused(400, "M_INVALID_SIGNATURE").await;
    let bob = User::register(server, "bob").await;
    let own = json!({ "self_signing_key": others["self_signing_key"] });
    bob.post("/keys/device_signing/upload").json(&own).refused(400, "M_INVALID_PARAM").await;
    let own = Key::default().cross_signing(&bob.id, "self_signing", Some(&stranger));
    let own = json!({ "self_signing_key": own });
    bob.post("/keys/device_signing/upload").json(&own).refused(400, "M_MISSING_PARAM").await;
}

/// T16
async fn t16_the_user_signing_key_is_for_its_owner(server: &Server) {
    let (alice, bob) = two(server).await;
    CrossSigning::uploaded(&alice).await;
    let own = alice.query_keys(&[&alice.id]).await;
    assert!(own["user_signing_keys"][&alice.id].is_object(), "{own}");
    let other = bob.query_keys(&[&alice.id]).await;
    assert!(other["user_signing_keys"].get(&alice.id).is_none(), "{other}");
    assert!(other["master_keys"][&alice.id].is_object(), "{other}");
}

async fn sc7_own_signatures_are_seen_by_all(server: &Server) {
    let (alice, bob) = two(server).await;
    let device = alice.upload_device_keys().await;
    let keys = CrossSigning::uploaded(&alice).await;
    let found = alice.query_keys(&[&alice.id]).await;
    let phone = &found["device_keys"][&alice.id][&alice.device];
    let signed = keys.own.sign(phone, &alice.id, &keys.own.id());
    let key_id = format!("ed25519:{}", alice.device);
    let master = device.sign(&found["master_keys"][&alice.id], &alice.id, &key_id);
    let body = json!({ (alice.id.as_str()): { (alice.device.as_str()): signed,
        (keys.master.public()): master } });
    let reply = alice.post("/keys/signatures/upload").json(&body).ok().await;
    assert_eq!(reply, json!({}));
    let shown = bob.query_keys(&[&alice.id]).await;
    let of_device = &shown["device_keys"][&alice.id][&alice.device]["signatures"][&alice.id];
    assert!(of_device[keys.own.id()].is_string(), "{shown}");
    assert!(shown["master_keys"][&alice.id]["signatures"][&alice.id][&key_id].is_string());
    // The device uploads its keys once more, without the signature.
    let own = json!({ "device_keys": device.device(&alice.id, &alice.device) });
    upload(&alice, &own).await;
    assert_eq!(bob.query_keys(&[&alice.id]).await, shown);
    let forged = Key::default().sign(phone, &alice.id, &keys.own.id());
    let body = json!({ (alice.id.as_str()): { (alice.device.as_str()): forged,
        "OTHER": phone } });
    let reply = alice.post("/keys/signatures/upload").json(&body).ok().await;
    let failures = &reply["failures"][&alice.id];
    assert_eq!(failures[&alice.device]["errcode"], "M_INVALID_SIGNATURE", "{reply}");
    assert_eq!(failures["OTHER"]["errcode"], "M_NOT_FOUND", "{reply}");
}

/// T16
async fn t16_signatures_of_others_keys_are_for_their_maker(server: &Server) {
    let (alice, bob) = two(server).await;
    let (of_alice, of_bob) =
        (CrossSigning::uploaded(&alice).await, CrossSigning::uploaded(&bob).await);
    let tablet = User::log_in(server, &alice.id).await;
    let mut watch = tablet.watch().await;
    let master = alice.query_keys(&[&bob.id]).await["master_keys"][&bob.id].clone();
    let signed = of_alice.users.sign(&master, &alice.id, &of_alice.users.id());
    let body = json!({ (bob.id.as_str()): { (of_bob.master.public()): signed } });
    let reply = alice.post("/keys/signatures/upload").json(&body).ok().await;
    assert_eq!(reply, json!({}));
    let changed = |it: &skerry_tests::Sync| {
        let changed = it.json["device_lists"]["changed"].as_array()?;
        changed.iter().any(|it| *it == bob.id.as_str()).then_some(())
    };
    watch.until("the signature of Bob's key", changed).await;
    let by_alice = |found: &Value| {
        found["master_keys"][&bob.id]["signatures"][&alice.id].as_object().map(serde_json::Map::len)
    };
    assert_eq!(by_alice(&tablet.query_keys(&[&bob.id]).await), Some(1));
    assert_eq!(by_alice(&bob.query_keys(&[&bob.id]).await), None, "not even Bob sees it");
    let forged = Key::default().sign(&master, &alice.id, &of_alice.users.id());
    let body = json!({ (bob.id.as_str()): { (of_bob.master.public()): forged } });
    let reply = alice.post("/keys/signatures/upload").json(&body).ok().await;
    let failure = &reply["failures"][&bob.id][of_bob.master.public()]["errcode"];
    assert_eq!(failure, "M_INVALID_SIGNATURE", "{reply}");
}

async fn sc7_a_device_that_is_gone_has_no_keys(server: &Server) {
    let (alice, bob) = two(server).await;
    let phone = User::log_in(server, &alice.id).await;
    phone.upload_device_keys().await;
    upload(
        &phone,
        &json!({ "one_time_keys": one_time_keys(&phone, 0..2),
        "fallback_keys": { "signed_curve25519:F": one_time(&phone, 9) } }),
    )
    .await;
    assert!(
        bob.query_keys(&[&alice.id]).await["device_keys"][&alice.id][&phone.device].is_object()
    );
    phone.post("/logout").json(&json!({})).ok().await;
    let found = bob.query_keys(&[&alice.id]).await;
    assert_eq!(found["device_keys"][&alice.id], json!({}), "{found}");
    assert_eq!(claim(&bob, &phone).await["one_time_keys"], json!({}));
}

/// T16
async fn t16_who_is_not_there_has_no_keys(server: &Server) {
    let alice = User::register(server, "alice").await;
    let nobody = alice.id.replace("alice", "nobody");
    let found = alice.query_keys(&[&nobody]).await;
    assert!(found["device_keys"][&nobody].as_object().is_none_or(serde_json::Map::is_empty));
    let users: serde_json::Map<_, _> =
        (0..1_002).map(|it| (format!("@u{it}:localhost"), json!([]))).collect();
    let many = alice.post("/keys/query").json(&json!({ "device_keys": users }));
    many.refused(400, "M_INVALID_PARAM").await;
}

async fn sc7_a_thousand_users_are_asked_for_keys_by_one_request(server: &Server) {
    let (alice, zoe) = (User::register(server, "alice").await, User::register(server, "zoe").await);
    for user in [&alice, &zoe] {
        user.upload_device_keys().await;
        upload(user, &json!({ "one_time_keys": one_time_keys(user, 0..2) })).await;
    }
    let (mut asked, mut claimed) = (serde_json::Map::new(), serde_json::Map::new());
    for it in 0..999 {
        asked.insert(format!("@nobody-{it}:localhost"), json!([]));
        claimed.insert(format!("@nobody-{it}:localhost"), json!({ "D": "signed_curve25519" }));
    }
    // One among the first and one among the last who are asked.
    for user in [&alice, &zoe] {
        asked.insert(user.id.clone(), json!([]));
        claimed.insert(user.id.clone(), json!({ user.device.as_str(): "signed_curve25519" }));
    }
    let found = alice.post("/keys/query").json(&json!({ "device_keys": asked })).ok().await;
    let given = alice.post("/keys/claim").json(&json!({ "one_time_keys": claimed })).ok().await;
    for user in [&alice, &zoe] {
        assert_eq!(found["device_keys"][&user.id][&user.device]["device_id"], user.device.as_str());
        assert_eq!(name(&given, user), "signed_curve25519:000000");
    }
    asked.insert("@one-more:localhost".to_owned(), json!([]));
    let too_many = json!({ "device_keys": asked });
    alice.post("/keys/query").json(&too_many).refused(400, "M_INVALID_PARAM").await;
}
