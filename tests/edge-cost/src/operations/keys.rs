//! Keys for end-to-end encryption: those of everybody in a large room, a message to each of their
//! devices, and a device that changes.

use serde_json::Map;
use skerry_tests::{Key, User, Value, json, keys::one_time_keys, path, unique};

use crate::{bench::Bench, world};

const ALGORITHM: &str = "signed_curve25519";
/// Bytes of what is encrypted for a device, about: a key of a room.
const CIPHERTEXT_BYTES: usize = 500;
/// Encrypted rooms of the user whose device changes, and the members of each.
const ROOMS: usize = 10;
const MEMBERS: usize = 20;

/// Something for each of these users.
fn of_each(users: &[User], what: impl Fn(&User) -> Value) -> Value {
    users.iter().map(|it| (it.id.clone(), what(it))).collect::<Map<_, _>>().into()
}

/// Of so many users, each with one device.
pub(super) async fn of_many(bench: &mut Bench, count: usize) {
    let users = bench.users(count).await;
    for user in &users {
        user.upload_device_keys().await;
        let keys = json!({ "one_time_keys": one_time_keys(user, 0..2) });
        user.post("/keys/upload").json(&keys).ok().await;
    }
    let asker = users.first().expect("a user");
    let ask = async |bench: &Bench, endpoint: &str, body: &Value| {
        bench.meter.calm().await;
        let request = asker.post(endpoint).json(body);
        bench.meter.measure(async { drop(request.ok().await) }).await
    };
    let does = format!("/keys/query, {count} local users");
    let body = json!({ "device_keys": of_each(&users, |_| json!([])) });
    bench
        .row(&format!("keys.query.{count}"), &does, async |bench| {
            ask(bench, "/keys/query", &body).await
        })
        .await;
    let does = format!("/keys/claim, a key of each of {count} local users");
    let claim = |it: &User| json!({ (it.device.as_str()): ALGORITHM });
    let body = json!({ "one_time_keys": of_each(&users, claim) });
    bench
        .row(&format!("keys.claim.{count}"), &does, async |bench| {
            ask(bench, "/keys/claim", &body).await
        })
        .await;
    let does = format!("sendToDevice, {CIPHERTEXT_BYTES} bytes to each of {count} local users");
    let encrypted = json!({ "algorithm": "m.olm.v1.curve25519-aes-sha2",
        "ciphertext": { "key": { "type": 1, "body": "z".repeat(CIPHERTEXT_BYTES) } } });
    let messages = of_each(&users, |it| json!({ (it.device.as_str()): encrypted }));
    let body = json!({ "messages": messages });
    bench
        .row(&format!("to_device.{count}"), &does, async |bench| {
            bench.meter.calm().await;
            let to = path(["sendToDevice", "m.room.encrypted", &unique("cost")]);
            let request = asker.put(to).json(&body);
            bench.meter.measure(async { drop(request.ok().await) }).await
        })
        .await;
}

/// Of a user in encrypted rooms, in which nobody waits for anything.
pub(super) async fn change(bench: &mut Bench) {
    let users = bench.users(MEMBERS).await;
    let user = users.first().expect("a user");
    for _ in 0..ROOMS {
        let room = world::room(&users).await;
        let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
        user.set_state(&room, "m.room.encryption", "", &encryption).await;
    }
    let does =
        format!("other keys of a device in {ROOMS} encrypted rooms of {MEMBERS}, none waits");
    bench
        .row("keys.change", &does, async |bench| {
            bench.meter.calm().await;
            let keys = Key::default().device(&user.id, &user.device);
            let request = user.post("/keys/upload").json(&json!({ "device_keys": keys }));
            bench.meter.measure(async { drop(request.ok().await) }).await
        })
        .await;
}
