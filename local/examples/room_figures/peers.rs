//! Other servers: they make events, and sign them.

use ruma::{OwnedServerName, OwnedUserId, RoomId, UserId, room_version_rules::RoomVersionRules};
use serde_json::{Value as JsonValue, json, value::RawValue as RawJsonValue};
use skerry::{
    messages::{
        RawJson, ServerKey,
        room::{Kind, Receive},
    },
    server::Server,
};
use skerry_core::{
    Pdu, SigningKey,
    pdu::{self, NewEvent},
    room_version,
};

/// When the first event was sent.
const SENT_MS: u64 = 1_700_000_000_000;
/// Servers that have members in a room.
const SERVERS: u8 = 20;
/// Events in a transaction.
const TRANSACTION: usize = 50;

/// Servers and their keys, this one's among them.
pub(crate) struct Peers {
    servers: Vec<(OwnedServerName, SigningKey)>,
    keys: Vec<ServerKey>,
    pub(crate) rules: RoomVersionRules,
}

/// An event to make.
pub(crate) struct Draft<'a> {
    pub(crate) sender: &'a UserId,
    pub(crate) kind: (&'a str, Option<&'a str>),
    pub(crate) content: JsonValue,
    pub(crate) auth: Vec<&'a Pdu>,
}

impl Peers {
    pub(crate) fn new(own: &Server) -> Self {
        let key = |seed| SigningKey::from_seed([seed; 32], "1").expect("a key");
        let mut servers: Vec<(OwnedServerName, SigningKey)> = (0..SERVERS)
            .map(|it| (format!("server{it}.example").try_into().expect("a name"), key(it + 20)))
            .collect();
        let keys = own.keys();
        let seed = keys.current.to_base64();
        let own_key = SigningKey::from_base64(&seed, keys.current.version()).expect("a key");
        servers.push((own.name.clone(), own_key));
        let keys = servers.iter().map(|(name, key)| ServerKey {
            server: name.clone(),
            key_id: key.id().to_owned(),
            key: key.public_base64(),
            valid_until_ms: SENT_MS * 2,
            expired_ms: None,
        });
        let rules = room_version::rules(&room_version::DEFAULT).expect("supported");
        Self { keys: keys.collect(), servers, rules }
    }

    /// The keys of all of them.
    pub(crate) fn keys(&self) -> Vec<ServerKey> {
        self.keys.clone()
    }

    fn key(&self, sender: &UserId) -> &SigningKey {
        let found = self.servers.iter().find(|it| it.0 == *sender.server_name());
        &found.expect("a server that is here").1
    }

    /// The create event.
    pub(crate) fn create(&self, creator: &UserId) -> Pdu {
        let content = json!({ "room_version": room_version::DEFAULT });
        let content = serde_json::from_value(content).expect("canonical");
        let (key, rules) = (self.key(creator), &self.rules);
        pdu::create_event(content, creator, None, None, rules, SENT_MS, key).expect("an event")
    }

    /// An event.
    pub(crate) fn event(&self, room_id: &RoomId, draft: Draft<'_>, prev: &[&Pdu]) -> Pdu {
        let depth = prev.iter().map(|it| it.depth).max().unwrap_or(0) + 1;
        let event = NewEvent {
            event_id: None,
            room_id: Some(room_id),
            sender: draft.sender,
            event_type: draft.kind.0,
            state_key: draft.kind.1,
            content: serde_json::from_value(draft.content).expect("canonical"),
            redacts: None,
            prev_events: prev.to_vec(),
            auth_events: draft.auth,
            depth,
            origin_server_ts: SENT_MS + depth,
        };
        let key = self.key(draft.sender);
        pdu::build(event, &self.rules, draft.sender.server_name(), key).expect("an event")
    }

    /// A transaction with these events.
    pub(crate) fn send(&self, events: &[Pdu]) -> Receive {
        assert!(events.len() <= TRANSACTION, "too many for a transaction");
        Receive {
            origin: None,
            hand_on: false,
            events: raw(events),
            keys: self.keys(),
            kind: Kind::Live,
            states: Vec::new(),
        }
    }
}

/// A user of one of the servers.
pub(crate) fn user(number: u64) -> OwnedUserId {
    let server = number % u64::from(SERVERS);
    UserId::parse(format!("@member{number}:server{server}.example")).expect("an ID")
}

/// Events as they come.
pub(crate) fn raw(events: &[Pdu]) -> Vec<RawJson> {
    let raw = |it: &Pdu| RawJsonValue::from_string(it.json.to_string()).expect("JSON");
    events.iter().map(raw).collect()
}
