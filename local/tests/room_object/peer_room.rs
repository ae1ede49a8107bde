//! A room of another server, which goes on while nobody here is in it.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedServerName, OwnedUserId, UserId, owned_device_id, room_version_rules::RoomVersionRules,
};
use serde_json::{Value as JsonValue, json, value::RawValue as RawJsonValue};
use skerry::{
    Result,
    messages::{
        Caller, RawJson, ServerKey,
        room::{Join, Kind, Outcome, Receive, Stage},
    },
    server::Server,
};
use skerry_core::{
    Pdu, SigningKey,
    authorize::{self, StateKey},
    pdu::{self, NewEvent},
    room_version,
};

use crate::{own_room::server, room::Stand};

/// When the first event was sent.
const SENT_MS: u64 = 1_700_000_000_000;
/// The other server.
pub(crate) const PEER: &str = "peer.example";
/// A third server, which has the key of the other one.
pub(crate) const THIRD: &str = "third.example:8448";
/// This server.
pub(crate) const OWN: &str = "own.example";
/// Members of the room when it begins: their events fill more than a page.
const MEMBERS: u64 = 520;

pub(crate) const MEMBER: &str = "m.room.member";
pub(crate) const TOPIC: &str = "m.room.topic";

/// A user of a server.
pub(crate) fn user(name: &str, server: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:{server}")).unwrap()
}

/// A user of this server, on a device.
pub(crate) fn caller(name: &str) -> Caller {
    Caller { user_id: user(name, OWN), device_id: owned_device_id!("HERE") }
}

/// This server.
pub(crate) fn own_server() -> Arc<Server> {
    server(OWN, own_key())
}

/// This server's key.
fn own_key() -> SigningKey {
    SigningKey::from_seed([7; 32], "own").unwrap()
}

fn key_of(sender: &UserId) -> SigningKey {
    match sender.server_name().as_str() {
        OWN => own_key(),
        _ => SigningKey::from_seed([8; 32], "peer").unwrap(),
    }
}

/// The key of the other servers, as whoever has fetched it hands it over.
pub(crate) fn keys() -> Vec<ServerKey> {
    let key = key_of(&user("carol", PEER));
    let of = |server: &str| ServerKey {
        server: OwnedServerName::try_from(server).unwrap(),
        key_id: key.id().to_owned(),
        key: key.public_base64(),
        valid_until_ms: SENT_MS * 2,
        expired_ms: None,
    };
    vec![of(PEER), of(THIRD)]
}

/// An event as it comes.
pub(crate) fn raw(pdu: &Pdu) -> RawJson {
    RawJsonValue::from_string(pdu.json.to_string()).unwrap()
}

/// The room as its server has it.
#[derive(Clone)]
pub(crate) struct PeerRoom {
    rules: RoomVersionRules,
    pub(crate) create: Pdu,
    pub(crate) tip: Pdu,
    /// What events say of when they were sent, but for their depth.
    pub(crate) sent_ms: u64,
    pub(crate) state: BTreeMap<StateKey, Pdu>,
    /// All state events there have been.
    pub(crate) all: Vec<Pdu>,
}

impl PeerRoom {
    /// A public room with many members.
    pub(crate) fn new() -> Self {
        let mut room = Self::small();
        for number in 0..MEMBERS {
            room.join(&format!("member{number}"));
        }
        room.by_carol(TOPIC, json!({ "topic": "the first" }));
        room
    }

    /// A public room with its creator in it.
    pub(crate) fn small() -> Self {
        let rules = room_version::rules(&room_version::DEFAULT).unwrap();
        let carol = user("carol", PEER);
        let content = json!({ "room_version": room_version::DEFAULT });
        let content = serde_json::from_value(content).unwrap();
        let key = key_of(&carol);
        let create = pdu::create_event(content, &carol, None, None, &rules, SENT_MS, &key).unwrap();
        let mut room = Self {
            rules,
            tip: create.clone(),
            sent_ms: SENT_MS,
            state: BTreeMap::new(),
            all: Vec::new(),
            create: create.clone(),
        };
        room.take(&create);
        room.join("carol");
        room.by_carol("m.room.power_levels", json!({}));
        room.by_carol("m.room.join_rules", json!({ "join_rule": "public" }));
        room.by_carol("m.room.history_visibility", json!({ "history_visibility": "shared" }));
        room
    }

