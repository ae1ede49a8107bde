//! One device: its keys, what it knows of others' devices, and what it was sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Method;
use ruma::{CanonicalJsonObject, CanonicalJsonValue};
use serde_json::{Map, Value, json};
use skerry_core::SigningKey;
use skerry_tests::{encode, path};
use tokio::{
    sync::Mutex as Turn,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    dehydrated_path,
    journal::{Secrets, Sent},
};
use crate::{network::GENUINE, rng::Rng, users::User};

const ALGORITHM: &str = "signed_curve25519";
/// The name of the fallback key.
const FALLBACK: &str = "fallback";
/// How long somebody is away: longer than an object that nobody asks stays in memory.
const AWAY: Duration = Duration::from_mins(11);
/// One-time keys of one upload.
const KEYS: u64 = 3;

/// A device.
pub struct Device {
    /// Whose.
    pub user: User,
    /// Its ID.
    pub id: String,
    /// What all devices have done.
    pub secrets: Arc<Secrets>,
    own: SigningKey,
    self_signing: SigningKey,
    known: Mutex<Known>,
    /// The user's dehydrated device is left and removed by one wish after the other.
    dehydrating: Turn<()>,
}

/// What it knows.
#[derive(Default)]
pub struct Known {
    /// The messages that have come, in their order: by whom, and their numbers.
    pub received: Vec<(String, u64)>,
    /// Devices of users.
    pub lists: BTreeMap<String, List>,
    /// How often it was told of each user's devices.
    told: BTreeMap<String, u64>,
    /// One-time keys so far.
    one_time_keys: u64,
}

/// What is known of a user's devices.
pub struct List {
    /// The keys of the user.
    pub keys: Value,
    /// They may be others by now.
    pub is_outdated: bool,
}

/// A key of a seed.
fn key(seed: u64) -> SigningKey {
    let mut bytes = [0; 32];
    let mut rng = Rng::new(seed);
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&rng.next().to_le_bytes());
    }
    SigningKey::from_seed(bytes, "1").expect("a key")
}

/// An object with one more signature.
fn signed(mut value: Value, user_id: &str, key_id: &str, by: &SigningKey) -> Value {
    let mut object: CanonicalJsonObject = serde_json::from_value(value.clone()).expect("JSON");
    object.remove("signatures");
    object.remove("unsigned");
    let text = CanonicalJsonValue::Object(object).to_string();
    value["signatures"][user_id][key_id] = json!(by.sign(text.as_bytes()).base64());
    value
}

fn device_keys(user_id: &str, device_id: &str, by: &SigningKey) -> Value {
    let key_id = format!("ed25519:{device_id}");
    let keys = json!({
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": { (key_id.as_str()): by.public_base64() },
    });
    signed(keys, user_id, &key_id, by)
}

fn cross_signing(user_id: &str, usage: &str, key: &SigningKey, by: Option<&SigningKey>) -> Value {
    let id = |it: &SigningKey| format!("ed25519:{}", it.public_base64());
    let value =
        json!({ "user_id": user_id, "usage": [usage], "keys": { (id(key)): key.public_base64() } });
    by.map_or(value.clone(), |by| signed(value, user_id, &id(by), by))
}

fn one_time_key(user_id: &str, device_id: &str, name: &str) -> Value {
    json!({ "key": format!("{device_id} {name}"),
        "signatures": { (user_id): { (format!("ed25519:{device_id}")): "signature" } } })
}

