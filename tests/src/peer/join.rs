//! Joins of Skerry's users to a room of a peer: what the peer answers, and how it gets there.

use super::{Draft, Event, PeerRoom, outcomes};
use crate::{Client, Reply, Server, User, Value, json, path, unique};

/// What a peer answers a join with.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The state before the join.
    pub state: Vec<Event>,
    /// All other state events there have been: its auth chain, and more.
    pub chain: Vec<Event>,
}

impl Answer {
    /// The state with another event, whose key it may have already.
    #[must_use]
    pub fn with(mut self, event: &Event) -> Self {
        self.state.push(event.clone());
        self
    }

    /// Neither the state nor the auth chain has this event.
    #[must_use]
    pub fn without(mut self, event: &Event) -> Self {
        for events in [&mut self.state, &mut self.chain] {
            events.retain(|it| it.id != event.id);
        }
        self
    }
}

/// An attempt to join by way of a peer.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    server: &'a Server,
    room: PeerRoom,
    /// Its ID.
    pub id: String,
}

impl PeerRoom {
    /// What the peer answers a join with that comes behind all ends.
    pub fn answer(&self) -> Answer {
        let current = self.current();
        let all = self.events().filter(|it| it.pdu.get("state_key").is_some());
        let (state, chain) = all.cloned().partition(|it| current.values().any(|id| *id == it.id));
        Answer { state, chain }
    }

    /// A new attempt to join this room.
    pub fn attempt<'a>(&self, server: &'a Server) -> Attempt<'a> {
        Attempt { server, room: self.clone(), id: unique("attempt") }
    }

    /// A user's join behind all ends, signed by their own server. The room goes on from it.
    pub async fn sign_join(&mut self, server: &Server, user: &User) -> Event {
        let (unsigned, before) = self.unsigned(Draft::join(&user.id));
        let route = format!("/_skerry/test{}", path(["sign", &self.version]));
        let pdu = Client::new(server.url()).post(route).json(&unsigned).ok().await;
        self.signed(&pdu, before, true)
    }

    /// Lets a user of Skerry's join this room, and gives the join.
    pub async fn let_in(&mut self, server: &Server, user: &User) -> Event {
        let attempt = self.attempt(server);
        attempt.stage(&self.answer()).await;
        let join = self.sign_join(server, user).await;
        attempt.accepted(&join).await;
        join
    }
}

impl Attempt<'_> {
    /// Asks for events to be kept: the first part of the attempt, or a further one.
    pub async fn part(&self, begins: bool, is_state: bool, events: &[Event]) -> Reply {
        let pdus: Vec<_> = events.iter().map(|it| &it.pdu).collect();
        let stage = json!({ "attempt": self.id, "begins": begins, "events": pdus,
            "room_version": self.room.version, "is_state": is_state,
            "keys": [self.room.peer.key()] });
        self.ask(&json!({ "stage": stage })).await
    }

    /// Has an answer kept, from the attempt's beginning.
    pub async fn stage(&self, answer: &Answer) {
        for (begins, events) in [(true, &answer.chain), (false, &answer.state)] {
            for outcome in outcomes(&self.part(begins, !begins, events).await.ok()) {
                assert_eq!(outcome["outcome"], json!({ "accepted": { "redacted": false } }));
            }
        }
    }

    /// Asks for the join.
    pub async fn join(&self, event: &Event) -> Reply {
        let join = json!({ "attempt": self.id, "room_version": self.room.version,
            "event": event.pdu, "keys": [self.room.peer.key()] });
        self.ask(&json!({ "join": join })).await
    }

    /// What becomes of the join.
    pub async fn outcome(&self, event: &Event) -> Value {
        let outcome = outcomes(&self.join(event).await.ok()).remove(0);
        assert_eq!(outcome["event_id"], event.id.as_str());
        outcome["outcome"].clone()
    }

    /// The join must be accepted.
    pub async fn accepted(&self, event: &Event) {
        assert_eq!(self.outcome(event).await, json!({ "accepted": { "redacted": false } }));
    }

    async fn ask(&self, command: &Value) -> Reply {
        self.room.command(self.server, command).await
    }
}