    /// A user of the peer joins.
    pub(crate) fn join(&mut self, name: &str) {
        let user_id = user(name, PEER);
        let join = json!({ "membership": "join" });
        self.add(&user_id, MEMBER, Some(user_id.as_str()), join);
    }

    /// The creator changes a piece of the state.
    pub(crate) fn by_carol(&mut self, event_type: &str, content: JsonValue) -> Pdu {
        self.add(&user("carol", PEER), event_type, Some(""), content)
    }

    /// Makes an event behind the last one, and goes on from it.
    pub(crate) fn add(
        &mut self,
        sender: &UserId,
        event_type: &str,
        state_key: Option<&str>,
        content: JsonValue,
    ) -> Pdu {
        let pdu = self.make(sender, event_type, state_key, content);
        self.take(&pdu);
        pdu
    }

    /// Takes an event for the newest.
    pub(crate) fn take(&mut self, pdu: &Pdu) {
        self.tip = pdu.clone();
        if let Some(key) = &pdu.state_key {
            self.state.insert((pdu.event_type.to_string(), key.clone()), pdu.clone());
            self.all.push(pdu.clone());
        }
    }

    /// Makes an event behind the last one.
    pub(crate) fn make(
        &self,
        sender: &UserId,
        event_type: &str,
        state_key: Option<&str>,
        content: JsonValue,
    ) -> Pdu {
        let raw = serde_json::value::to_raw_value(&content).unwrap();
        let needed = authorize::needed_state(event_type, sender, state_key, &raw, &self.rules);
        let named =
            needed.unwrap().into_iter().filter(|it| authorize::is_auth_event(it, &self.rules));
        let auth: Vec<_> = named.filter_map(|it| self.state.get(&it)).collect();
        let depth = self.tip.depth + 1;
        let event = NewEvent {
            event_id: None,
            room_id: Some(&self.create.room_id),
            sender,
            event_type,
            state_key,
            content: serde_json::from_value(content).unwrap(),
            redacts: None,
            prev_events: vec![&self.tip],
            auth_events: auth,
            depth,
            origin_server_ts: self.sent_ms + depth,
        };
        pdu::build(event, &self.rules, sender.server_name(), &key_of(sender)).unwrap()
    }

    /// The join of a user of this server.
    pub(crate) fn own_join(&self, user_id: &UserId) -> Pdu {
        self.make(user_id, MEMBER, Some(user_id.as_str()), json!({ "membership": "join" }))
    }

    /// The IDs of the state.
    pub(crate) fn ids(&self) -> BTreeMap<StateKey, String> {
        self.state.iter().map(|(key, it)| (key.clone(), it.event_id.to_string())).collect()
    }
}

impl Stand {
    /// Stages a part of an attempt to join.
    pub(crate) async fn stage(
        &self,
        attempt: &str,
        begins: bool,
        is_state: bool,
        pdus: &[&Pdu],
    ) -> Result<()> {
        let stage = Stage {
            attempt: attempt.to_owned(),
            begins,
            room_version: room_version::DEFAULT,
            events: pdus.iter().map(|it| raw(it)).collect(),
            is_state,
            keys: keys(),
        };
        for it in self.ask(stage).await? {
            assert_eq!(it.outcome, Outcome::Accepted { redacted: false });
        }
        Ok(())
    }

    /// Alice joins a room that fits into one part of an attempt.
    pub(crate) async fn alice_joins(&self, peer: &mut PeerRoom) {
        let join = peer.own_join(&user("alice", OWN));
        self.stage("only", true, true, &peer.all.iter().collect::<Vec<_>>()).await.unwrap();
        let joined = self.join("only", &join).await.unwrap();
        assert_eq!(joined, Outcome::Accepted { redacted: false });
        peer.take(&join);
    }

    /// The peer sends an event.
    pub(crate) async fn receive(&self, pdu: &Pdu) -> Outcome {
        let (events, keys) = (vec![raw(pdu)], keys());
        let (origin, kind, states) = (None, Kind::Live, Vec::new());
        let receive = Receive { origin, hand_on: false, events, keys, kind, states };
        self.ask(receive).await.unwrap().remove(0).outcome
    }

    /// Joins by what an attempt has staged.
    pub(crate) async fn join(&self, attempt: &str, join: &Pdu) -> Result<Outcome> {
        let (attempt, room_version) = (attempt.to_owned(), room_version::DEFAULT);
        let join = Join { attempt, room_version, event: raw(join), keys: keys() };
        self.ask(join).await.map(|it| it.outcome)
    }
}