impl Device {
    /// A device of a user's, which uploads its keys.
    pub async fn begin(user: User, seed: u64, secrets: Arc<Secrets>) -> Arc<Self> {
        let who = user.client.get("/account/whoami").await.ok();
        let id = who["device_id"].as_str().expect("a device").to_owned();
        let (own, master, self_signing) = (key(seed), key(seed ^ 1), key(seed ^ 2));
        let keys = device_keys(user.id(), &id, &own);
        let fallback = one_time_key(user.id(), &id, FALLBACK);
        let body = json!({ "device_keys": keys,
            "fallback_keys": { (format!("{ALGORITHM}:{FALLBACK}")): fallback } });
        user.client.insist(Method::POST, "/keys/upload", &body).await.ok();
        let signing = json!({ "master_key": cross_signing(user.id(), "master", &master, None),
            "self_signing_key":
                cross_signing(user.id(), "self_signing", &self_signing, Some(&master)) });
        user.client.insist(Method::POST, "/keys/device_signing/upload", &signing).await.ok();
        let known = Mutex::default();
        let device =
            Self { user, id, secrets, own, self_signing, known, dehydrating: Turn::default() };
        Arc::new(device)
    }

    /// What it knows.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs until it has had enough, and then until nothing more comes.
    pub async fn read_on(self: Arc<Self>, chance: u64, enough: CancellationToken) {
        let (mut since, mut rng) = (String::new(), Rng::new(chance));
        loop {
            let is_last = enough.is_cancelled();
            let wait = if is_last { 0 } else { 30_000 };
            let target = format!("/sync?timeout={wait}{since}");
            let sync = self.user.client.get(&target).await.ok();
            let is_new = self.take(&sync);
            let next = sync["next_batch"].as_str().expect("a token");
            since = format!("&since={}", encode(next));
            self.user.tally.count("syncs");
            // A client asks soon, or when it has something to encrypt.
            let outdated = self.outdated();
            if !outdated.is_empty() && rng.percent(50) {
                self.query(outdated).await;
            }
            if is_last && !is_new {
                return;
            }
            if !is_last && rng.percent(2) {
                self.user.tally.count("devices that were away");
                let _ = timeout(AWAY, enough.cancelled()).await;
            }
        }
    }

    /// Those of whom it knows that their devices have changed.
    fn outdated(&self) -> Vec<String> {
        let known = self.known();
        let lists = known.lists.iter().filter(|(_, list)| list.is_outdated);
        lists.map(|(user_id, _)| user_id.clone()).collect()
    }

    /// Takes what a sync has of messages and of others' devices.
    fn take(&self, sync: &Value) -> bool {
        let texts = |it: &Value| -> Vec<String> {
            let texts = it.as_array().into_iter().flatten();
            texts.map(|it| it.as_str().expect("a user ID").to_owned()).collect()
        };
        let (changed, left) =
            (texts(&sync["device_lists"]["changed"]), texts(&sync["device_lists"]["left"]));
        let events = sync["to_device"]["events"].as_array().map_or(&[][..], Vec::as_slice);
        let mut known = self.known();
        for event in events {
            assert_eq!(event["content"]["text"], GENUINE, "{event}");
            let number = event["content"]["n"].as_u64().expect("a number");
            let from = event["sender"].as_str().expect("a sender").to_owned();
            known.received.push((from, number));
        }
        for user_id in &changed {
            self.user.tally.count("changed device lists");
            *known.told.entry(user_id.clone()).or_default() += 1;
            if let Some(list) = known.lists.get_mut(user_id) {
                list.is_outdated = true;
            }
        }
        for user_id in &left {
            self.user.tally.count("device lists that were left");
            *known.told.entry(user_id.clone()).or_default() += 1;
            known.lists.remove(user_id);
        }
        !(events.is_empty() && changed.is_empty() && left.is_empty())
    }

