//! A policy server of the tests.

use super::{Answer, Asked, Remote};
use crate::{
    Value, json,
    peer::{Event, object},
};
use ruma::{
    events::room::policy::POLICY_SERVER_ED25519_SIGNING_KEY_ID as KEY_ID,
    room_version_rules::RoomVersionRules,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, hash_and_sign_event},
};
use std::sync::Arc;

/// Where events are signed.
pub const SIGN: &str = "/_matrix/policy/v1/sign";

/// The key by which a policy server recommends events. It is not the one that it sends with.
#[derive(Clone)]
pub struct PolicyKey(Arc<Ed25519KeyPair>);

impl std::fmt::Debug for PolicyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PolicyKey")
    }
}

impl PolicyKey {
    /// A fresh key.
    pub fn generate() -> Self {
        let version = KEY_ID.trim_start_matches("ed25519:").to_owned();
        let document = Ed25519KeyPair::generate();
        Self(Arc::new(Ed25519KeyPair::from_der(&document, version).expect("a key")))
    }

    /// What a room says that uses this server as its policy server.
    pub fn of(&self, via: &str) -> Value {
        let key = Base64::<Standard, _>::new(self.0.public_key()).encode();
        json!({ "via": via, "public_keys": { "ed25519": key } })
    }

    /// The signatures of the server of this name on an event.
    pub fn sign(&self, via: &str, pdu: &Value, rules: &RoomVersionRules) -> Value {
        let mut object = object(pdu);
        hash_and_sign_event(via, &*self.0, &mut object, &rules.redaction).expect("an event");
        let signed = serde_json::to_value(object).expect("JSON");
        json!({ via: { KEY_ID: signed["signatures"][via][KEY_ID] } })
    }

    /// An event as its sender's server sends it after it has asked.
    #[must_use]
    pub fn signed(&self, via: &str, event: &Event, rules: &RoomVersionRules) -> Event {
        let signatures = self.sign(via, &event.pdu, rules);
        event.altered(|pdu| pdu["signatures"][via][KEY_ID] = signatures[via][KEY_ID].clone())
    }
}

/// The policy server's signature on an event, if there is one.
pub fn signature_of(pdu: &Value, via: &str) -> Option<String> {
    pdu["signatures"][via][KEY_ID].as_str().map(str::to_owned)
}

impl Remote {
    /// From now on it signs what it is asked to sign.
    pub fn recommend(&self, key: &PolicyKey, rules: &RoomVersionRules) {
        let (via, key, rules) = (self.peer.name.clone(), key.clone(), rules.clone());
        self.answer(SIGN, move |asked| {
            (200, key.sign(&via, &serde_json::from_slice(&asked.body).expect("JSON"), &rules))
        });
    }

    /// From now on it answers so what it is asked to sign.
    pub fn judge(&self, mut judge: impl FnMut(&Value) -> Answer + Send + 'static) {
        self.answer(SIGN, move |it: &Asked| {
            judge(&serde_json::from_slice(&it.body).expect("JSON"))
        });
    }

    /// The events that it was asked to sign.
    pub fn judged(&self) -> Vec<Value> {
        let asked = self.asked(SIGN);
        asked.iter().map(|it| serde_json::from_slice(&it.body).expect("JSON")).collect()
    }
}
