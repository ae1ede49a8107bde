//! A room as a peer knows it: the events, how they build on each other, and the state after each.

use super::{Draft, Event, Peer, StateIds, event_id, ids_in, made_up_id, object, outcome_name};
use crate::{Client, Reply, Room, Server, Sync, User, Value, json, path, unique};
use ruma::{
    RoomVersionId,
    room_version_rules::{EventsReferenceFormatVersion, RoomVersionRules},
    signatures::reference_hash,
};
use std::{collections::BTreeMap, sync::Arc};

/// When events of rooms that a peer makes begin, in milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_760_000_000_000;

/// A room on a peer.
#[derive(Debug, Clone)]
pub struct PeerRoom {
    /// The peer.
    pub peer: Peer,
    /// The room ID.
    pub id: String,
    /// The room version.
    pub version: String,
    /// The rules of that version.
    pub rules: RoomVersionRules,
    events: BTreeMap<String, Event>,
    /// The IDs of events that no other event names as before it, as far as the peer follows.
    pub ends: Vec<String>,
    newest_ms: u64,
}

impl PeerRoom {
    /// A room of which the peer knows nothing yet.
    pub fn empty(peer: &Peer, id: &str, version: &str) -> Self {
        let parsed = RoomVersionId::try_from(version).expect("a room version");
        Self {
            peer: peer.clone(),
            id: id.to_owned(),
            version: version.to_owned(),
            rules: parsed.rules().expect("a known room version"),
            events: BTreeMap::new(),
            ends: Vec::new(),
            newest_ms: BEGINNING_MS,
        }
    }

    /// A room of Skerry's as one of its members shows it.
    pub async fn of(peer: &Peer, user: &User, id: &str) -> Self {
        let create = user.state(id, "m.room.create", "").ok().await;
        let mut room = Self::empty(peer, id, create["room_version"].as_str().unwrap_or("1"));
        let sync = room.sync(user).until("the room", |it| it.joined(id).map(|_| it.clone())).await;
        room.take(sync.joined(id).expect("the room"));
        room
    }

    /// A public room that `@carol` of the peer made, with these further members and their levels.
    pub fn create(peer: &Peer, version: &str, members: &[(&str, i64)]) -> Self {
        let mut room = Self::empty(peer, &format!("!{}:{}", unique("room"), peer.name), version);
        let rules = room.rules.authorization.clone();
        let carol = peer.user("carol");
        // In version 12 the room's ID is the hash of this.
        let mut content = json!({ "room_version": version, "org.example.name": unique("room") });
        if !rules.use_room_create_sender {
            content["creator"] = json!(carol);
        }
        let create = room.add(Draft::state(&carol, "m.room.create", "", content));
        if rules.room_create_event_id_as_room_id {
            room.id = create.id.replacen('$', "!", 1);
        }
        room.add(Draft::join(&carol));
        let mut users: BTreeMap<String, i64> =
            members.iter().map(|(name, level)| (peer.user(name), *level)).collect();
        if !rules.explicitly_privilege_room_creators {
            users.insert(carol.clone(), 100);
        }
        let state = |kind: &str, content| Draft::state(&carol, kind, "", content);
        room.add(state("m.room.power_levels", json!({ "users": users })));
        room.add(state("m.room.join_rules", json!({ "join_rule": "public" })));
        let shared = json!({ "history_visibility": "shared" });
        room.add(state("m.room.history_visibility", shared));
        for (name, _) in members {
            room.add(Draft::join(&peer.user(name)));
        }
        room
    }

    /// A user of the peer has joined: what the join was answered with, and the join, behind which
    /// the peer goes on.
    pub fn enter(&mut self, chain: &[Value], state: &[Value], join: &Value) -> Event {
        let mut before = StateIds::new();
        for (pdus, is_state) in [(chain, false), (state, true)] {
            for pdu in pdus {
                let id = event_id(pdu, &self.rules);
                let event = Event { id, pdu: pdu.clone(), state: Arc::default() };
                let event = self.remember(event, false);
                if is_state {
                    before.extend((*event.state).clone());
                }
            }
        }
        self.ends.clear();
        self.signed(join, before, true)
    }

