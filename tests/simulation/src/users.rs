//! The users of a run, and what they know of each other's rooms.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::Method;
use serde_json::{Value, json};
use skerry_tests::{encode, path};

use crate::{client::Client, network::GENUINE, tally::Tally};

/// A room of a run.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its ID.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The server on which it was made.
    pub maker: String,
}

/// A message that its server has acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// Where it was sent.
    pub room_id: String,
    /// What it is.
    pub event_id: String,
    /// The server that acknowledged it.
    pub server: usize,
    /// What it says: no other message does.
    pub text: String,
}

/// What everybody knows.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Entries>);

/// See [`Journal`].
#[derive(Debug, Default)]
pub struct Entries {
    /// All messages that were acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// Who was joined to which room when that was heard last.
    pub joined: BTreeSet<(String, String)>,
    /// Events of each room that somebody may redact.
    pub events: BTreeMap<String, Vec<String>>,
    /// Messages so far.
    pub texts: u64,
}

impl Journal {
    /// Reads and writes it.
    pub fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_membership(&self, room_id: &str, user_id: &str, is_joined: bool) {
        let entry = (room_id.to_owned(), user_id.to_owned());
        let mut entries = self.entries();
        if is_joined {
            entries.joined.insert(entry);
        } else {
            entries.joined.remove(&entry);
        }
    }
}

/// A user of one of the servers.
#[derive(Clone, Debug)]
pub struct User {
    /// The number of their server.
    pub server: usize,
    /// Their client.
    pub client: Client,
    /// What everybody knows.
    pub journal: Arc<Journal>,
    /// What happened.
    pub tally: Arc<Tally>,
}

impl User {
    /// Their ID.
    pub fn id(&self) -> &str {
        &self.client.user_id
    }

    /// Sends a message, again and again until it is acknowledged or refused.
    pub async fn send(&self, room_id: &str) -> bool {
        let number = {
            let mut entries = self.journal.entries();
            entries.texts += 1;
            entries.texts
        };
        let text = format!("{GENUINE} {number}.");
        let target = path(["rooms", room_id, "send", "m.room.message", &format!("t{number}")]);
        let body = json!({ "msgtype": "m.text", "body": text });
        let reply = self.client.insist(Method::PUT, &target, &body).await;
        let Some(event_id) = reply.body["event_id"].as_str() else {
            self.tally.count("refused messages");
            return false;
        };
        self.tally.count("acknowledged messages");
        let acknowledged = Acknowledged {
            room_id: room_id.to_owned(),
            event_id: event_id.to_owned(),
            server: self.server,
            text,
        };
        let mut entries = self.journal.entries();
        entries.events.entry(room_id.to_owned()).or_default().push(event_id.to_owned());
        entries.acknowledged.push(acknowledged);
        true
    }

    /// Sets state, once. Says whether that was acknowledged.
    pub async fn set_state(&self, room_id: &str, kind: &str, content: &Value) -> bool {
        let target = path(["rooms", room_id, "state", kind, ""]);
        let reply = self.client.put(&target, content).await;
        let event_id = reply.as_ref().and_then(|it| it.body["event_id"].as_str());
        if event_id.is_some() {
            self.tally.count("state events");
        }
        // A redacted access control list lets no server in: the room would be no room any more.
        if let Some(event_id) = event_id.filter(|_| kind != "m.room.server_acl") {
            let mut entries = self.journal.entries();
            entries.events.entry(room_id.to_owned()).or_default().push(event_id.to_owned());
        }
        event_id.is_some()
    }

    /// Joins a room by way of these servers.
    pub async fn join(&self, room_id: &str, via: &[String]) -> bool {
        let via: Vec<_> = via.iter().map(|it| format!("via={}", encode(it))).collect();
        let target = format!("{}?{}", path(["join", room_id]), via.join("&"));
        let reply = self.client.post(&target, &json!({})).await;
        let is_joined = reply.is_some_and(|it| it.status.is_success());
        if is_joined {
            self.tally.count("joins");
            self.journal.note_membership(room_id, self.id(), true);
        }
        is_joined
    }

    /// Changes another user's membership: `invite`, `kick`, `ban`, `unban`.
    pub async fn change(&self, room_id: &str, action: &str, target: &str) -> bool {
        let body = json!({ "user_id": target });
        let reply = self.client.post(&path(["rooms", room_id, action]), &body).await;
        let is_done = reply.is_some_and(|it| it.status.is_success());
        if is_done {
            self.tally.count("memberships");
            if action != "invite" {
                self.journal.note_membership(room_id, target, false);
            }
        }
        is_done
    }

    /// Leaves, or turns down an invitation.
    pub async fn leave(&self, room_id: &str) {
        let reply = self.client.post(&path(["rooms", room_id, "leave"]), &json!({})).await;
        if reply.is_some_and(|it| it.status.is_success()) {
            self.tally.count("memberships");
            self.journal.note_membership(room_id, self.id(), false);
        }
    }

    /// Redacts an event.
    pub async fn redact(&self, room_id: &str, event_id: &str, transaction: &str) {
        let target = path(["rooms", room_id, "redact", event_id, transaction]);
        if self.client.put(&target, &json!({})).await.is_some_and(|it| it.status.is_success()) {
            self.tally.count("redactions");
        }
    }

    /// Has read up to an event.
    pub async fn receipt(&self, room_id: &str, event_id: &str) {
        let target = path(["rooms", room_id, "receipt", "m.read", event_id]);
        if self.client.post(&target, &json!({})).await.is_some_and(|it| it.status.is_success()) {
            self.tally.count("receipts");
        }
    }

    /// Types, or does not.
    pub async fn typing(&self, room_id: &str, is_typing: bool) {
        let target = path(["rooms", room_id, "typing", self.id()]);
        let body = json!({ "typing": is_typing, "timeout": 20_000 });
        self.client.put(&target, &body).await;
    }

    /// Makes a room; none: nobody knows whether there is one.
    pub async fn create(&self, body: &Value) -> Option<String> {
        let reply = self.client.post("/createRoom", body).await?;
        let room_id = reply.body["room_id"].as_str()?.to_owned();
        self.journal.note_membership(&room_id, self.id(), true);
        self.tally.count("rooms");
        Some(room_id)
    }
}
