//! A room of another server that a user of this one has joined, and which others come to.

use std::sync::Arc;

use ruma::{
    OwnedEventId, OwnedServerName, OwnedUserId, UserId, api::client::filter::RoomEventFilter,
};
use serde_json::{Value as JsonValue, json};
use skerry::{
    Result,
    messages::{
        Ask, Caller, RawJson, Requester,
        room::{Direction, GetEvent, GetMessages, GetState, Outcome, ToRoom},
    },
    objects::{Object as _, room::Room},
};
use skerry_core::Pdu;

use crate::{
    room::{self, ask},
    room_object::peer_room::{MEMBER, PEER, PeerRoom, TOPIC, caller, own_server, user},
};

/// Events in one page of history: few, so that there are several pages.
const PAGE: u64 = 3;

/// A room, its store, and what the other server knows of it.
pub(crate) struct Stand {
    pub(crate) own: room::Stand,
    pub(crate) peer: PeerRoom,
}

/// A server that asks.
pub(crate) fn server(name: &str) -> Requester {
    Requester::Server(OwnedServerName::try_from(name).unwrap())
}

/// The user of this server who is in the room.
pub(crate) fn alice() -> Caller {
    caller("alice")
}

impl Stand {
    /// A room that is not here.
    pub(crate) async fn empty() -> Self {
        let peer = PeerRoom::small();
        let own = room::Stand::empty(own_server(), &peer.create.room_id).await;
        Self { own, peer }
    }

    /// A public room with Carol, whose server it is of, and Alice, with this history visibility.
    pub(crate) async fn new(visibility: &str) -> Self {
        let mut stand = Self::empty().await;
        stand.own.alice_joins(&mut stand.peer).await;
        let content = json!({ "history_visibility": visibility });
        stand.by_carol("m.room.history_visibility", content).await;
        stand
    }

    /// The room as it is in its store, with nothing in memory.
    pub(crate) fn restarted(&self) -> Arc<Room> {
        let room::Stand { room_id, server, host, .. } = &self.own;
        Room::new(room_id.clone(), Arc::clone(server), host.clone())
    }

    pub(crate) async fn ask<A: Ask<Recipient = ToRoom>>(&self, question: A) -> Result<A::Reply> {
        self.own.ask(question).await
    }

    pub(crate) async fn receive(&self, pdu: &Pdu) {
        let outcome = self.own.receive(pdu).await;
        assert_eq!(outcome, Outcome::Accepted { redacted: false }, "{}", pdu.json);
    }

    /// An event is made, and received.
    pub(crate) async fn add(
        &mut self,
        sender: &UserId,
        event_type: &str,
        state_key: Option<&str>,
        content: JsonValue,
    ) -> Pdu {
        let pdu = self.peer.add(sender, event_type, state_key, content);
        self.receive(&pdu).await;
        pdu
    }

    /// Carol changes a piece of the state.
    pub(crate) async fn by_carol(&mut self, event_type: &str, content: JsonValue) -> Pdu {
        self.add(&user("carol", PEER), event_type, Some(""), content).await
    }

    pub(crate) async fn topic(&mut self, topic: &str) -> Pdu {
        self.by_carol(TOPIC, json!({ "topic": topic })).await
    }

    /// Carol says something.
    pub(crate) async fn say(&mut self, body: &str) -> Pdu {
        let (carol, content) = (user("carol", PEER), message(body));
        self.add(&carol, "m.room.message", None, content).await
    }

    /// A membership of somebody changes.
    pub(crate) async fn member(
        &mut self,
        sender: &UserId,
        user_id: &OwnedUserId,
        membership: &str,
    ) -> Pdu {
        let content = json!({ "membership": membership });
        self.add(sender, MEMBER, Some(user_id.as_str()), content).await
    }

    /// The texts of the messages that somebody sees, oldest first, page by page: by the room that
    /// has long been in memory, and by one that has just been loaded.
    pub(crate) async fn texts(&self, requester: &Requester) -> Result<Vec<String>> {
        let warm = self.own.beside_deferred(texts(&self.own.room, requester)).await;
        let cold = self.own.beside_deferred(texts(&self.restarted(), requester)).await;
        match (&warm, &cold) {
            (Ok(warm), Ok(cold)) => assert_eq!(warm, cold, "what memory says, and the store"),
            (Err(warm), Err(cold)) => assert_eq!(warm.to_json(), cold.to_json()),
            differ => panic!("{differ:?}"),
        }
        warm
    }

    pub(crate) async fn event(&self, requester: &Requester, pdu: &Pdu) -> Result<RawJson> {
        let event_id = pdu.event_id.clone();
        self.ask(GetEvent { requester: requester.clone(), event_id, ignored_users: Vec::new() })
            .await
    }

    pub(crate) async fn state(&self, requester: &Requester) -> Result<Vec<RawJson>> {
        self.ask(GetState { requester: requester.clone() }).await
    }

    /// All that a server may ask, with how it is refused.
    pub(crate) async fn refusals(
        &self,
        requester: &Requester,
        event_id: &OwnedEventId,
    ) -> Vec<(u16, JsonValue)> {
        let (requester, event_id) = (requester.clone(), event_id.clone());
        let event = self
            .ask(GetEvent { requester: requester.clone(), event_id, ignored_users: Vec::new() })
            .await;
        let state = self.ask(GetState { requester: requester.clone() }).await;
        let messages = self.ask(page(&requester, None)).await;
        let errors = [event.unwrap_err(), state.unwrap_err(), messages.unwrap_err()];
        errors.iter().map(|it| (it.status().as_u16(), it.to_json())).collect()
    }
}

pub(crate) fn message(body: &str) -> JsonValue {
    json!({ "msgtype": "m.text", "body": body })
}

/// A page of history, backward.
pub(crate) fn page(requester: &Requester, from: Option<u64>) -> GetMessages {
    GetMessages {
        requester: requester.clone(),
        from,
        to: None,
        direction: Direction::Backward,
        limit: PAGE,
        filter: RoomEventFilter::default(),
        ignored_users: Vec::new(),
    }
}

async fn texts(room: &Arc<Room>, requester: &Requester) -> Result<Vec<String>> {
    let (mut texts, mut from) = (Vec::new(), None);
    loop {
        let page = ask(room, page(requester, from)).await?;
        for event in page.chunk {
            let event: JsonValue = serde_json::from_str(event.get()).unwrap();
            texts.extend(event["content"]["body"].as_str().map(str::to_owned));
        }
        from = page.end;
        if from.is_none() {
            texts.reverse();
            return Ok(texts);
        }
    }
}