    /// Reads on until a member of Skerry's is shown that event, and gives it.
    pub async fn read(&mut self, user: &User, upto: &str) -> Event {
        self.read_in("join", user, upto).await
    }

    /// Reads on until a user who has left is shown that event as one of those that they may see.
    pub async fn read_left(&mut self, user: &User, upto: &str) -> Event {
        self.read_in("leave", user, upto).await
    }

    async fn read_in(&mut self, section: &str, user: &User, upto: &str) -> Event {
        let found = |sync: &Sync| {
            let timeline = sync.room(section, &self.id)?.timeline();
            let found = timeline.iter().any(|it| event_id(it, &self.rules) == upto);
            found.then(|| sync.clone())
        };
        let sync = self.sync(user).until(upto, found).await;
        self.take(sync.room(section, &self.id).expect("the room"));
        self.event(upto).clone()
    }

    fn sync(&self, user: &User) -> crate::SyncRequest {
        let room = json!({ "rooms": [self.id], "timeline": { "limit": 100 },
            "include_leave": true });
        user.sync().filter(&json!({ "event_format": "federation", "room": room }))
    }

    /// Remembers what a timeline shows.
    fn take(&mut self, room: Room<'_>) {
        for pdu in room.state().iter().chain(room.timeline()) {
            let id = event_id(pdu, &self.rules);
            if !self.events.contains_key(&id) {
                let before = self.state_after(&ids_in(&pdu["prev_events"]));
                self.remember(Event { id, pdu: pdu.clone(), state: Arc::new(before) }, true);
            }
        }
    }

    /// An event that the peer knows.
    pub fn event(&self, id: &str) -> &Event {
        self.events.get(id).unwrap_or_else(|| panic!("the peer does not know {id}"))
    }

    /// An event, where the peer knows it.
    pub fn find(&self, id: &str) -> Option<&Event> {
        self.events.get(id)
    }

    /// The events of the state before an event.
    pub fn state_before(&self, event: &Event) -> Vec<Event> {
        let state = self.state_after(&event.prev());
        state.values().map(|it| self.event(it).clone()).collect()
    }

    /// The state event of all ends.
    pub fn state(&self, kind: &str, key: &str) -> Event {
        let state = self.state_after(&self.ends);
        let id = state.get(&(kind.to_owned(), key.to_owned()));
        self.event(id.unwrap_or_else(|| panic!("no {kind} {key}"))).clone()
    }

    /// The events of the state after an event.
    pub fn state_at(&self, id: &str) -> Vec<Event> {
        self.event(id).state.values().map(|it| self.event(it).clone()).collect()
    }

    /// All events that the peer knows and an event builds on, the oldest first.
    pub fn before(&self, event: &Event) -> Vec<Event> {
        let mut found = BTreeMap::new();
        let mut todo = event.prev();
        while let Some(id) = todo.pop() {
            let Some(event) = self.find(&id) else { continue };
            if found.insert((event.pdu["depth"].as_u64(), id), event).is_none() {
                todo.extend(event.prev());
            }
        }
        found.into_values().cloned().collect()
    }

    /// The event that is the only end.
    pub fn end(&self) -> Event {
        assert_eq!(self.ends.len(), 1, "a room without forks");
        self.event(&self.ends[0]).clone()
    }

