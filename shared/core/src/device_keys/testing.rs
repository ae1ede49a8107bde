//! Keys for tests, made of seeds.

use ruma::{CanonicalJsonObject, UserId};
use serde_json::{Value, json};

use crate::SigningKey;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32], "1").unwrap()
}

/// The public key of a seed.
pub(super) fn public(seed: u8) -> String {
    key(seed).public_base64()
}

/// An object that a user has signed also with the key of a seed, under an ID.
pub(super) fn signed(mut value: Value, user_id: &UserId, seed: u8, key_id: &str) -> Value {
    let mut object: CanonicalJsonObject = serde_json::from_value(value.clone()).unwrap();
    object.remove("signatures");
    object.remove("unsigned");
    let text = ruma::CanonicalJsonValue::Object(object).to_string();
    value["signatures"][user_id.as_str()][key_id] = json!(key(seed).sign(text.as_bytes()).base64());
    value
}

/// The keys of a device.
pub(super) fn device(seed: u8, user_id: &UserId, device_id: &str) -> Value {
    let key_id = format!("ed25519:{device_id}");
    let keys = json!({ "user_id": user_id, "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": { (key_id.as_str()): public(seed) } });
    signed(keys, user_id, seed, &key_id)
}

/// A cross-signing key of a seed, signed by the key of another, if any.
pub(super) fn cross_signing(usage: &str, user_id: &UserId, seed: u8, by: Option<u8>) -> Value {
    let public_key = public(seed);
    let key = json!({ "user_id": user_id, "usage": [usage],
        "keys": { (format!("ed25519:{public_key}")): public_key } });
    match by {
        Some(by) => signed(key, user_id, by, &format!("ed25519:{}", public(by))),
        None => key,
    }
}