    /// Sends a message to devices of these users: to all, to the one that they use, or to the one
    /// that they have left.
    pub async fn send(&self, others: &[Arc<Self>], chance: u64) {
        let began = Instant::now();
        let mut rng = Rng::new(chance);
        let (mut messages, mut to) = (Map::new(), BTreeSet::new());
        let number = {
            let mut entries = self.secrets.entries();
            entries.messages += 1;
            let content = json!({ "text": GENUINE, "n": entries.messages });
            for other in others {
                let user_id = other.user.id().to_owned();
                let left = entries.dehydrated.get(&user_id).cloned();
                let named = match (rng.below(4), &left) {
                    (0, _) => "*",
                    (1, Some(left)) => left,
                    _ => &other.id,
                };
                let of_user = messages.entry(user_id.clone()).or_insert_with(|| json!({}));
                of_user[named] = content.clone();
                match named {
                    "*" => {
                        let both = [Some(other.id.clone()), left].into_iter().flatten();
                        to.extend(both.map(|it| (user_id.clone(), it)));
                    }
                    named => drop(to.insert((user_id, named.to_owned()))),
                }
            }
            entries.messages
        };
        let target = path(["sendToDevice", "m.room.encrypted", &format!("d{number}")]);
        let body = json!({ "messages": messages });
        self.user.client.insist(Method::PUT, &target, &body).await.ok();
        self.user.tally.count("messages to devices");
        let (from, to) = (self.user.id().to_owned(), to.into_iter().collect());
        let sent = Sent { from, to, began, acknowledged: Instant::now() };
        self.secrets.entries().sent.insert(number, sent);
    }

    /// Claims a key of each device that these users are known to have, once.
    pub async fn claim(&self, others: &[Arc<Self>]) {
        let mut asked = Map::new();
        for other in others {
            let left = self.secrets.entries().dehydrated.get(other.user.id()).cloned();
            let devices = [Some(other.id.clone()), left].into_iter().flatten();
            let devices: Map<_, _> = devices.map(|it| (it, json!(ALGORITHM))).collect();
            asked.insert(other.user.id().to_owned(), devices.into());
        }
        let body = json!({ "one_time_keys": asked, "timeout": 10_000 });
        let Some(reply) = self.user.client.post("/keys/claim", &body).await else { return };
        if !reply.status.is_success() {
            return;
        }
        for (user_id, devices) in reply.body["one_time_keys"].as_object().into_iter().flatten() {
            for (device_id, keys) in devices.as_object().into_iter().flatten() {
                for (name, given) in keys.as_object().into_iter().flatten() {
                    self.note_claim(user_id, device_id, name, given);
                }
            }
        }
    }

    fn note_claim(&self, user_id: &str, device_id: &str, name: &str, given: &Value) {
        let short = name.strip_prefix(&format!("{ALGORITHM}:")).expect("the algorithm");
        let expected = one_time_key(user_id, device_id, short);
        assert_eq!(*given, expected, "another key than was uploaded");
        if short == FALLBACK {
            self.user.tally.count("fallback keys");
            return;
        }
        self.user.tally.count("claimed keys");
        let key = (user_id.to_owned(), device_id.to_owned(), name.to_owned());
        let is_new = self.secrets.entries().claimed.insert(key);
        assert!(is_new, "{name} of {device_id} of {user_id} is given twice");
    }

    /// Uploads a few more one-time keys.
    pub async fn upload_one_time_keys(&self) {
        let first = {
            let mut known = self.known();
            known.one_time_keys += KEYS;
            known.one_time_keys - KEYS
        };
        let keys = self.one_time_keys(&self.id, first);
        let body = json!({ "one_time_keys": keys });
        let reply = self.user.client.insist(Method::POST, "/keys/upload", &body).await;
        reply.ok();
        self.user.tally.add("uploaded keys", KEYS);
    }

    fn one_time_keys(&self, device_id: &str, first: u64) -> Map<String, Value> {
        let key = |number: u64| {
            let short = format!("{number:05}");
            (format!("{ALGORITHM}:{short}"), one_time_key(self.user.id(), device_id, &short))
        };
        (first..first + KEYS).map(key).collect()
    }

    /// Leaves a dehydrated device, in place of the one that there is.
    pub async fn leave_dehydrated(&self, chance: u64) {
        let _turn = self.dehydrating.lock().await;
        let user_id = self.user.id();
        // From here on nobody knows whether the old one is there.
        self.secrets.entries().dehydrated.remove(user_id);
        let by = key(chance);
        let id = by.public_base64();
        let keys = device_keys(user_id, &id, &by);
        let signer = format!("ed25519:{}", self.self_signing.public_base64());
        let body = json!({
            "device_id": id,
            "device_data": { "algorithm": "some", "text": GENUINE },
            "device_keys": signed(keys, user_id, &signer, &self.self_signing),
            "one_time_keys": self.one_time_keys(&id, 0),
        });
        self.user.client.insist(Method::PUT, &dehydrated_path(""), &body).await.ok();
        self.user.tally.count("dehydrated devices");
        self.secrets.entries().dehydrated.insert(user_id.to_owned(), id);
    }

