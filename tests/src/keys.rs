//! Keys of clients for end-to-end encryption, as far as a server sees them: it checks signatures
//! and never decrypts. Signatures are ruma's.

use crate::{User, Value, json, peer::object};
use ruma::{
    CanonicalJsonValue,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, KeyPair as _},
};
use std::sync::Arc;

/// An ed25519 key that a device or a user signs with.
#[derive(Clone)]
pub struct Key(Arc<Ed25519KeyPair>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.public()).finish()
    }
}

impl Default for Key {
    fn default() -> Self {
        let document = Ed25519KeyPair::generate();
        Self(Arc::new(Ed25519KeyPair::from_der(&document, "1".to_owned()).expect("a key")))
    }
}

impl Key {
    /// The public key, in base64.
    pub fn public(&self) -> String {
        Base64::<Standard, _>::new(self.0.public_key()).encode()
    }

    /// Its ID, where it is named for itself.
    pub fn id(&self) -> String {
        format!("ed25519:{}", self.public())
    }

    /// The object with a signature of this key in the name of a user, under that ID.
    pub fn sign(&self, value: &Value, user_id: &str, key_id: &str) -> Value {
        let mut signed = object(value);
        signed.remove("signatures");
        signed.remove("unsigned");
        let text = CanonicalJsonValue::Object(signed).to_string();
        let mut value = value.clone();
        value["signatures"][user_id][key_id] = json!(self.0.sign(text.as_bytes()).base64());
        value
    }

    /// The keys of a device that has this one.
    pub fn device(&self, user_id: &str, device_id: &str) -> Value {
        let key_id = format!("ed25519:{device_id}");
        let keys = json!({
            "user_id": user_id,
            "device_id": device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": { (key_id.as_str()): self.public(),
                (format!("curve25519:{device_id}")): self.public() },
        });
        self.sign(&keys, user_id, &key_id)
    }

    /// This key as a cross-signing key, signed by another.
    pub fn cross_signing(&self, user_id: &str, usage: &str, by: Option<&Self>) -> Value {
        let key = json!({ "user_id": user_id, "usage": [usage],
            "keys": { (self.id()): self.public() } });
        by.map_or(key.clone(), |by| by.sign(&key, user_id, &by.id()))
    }
}

/// One-time keys of a device: so many, from a number on.
pub fn one_time_keys(user: &User, numbers: std::ops::Range<usize>) -> Value {
    let keys =
        numbers.map(|number| (format!("signed_curve25519:{number:06}"), one_time(user, number)));
    keys.collect::<serde_json::Map<_, _>>().into()
}

/// A one-time key.
pub fn one_time(user: &User, number: usize) -> Value {
    one_time_key_of(&user.id, &user.device, number)
}

/// A one-time key of any device.
pub fn one_time_key_of(user_id: &str, device_id: &str, number: usize) -> Value {
    json!({ "key": format!("key-{number}"),
        "signatures": { (user_id): { (format!("ed25519:{device_id}")): "sig" } } })
}

impl User {
    /// Uploads keys of this device, and gives the key that it signs with.
    pub async fn upload_device_keys(&self) -> Key {
        let key = Key::default();
        let keys = json!({ "device_keys": key.device(&self.id, &self.device) });
        self.post("/keys/upload").json(&keys).ok().await;
        key
    }

    /// Asks for the keys of users.
    pub async fn query_keys(&self, user_ids: &[&str]) -> Value {
        let asked: serde_json::Map<_, _> =
            user_ids.iter().map(|it| ((*it).to_owned(), json!([]))).collect();
        self.post("/keys/query").json(&json!({ "device_keys": asked })).ok().await
    }

    /// Makes a room encrypted.
    pub async fn encrypt(&self, room: &str) {
        let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
        self.set_state(room, "m.room.encryption", "", &content).await;
    }
}
