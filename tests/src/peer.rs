//! A scripted server of the federation: a name, a key, and events that it builds and signs itself.
//!
//! **Invariant**: hashes, signatures and event IDs are ruma's, none are Skerry's: the suite does
//! not check a server by the server's own code.

mod join;
mod room;
mod sight;

pub use join::{Answer, Attempt};
pub use room::{PeerRoom, outcomes};
pub use sight::StateIds;

use crate::{Value, json, unique};
use ruma::{
    CanonicalJsonObject,
    room_version_rules::{EventIdFormatVersion, RoomVersionRules},
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, hash_and_sign_event, reference_hash},
};
use std::sync::Arc;

/// Beyond every time that a test sends events at.
const VALID_UNTIL_MS: u64 = 1 << 50;

/// What stands before the seed of an ed25519 key in PKCS #8 (RFC 8410).
const PKCS8_OF_A_SEED: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Another server, as far as rooms know it.
#[derive(Clone)]
pub struct Peer {
    /// The server name.
    pub name: String,
    key: Arc<Ed25519KeyPair>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Peer").field(&self.name).finish()
    }
}

impl Peer {
    /// A server of that name with a fresh key.
    pub fn new(name: &str) -> Self {
        let document = Ed25519KeyPair::generate();
        let key = Ed25519KeyPair::from_der(&document, "1".to_owned()).expect("a key");
        Self { name: name.to_owned(), key: Arc::new(key) }
    }

    /// A server of that name with the key of this seed.
    pub fn with_seed(name: &str, seed: [u8; 32]) -> Self {
        let document = [&PKCS8_OF_A_SEED[..], &seed].concat();
        let key = Ed25519KeyPair::from_der(&document, "1".to_owned()).expect("a key");
        Self { name: name.to_owned(), key: Arc::new(key) }
    }

    /// The same server with another key, of that version.
    #[must_use]
    pub fn with_another_key(&self, version: &str) -> Self {
        let document = Ed25519KeyPair::generate();
        let key = Ed25519KeyPair::from_der(&document, version.to_owned()).expect("a key");
        Self { name: self.name.clone(), key: Arc::new(key) }
    }

    /// The ID of its key.
    pub fn key_id(&self) -> String {
        format!("ed25519:{}", self.key.version())
    }

    /// The full ID of a user there.
    pub fn user(&self, localpart: &str) -> String {
        format!("@{localpart}:{}", self.name)
    }

    /// Its public key, as whoever has fetched it hands it over.
    pub fn key(&self) -> Value {
        json!({ "server": self.name, "key_id": self.key_id(), "key": self.public_key(),
            "valid_until_ms": VALID_UNTIL_MS, "expired_ms": null })
    }

    /// Its public key, in base64.
    pub fn public_key(&self) -> String {
        Base64::<Standard, _>::new(self.key.public_key()).encode()
    }

    pub(crate) fn pair(&self) -> &Ed25519KeyPair {
        &self.key
    }

    /// Hashes and signs an event, over what signatures it has.
    pub fn sign(&self, event: &Value, rules: &RoomVersionRules) -> Value {
        let mut object = object(event);
        let signed = hash_and_sign_event(&self.name, &*self.key, &mut object, &rules.redaction);
        signed.expect("an event that can be signed");
        serde_json::to_value(object).expect("JSON")
    }
}

/// JSON that can be signed.
pub(crate) fn object(event: &Value) -> CanonicalJsonObject {
    serde_json::from_value(event.clone()).expect("an object of canonical JSON")
}

/// The ID of a signed event.
pub fn event_id(pdu: &Value, rules: &RoomVersionRules) -> String {
    match rules.event_id_format {
        EventIdFormatVersion::V1 => pdu["event_id"].as_str().expect("an event ID").to_owned(),
        _ => format!("${}", reference_hash(&object(pdu), rules).expect("a reference hash")),
    }
}

/// A signed event, and the state after it as the peer sees it.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its ID.
    pub id: String,
    /// The PDU.
    pub pdu: Value,
    state: Arc<StateIds>,
}