    /// Removes the dehydrated device.
    pub async fn remove_dehydrated(&self) {
        let _turn = self.dehydrating.lock().await;
        self.secrets.entries().dehydrated.remove(self.user.id());
        self.user.client.insist(Method::DELETE, &dehydrated_path(""), &Value::Null).await;
    }

    /// The self-signing key signs the device, which is a change for all to see.
    pub async fn sign(&self, chance: u64) {
        let _turn = self.dehydrating.lock().await;
        let user_id = self.user.id();
        let mut keys = device_keys(user_id, &self.id, &self.own);
        // Another signature of the same: a device that has uploaded its keys anew.
        keys["chance"] = json!(chance % 1_000);
        let keys = signed(keys, user_id, &format!("ed25519:{}", self.id), &self.own);
        let body = json!({ "device_keys": keys });
        self.user.client.insist(Method::POST, "/keys/upload", &body).await.ok();
        let signer = format!("ed25519:{}", self.self_signing.public_base64());
        let keys = signed(keys, user_id, &signer, &self.self_signing);
        let body = json!({ (user_id): { (self.id.as_str()): keys } });
        let target = "/keys/signatures/upload";
        let reply = self.user.client.insist(Method::POST, target, &body).await.ok();
        assert_eq!(reply.get("failures"), None, "{reply}");
        self.user.tally.count("signed devices");
    }

    /// Is called otherwise.
    pub async fn rename(&self, chance: u64) {
        let body = json!({ "display_name": format!("name {}", chance % 1_000) });
        self.user.client.insist(Method::PUT, &path(["devices", &self.id]), &body).await.ok();
    }

    /// Asks for the devices of users.
    pub async fn query(&self, user_ids: impl IntoIterator<Item = String>) {
        let user_ids: BTreeSet<_> = user_ids.into_iter().collect();
        let told = self.known().told.clone();
        let asked: Map<_, _> = user_ids.iter().map(|it| (it.clone(), json!([]))).collect();
        let body = json!({ "device_keys": asked, "timeout": 10_000 });
        let Some(reply) = self.user.client.post("/keys/query", &body).await else { return };
        if !reply.status.is_success() {
            return;
        }
        let mut known = self.known();
        for user_id in user_ids {
            let Some(keys) = keys_of(&reply.body, &user_id) else { continue };
            self.user.tally.count("device lists that were asked for");
            // What was told meanwhile may be newer than the answer.
            let is_outdated = known.told.get(&user_id) != told.get(&user_id);
            known.lists.insert(user_id, List { keys, is_outdated });
        }
    }

    /// The keys of the device's own user, as their server gives them.
    pub async fn own_keys(&self) -> Value {
        let body = json!({ "device_keys": { (self.user.id()): [] } });
        let reply = self.user.client.insist(Method::POST, "/keys/query", &body).await.ok();
        keys_of(&reply, self.user.id()).expect("the own keys")
    }
}

/// The keys of a user in an answer, without what their server adds for their own server alone.
fn keys_of(answer: &Value, user_id: &str) -> Option<Value> {
    let host = user_id.split_once(':')?.1;
    if answer["failures"].get(host).is_some() {
        return None;
    }
    let mut devices = answer["device_keys"][user_id].clone();
    for device in devices.as_object_mut()?.values_mut() {
        device.as_object_mut()?.remove("unsigned");
    }
    let of = |kind: &str| answer[kind][user_id].clone();
    Some(json!({ "devices": devices, "master": of("master_keys"),
        "self_signing": of("self_signing_keys") }))
}
