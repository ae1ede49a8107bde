//! A server that makes events, and what another one does with them.

use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedServerName, RoomId, RoomVersionId, ServerName,
    UserId, room_id, room_version_rules::RoomVersionRules,
};
use serde_json::{Value as JsonValue, value::RawValue as RawJsonValue};
use skerry_core::{
    Pdu, SigningKey,
    pdu::{self, NewEvent},
    receipt::{self, Dropped, Keyring, Unverified, Verified, VerifyKey},
    room_version,
};

/// When the events of the tests were sent.
pub(crate) const SENT_MS: u64 = 1_700_000_000_000;

/// Until when the keys of the tests are valid.
pub(crate) const VALID_UNTIL_MS: u64 = SENT_MS + 1_000;

/// The room of the tests, in versions that do not name it by a hash.
pub(crate) fn room() -> &'static RoomId {
    room_id!("!room:one")
}

/// A server by its name. Its key is made from its name.
pub(crate) struct Server {
    pub(crate) name: OwnedServerName,
    pub(crate) key: SigningKey,
}

impl Server {
    pub(crate) fn new(name: &str) -> Self {
        Self::with_key(name, "1")
    }

    pub(crate) fn with_key(name: &str, version: &str) -> Self {
        let mut seed = [0; 32];
        for (byte, from) in seed.iter_mut().zip(name.bytes().chain(version.bytes())) {
            *byte = from;
        }
        let name = ServerName::parse(name).unwrap();
        Self { name, key: SigningKey::from_seed(seed, version).unwrap() }
    }

    /// Its key, as it publishes it.
    pub(crate) fn verify_key(&self) -> VerifyKey {
        let bytes = VerifyKey::decode(&self.key.public_base64()).unwrap();
        VerifyKey::current(&bytes, VALID_UNTIL_MS).unwrap()
    }

    /// Hashes and signs an event as it is.
    pub(crate) fn sign(&self, event: JsonValue, rules: &RoomVersionRules) -> JsonValue {
        let mut object: CanonicalJsonObject = serde_json::from_value(event).unwrap();
        ruma::signatures::hash_and_sign_event(
            self.name.as_str(),
            self.key.pair(),
            &mut object,
            &rules.redaction,
        )
        .unwrap();
        serde_json::to_value(object).unwrap()
    }

    /// A message of one of its users.
    pub(crate) fn message(&self, body: &str, rules: &RoomVersionRules) -> Pdu {
        let sender = UserId::parse(format!("@alice:{}", self.name)).unwrap();
        let event_id = made_up(&self.name);
        let event = NewEvent {
            event_id: Some(&event_id),
            room_id: Some(room()),
            sender: &sender,
            event_type: "m.room.message",
            state_key: None,
            content: object(serde_json::json!({ "body": body, "msgtype": "m.text" })),
            redacts: None,
            prev_events: Vec::new(),
            auth_events: Vec::new(),
            depth: 7,
            origin_server_ts: SENT_MS,
        };
        pdu::build(event, rules, &self.name, &self.key).unwrap()
    }
}

/// An event ID of room versions 1 and 2.
pub(crate) fn made_up(server: &ServerName) -> OwnedEventId {
    EventId::parse(format!("$made-up:{server}")).unwrap()
}

pub(crate) fn object(value: JsonValue) -> CanonicalJsonObject {
    serde_json::from_value(value).unwrap()
}

/// The keys of these servers.
pub(crate) fn keyring(servers: &[&Server]) -> Keyring {
    let mut keys = Keyring::default();
    for server in servers {
        keys.insert(server.name.clone(), server.key.id().to_owned(), server.verify_key());
    }
    keys
}

pub(crate) fn raw(json: impl ToString) -> Box<RawJsonValue> {
    RawJsonValue::from_string(json.to_string()).unwrap()
}

/// Reads and verifies.
pub(crate) fn receive(
    json: impl ToString,
    keys: &Keyring,
    rules: &RoomVersionRules,
) -> Result<Verified, Unverified> {
    receipt::verify(receipt::read(&raw(json), room(), rules)?, keys, rules)
}

/// What is wrong with an event.
pub(crate) fn dropped(json: impl ToString, keys: &Keyring, rules: &RoomVersionRules) -> Dropped {
    match receive(json, keys, rules) {
        Err(Unverified::Dropped(dropped)) => dropped,
        other => panic!("not dropped: {other:?}"),
    }
}

/// The rules of every version.
pub(crate) fn versions() -> Vec<(RoomVersionId, RoomVersionRules)> {
    room_version::SUPPORTED.map(|it| (it.clone(), room_version::rules(&it).unwrap())).into()
}
