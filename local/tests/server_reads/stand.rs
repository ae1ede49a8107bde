//! A room of another server that a user of this one has joined, and which others come to.

use std::sync::Arc;

use ruma::{
    OwnedEventId, OwnedServerName, OwnedUserId, UserId, api::client::filter::RoomEventFilter,
    owned_device_id,
};
use serde_json::{Value as JsonValue, json};
use skerry::{
    Result,
    messages::{
        Ask, Caller, RawJson, Requester,
        room::{
            Direction, GetEvent, GetMessages, GetState, Join, Kind, Outcome, Receive, ServerKey,
            Stage, ToRoom,
        },
    },
    objects::{Object as _, room::Room},
    server::{
        Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, ONE_PROCESS_SESSION_CACHE_MS, Registration,
        Server,
    },
};
use skerry_core::{Pdu, room_version};
use skerry_local::{sqlite::Sqlite, store};
use tempfile::TempDir;

use crate::{
    alone::{Host, nobody},
    world::{MEMBER, OWN, TOPIC, World, keys, own_key, raw, user},
};

/// The server that the room is of.
pub(crate) const PEER: &str = "peer.example";
/// The server whose reads are looked at.
pub(crate) const THIRD: &str = "third.example:8448";

/// Events in one page of history: few, so that there are several pages.
const PAGE: u64 = 3;

/// A room, and its store.
pub(crate) struct Stand {
    _directory: TempDir,
    server: Arc<Server>,
    pub(crate) sqlite: Arc<Sqlite>,
    pub(crate) room: Arc<Room>,
    pub(crate) world: World,
}

/// A server that asks.
pub(crate) fn server(name: &str) -> Requester {
    Requester::Server(OwnedServerName::try_from(name).unwrap())
}

/// The user of this server who is in the room.
pub(crate) fn alice() -> Caller {
    Caller { user_id: user("alice", OWN), device_id: owned_device_id!("HERE") }
}

/// The keys of all servers that send events.
fn all_keys() -> Vec<ServerKey> {
    let mut keys = keys();
    let third = OwnedServerName::try_from(THIRD).unwrap();
    keys.push(ServerKey { server: third, ..keys[0].clone() });
    keys
}

impl Stand {
    /// A room that is not here.
    pub(crate) async fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Arc::new(Sqlite::open(directory.path()).await.unwrap());
        store::migrate(&*sqlite).await.unwrap();
        let server = Arc::new(Server {
            name: OWN.try_into().unwrap(),
            signing_key: own_key(),
            config: Config {
                registration: Registration::Closed,
                registration_token_hash: None,
                public_base_url: None,
                access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
                session_cache_ms: ONE_PROCESS_SESSION_CACHE_MS,
                private_servers: Vec::new(),
            },
        });
        let world = World::small();
        let room = build(&world, &server, &sqlite);
        Self { _directory: directory, server, sqlite, room, world }
    }

    /// A public room with Carol, whose server it is of, and Alice, with this history visibility.
    pub(crate) async fn new(visibility: &str) -> Self {
        let mut stand = Self::empty().await;
        let join = stand.world.own_join(&alice().user_id);
        let stage = Stage {
            attempt: "only".to_owned(),
            begins: true,
            room_version: room_version::DEFAULT,
            events: stand.world.all.iter().map(raw).collect(),
            is_state: true,
            keys: keys(),
        };
        stand.ask(stage).await.unwrap();
        let (attempt, room_version) = ("only".to_owned(), room_version::DEFAULT);
        let ask_join = Join { attempt, room_version, event: raw(&join), keys: keys() };
        let joined = stand.ask(ask_join).await.unwrap();
        assert_eq!(joined.outcome, Outcome::Accepted { redacted: false });
        stand.world.take(&join);
        let content = json!({ "history_visibility": visibility });
        stand.by_carol("m.room.history_visibility", content).await;
        stand
    }

    /// The room as it is in its store, with nothing in memory.
    pub(crate) fn restarted(&self) -> Arc<Room> {
        build(&self.world, &self.server, &self.sqlite)
    }

    pub(crate) async fn ask<A: Ask<Recipient = ToRoom>>(&self, question: A) -> Result<A::Reply> {
        ask(&self.room, question).await
    }

    pub(crate) async fn receive(&self, pdu: &Pdu) {
        let events = vec![raw(pdu)];
        let receive = Receive { events, keys: all_keys(), kind: Kind::Live, states: Vec::new() };
        let received = self.ask(receive).await.unwrap().remove(0);
        assert_eq!(received.outcome, Outcome::Accepted { redacted: false }, "{}", pdu.json);
    }

    /// An event is made, and received.
    pub(crate) async fn add(
        &mut self,
        sender: &UserId,
        event_type: &str,
        state_key: Option<&str>,
        content: JsonValue,
    ) -> Pdu {
        let pdu = self.world.add(sender, event_type, state_key, content);
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
        let warm = texts(&self.room, requester).await;
        let cold = texts(&self.restarted(), requester).await;
        match (&warm, &cold) {
            (Ok(warm), Ok(cold)) => assert_eq!(warm, cold, "what memory says, and the store"),
            (Err(warm), Err(cold)) => assert_eq!(warm.to_json(), cold.to_json()),
            differ => panic!("{differ:?}"),
        }
        warm
    }

    pub(crate) async fn event(&self, requester: &Requester, pdu: &Pdu) -> Result<RawJson> {
        let event_id = pdu.event_id.clone();
        self.ask(GetEvent { requester: requester.clone(), event_id }).await
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
        let event = self.ask(GetEvent { requester: requester.clone(), event_id }).await;
        let state = self.ask(GetState { requester: requester.clone() }).await;
        let messages = self.ask(page(&requester, None)).await;
        let errors = [event.unwrap_err(), state.unwrap_err(), messages.unwrap_err()];
        errors.iter().map(|it| (it.status().as_u16(), it.to_json())).collect()
    }
}

fn build(world: &World, server: &Arc<Server>, sqlite: &Arc<Sqlite>) -> Arc<Room> {
    let host = Arc::new(Host(Arc::clone(sqlite), nobody()));
    Room::new(world.create.room_id.clone(), Arc::clone(server), host)
}

async fn ask<A: Ask<Recipient = ToRoom>>(room: &Arc<Room>, question: A) -> Result<A::Reply> {
    room.ask(question.into_command()).await.map(|it| A::from_reply(it).unwrap())
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