impl Event {
    /// The IDs of the events before it.
    pub fn prev(&self) -> Vec<String> {
        ids_in(&self.pdu["prev_events"])
    }

    /// The IDs of the events that authorize it.
    pub fn auth(&self) -> Vec<String> {
        ids_in(&self.pdu["auth_events"])
    }

    /// The same ID with another PDU, as a dishonest server hands it on.
    #[must_use]
    pub fn altered(&self, alter: impl FnOnce(&mut Value)) -> Self {
        let mut altered = self.clone();
        alter(&mut altered.pdu);
        altered
    }
}

/// The IDs that references of either form name.
fn ids_in(references: &Value) -> Vec<String> {
    let references = references.as_array().expect("references").iter();
    let ids = references.map(|it| it.as_str().or_else(|| it[0].as_str()).expect("an event ID"));
    ids.map(str::to_owned).collect()
}

/// An event yet to be made. What is not said is as an honest server would have it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Draft {
    fields: Value,
    prev: Option<Vec<String>>,
    auth: Option<Vec<String>>,
}

impl Draft {
    /// An event that is no state.
    pub fn new(sender: &str, kind: &str, content: Value) -> Self {
        let mut fields = json!({ "sender": sender, "type": kind });
        fields["content"] = content;
        Self { fields, prev: None, auth: None }
    }

    /// A state event.
    pub fn state(sender: &str, kind: &str, key: &str, content: Value) -> Self {
        Self::new(sender, kind, content).with("state_key", json!(key))
    }

    /// A text message.
    pub fn message(sender: &str, body: &str) -> Self {
        Self::new(sender, "m.room.message", crate::message(body))
    }

    /// A change of the target's membership.
    pub fn member(sender: &str, target: &str, membership: &str) -> Self {
        Self::state(sender, "m.room.member", target, json!({ "membership": membership }))
    }

    /// A user's own join.
    pub fn join(user: &str) -> Self {
        Self::member(user, user, "join")
    }

    /// Names these as the events before it.
    pub fn after(self, events: &[&Event]) -> Self {
        self.after_ids(events.iter().map(|it| it.id.clone()).collect())
    }

    /// Names events of these IDs as those before it.
    pub fn after_ids(self, ids: Vec<String>) -> Self {
        Self { prev: Some(ids), ..self }
    }

    /// Names events of these IDs as those that authorize it.
    pub fn auth(self, ids: Vec<String>) -> Self {
        Self { auth: Some(ids), ..self }
    }

    /// Sets a field of the PDU.
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.fields[field] = value;
        self
    }

    fn text(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }

    /// The server of the sender.
    fn server(&self) -> &str {
        self.text("sender").split_once(':').map_or("", |it| it.1)
    }

    /// The state that authorizes it, as the specification selects it.
    fn authorized_by(&self, state: &StateIds, rules: &RoomVersionRules) -> Vec<String> {
        let kind = self.text("type");
        if kind == "m.room.create" {
            return Vec::new();
        }
        let mut keys = vec![("m.room.power_levels", ""), ("m.room.member", self.text("sender"))];
        if !rules.authorization.room_create_event_id_as_room_id {
            keys.push(("m.room.create", ""));
        }
        if kind == "m.room.member" {
            keys.push(("m.room.member", self.text("state_key")));
            let membership = self.fields["content"]["membership"].as_str().unwrap_or_default();
            if ["join", "invite", "knock"].contains(&membership) {
                keys.push(("m.room.join_rules", ""));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        let find = |(kind, key): &(&str, &str)| state.get(&((*kind).into(), (*key).into()));
        keys.iter().filter_map(find).cloned().collect()
    }
}

/// What an outcome is called: `accepted`, `waits`, …
pub fn outcome_name(outcome: &Value) -> &str {
    let name = outcome.as_str().or_else(|| Some(outcome.as_object()?.keys().next()?.as_str()));
    name.unwrap_or_else(|| panic!("no outcome: {outcome}"))
}

/// An event ID that a server of room version 1 or 2 makes up.
fn made_up_id(server: &str) -> String {
    format!("${}:{server}", unique("event"))
}