    /// All events that the peer knows.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.values()
    }

    /// The state after all ends.
    pub fn current(&self) -> StateIds {
        self.state_after(&self.ends)
    }

    /// The states after these taken together. A peer does not resolve: the last one wins.
    fn state_after(&self, ids: &[String]) -> StateIds {
        let known = || ids.iter().filter_map(|id| self.events.get(id));
        let mut state = known().next().map(|it| (*it.state).clone()).unwrap_or_default();
        for event in known().skip(1) {
            state.extend((*event.state).clone());
        }
        state
    }

    fn remember(&mut self, mut event: Event, follows: bool) -> Event {
        if let Some(key) = event.pdu["state_key"].as_str() {
            let kind = event.pdu["type"].as_str().expect("a type");
            let key = (kind.to_owned(), key.to_owned());
            Arc::make_mut(&mut event.state).insert(key, event.id.clone());
        }
        self.newest_ms = self.newest_ms.max(event.pdu["origin_server_ts"].as_u64().unwrap_or(0));
        if follows {
            let prev = event.prev();
            self.ends.retain(|it| !prev.contains(it));
            self.ends.push(event.id.clone());
        }
        self.events.insert(event.id.clone(), event.clone());
        event
    }

    /// Makes an event, behind all ends unless it says otherwise, and goes on from it.
    pub fn add(&mut self, draft: Draft) -> Event {
        let (pdu, before) = self.unsigned(draft);
        self.signed(&self.peer.sign(&pdu, &self.rules), before, true)
    }

    /// An event as the peer prepares it for a user of another server: neither hashed nor signed.
    pub fn prepare(&mut self, draft: Draft) -> Value {
        self.unsigned(draft).0
    }

    /// Goes on from an event that another server has signed.
    pub fn follow(&mut self, pdu: &Value) -> Event {
        let before = self.state_after(&ids_in(&pdu["prev_events"]));
        self.signed(pdu, before, true)
    }

    /// Signs an event that Skerry has made for a user of the peer, and goes on from it.
    pub fn complete(&mut self, template: &Value) -> Event {
        let mut pdu = template.clone();
        if self.rules.event_format.require_event_id {
            pdu["event_id"] = json!(made_up_id(&self.peer.name));
        }
        let before = self.current();
        self.signed(&self.peer.sign(&pdu, &self.rules), before, true)
    }

    /// The IDs of events as they came.
    pub fn ids(&self, pdus: &Value) -> Vec<String> {
        let pdus = pdus.as_array().unwrap_or_else(|| panic!("no events: {pdus}")).iter();
        pdus.map(|it| event_id(it, &self.rules)).collect()
    }

    /// Makes an event that later ones do not build on by themselves.
    pub fn stray(&mut self, draft: Draft) -> Event {
        let (pdu, before) = self.unsigned(draft);
        self.signed(&self.peer.sign(&pdu, &self.rules), before, false)
    }

    /// Makes an event that another peer signs.
    pub fn signed_by(&mut self, peer: &Peer, draft: Draft) -> Event {
        let (pdu, before) = self.unsigned(draft);
        self.signed(&peer.sign(&pdu, &self.rules), before, false)
    }

    pub(super) fn signed(&mut self, pdu: &Value, before: StateIds, follows: bool) -> Event {
        let id = event_id(pdu, &self.rules);
        self.remember(Event { id, pdu: pdu.clone(), state: Arc::new(before) }, follows)
    }

    /// Fills in what an honest server would say, and gives the state before the event.
    pub(super) fn unsigned(&mut self, draft: Draft) -> (Value, StateIds) {
        let prev = draft.prev.clone().unwrap_or_else(|| self.ends.clone());
        let before = self.state_after(&prev);
        let auth = draft.auth.clone();
        let auth = auth.unwrap_or_else(|| draft.authorized_by(&before, &self.rules));
        let creates = draft.text("type") == "m.room.create";
        let made_up = made_up_id(draft.server());
        let mut fields = draft.fields;
        let depths = prev.iter().filter_map(|id| self.events.get(id)?.pdu["depth"].as_u64());
        let depth = depths.max().unwrap_or(0) + 1;
        self.newest_ms += 1;
        let mut fill = |field: &str, value: Value| {
            if fields.get(field).is_none() {
                fields[field] = value;
            }
        };
        fill("depth", json!(depth));
        fill("origin_server_ts", json!(self.newest_ms));
        fill("prev_events", self.references(&prev));
        fill("auth_events", self.references(&auth));
        if !(creates && self.rules.authorization.room_create_event_id_as_room_id) {
            fill("room_id", json!(self.id));
        }
        if self.rules.event_format.require_event_id {
            fill("event_id", json!(made_up));
        }
        (fields, before)
    }

    fn references(&self, ids: &[String]) -> Value {
        match self.rules.events_reference_format {
            EventsReferenceFormatVersion::V1 => ids.iter().map(|id| self.with_hash(id)).collect(),
            _ => json!(ids),
        }
    }

    fn with_hash(&self, id: &str) -> Value {
        let hash = reference_hash(&object(&self.event(id).pdu), &self.rules);
        json!([id, { "sha256": hash.expect("a reference hash") }])
    }

    /// Hands events over as they happen, and gives the outcomes.
    pub async fn send(&self, server: &Server, events: &[&Event]) -> Vec<Value> {
        self.hand(server, "live", events).await
    }

    /// Hands events over as `live`, `outlier` or `history`.
    pub async fn hand(&self, server: &Server, kind: &str, events: &[&Event]) -> Vec<Value> {
        self.hand_with(server, kind, events, json!([]), &[&self.peer]).await
    }

    /// Hands events over with states after events that are missing, and with these peers' keys.
    pub async fn hand_with(
        &self,
        server: &Server,
        kind: &str,
        events: &[&Event],
        states: Value,
        peers: &[&Peer],
    ) -> Vec<Value> {
        let keys: Vec<_> = peers.iter().map(|it| it.key()).collect();
        let pdus: Vec<_> = events.iter().map(|it| &it.pdu).collect();
        let receive = json!({ "events": pdus, "keys": keys, "kind": kind, "states": states });
        let received = self.ask(server, &json!({ "receive": receive })).await;
        assert_eq!(received.len(), events.len(), "an outcome for each: {received:?}");
        for (event, received) in events.iter().zip(&received) {
            let said = &received["event_id"];
            // What was changed so that it is dropped may have another ID.
            let is_dropped = received["outcome"].get("dropped").is_some();
            let is_named = said.is_null() || *said == event.id.as_str();
            assert!(is_named || is_dropped, "{}: {received}", event.id);
        }
        received.into_iter().map(|it| it["outcome"].clone()).collect()
    }

    /// Carries a command to the room and gives what became of the events in it.
    pub async fn ask(&self, server: &Server, command: &Value) -> Vec<Value> {
        outcomes(&self.command(server, command).await.ok())
    }

    /// Carries a command to the room and gives whatever it answers.
    pub async fn command(&self, server: &Server, command: &Value) -> Reply {
        let route = format!("/_skerry/test{}", path(["room", &self.id]));
        Client::new(server.url()).post(route).json(command).send().await
    }

    /// Hands events over one request after the other; each must be accepted as it is.
    pub async fn accept(&self, server: &Server, events: &[&Event]) {
        for event in events {
            let outcome = &self.send(server, &[event]).await[0];
            let accepted = json!({ "accepted": { "redacted": false } });
            assert_eq!(*outcome, accepted, "{} {}", event.id, event.pdu);
        }
    }

    /// Hands an event over that must meet that fate, and gives the reason.
    pub async fn refuse(&self, server: &Server, event: &Event, fate: &str) -> String {
        let outcome = &self.send(server, &[event]).await[0];
        assert_eq!(outcome_name(outcome), fate, "{outcome} for {}", event.pdu);
        let reason = outcome[fate]["reason"].as_str().expect("a reason");
        assert!(!reason.is_empty(), "a reason says something: {outcome}");
        reason.to_owned()
    }

    /// Hands over all that is before an event, as history.
    pub async fn tell_history(&self, server: &Server, event: &Event) {
        let events = self.before(event);
        for outcome in self.hand(server, "history", &events.iter().collect::<Vec<_>>()).await {
            assert_eq!(outcome, json!({ "accepted": { "redacted": false } }));
        }
    }
}

/// What a room says became of events: under the name of the question, of one or of several.
pub fn outcomes(reply: &Value) -> Vec<Value> {
    let answer = reply.as_object().and_then(|it| it.values().next());
    match answer.unwrap_or_else(|| panic!("no outcomes: {reply}")) {
        Value::Array(events) => events.clone(),
        event => vec![event.clone()],
    }
}
