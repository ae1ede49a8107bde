//! `Destination`: another server, as this one knows it: what waits for it in rooms, whether it
//! answers, its keys.
//!
//! It reads rooms as a user does ([`skerry_core::delivery`]): a room says once that something
//! waits, and it is read when it is sent. So what is kept for a server that does not answer is a
//! row for each room, however long that lasts.
//!
//! Its keys are asked for here and nowhere else, so that one request is under way however many wait
//! for it, and a server that does not answer is left alone for a while by all.

mod keys;
mod rooms;
mod sending;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool};

use ruma::OwnedServerName;
use tokio::sync::Mutex as Turn;

use self::{keys::Keys, rooms::State};
use crate::{
    Result,
    messages::destination::{Command, Reply, ToDestination},
    objects::{Object, held::Total},
    peers::{self, Peers},
    ports::ObjectHost,
    server::Server,
    store::migrations::{self, Migration},
};

/// What all destinations of a process hold in memory, of which so many bytes are not too much.
pub static DESTINATIONS: Total = Total::new(16 << 20);

/// One other server.
pub struct Destination {
    name: OwnedServerName,
    server: Arc<Server>,
    host: Arc<dyn ObjectHost>,
    /// Where it is.
    memory: peers::Memory,
    keys: Mutex<Keys>,
    /// Held by whoever asks the server for its keys.
    asking: Turn<()>,
    state: tokio::sync::Mutex<Option<State>>,
    /// Held by whoever sends.
    sending: Turn<()>,
    /// There may be more to send than whoever sends has seen.
    is_wanted: AtomicBool,
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Destination").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Object for Destination {
    const KIND: &'static str = "destination";
    const HELD: &'static Total = &DESTINATIONS;
    const MIGRATIONS: &'static [Migration] = migrations::DESTINATION;
    type Id = OwnedServerName;
    type Recipient = ToDestination;
    type Context = Arc<Server>;

    fn new(name: Self::Id, server: Arc<Server>, host: Arc<dyn ObjectHost>) -> Arc<Self> {
        Arc::new(Self {
            name,
            server,
            host,
            memory: peers::Memory::default(),
            keys: Mutex::default(),
            asking: Turn::default(),
            state: tokio::sync::Mutex::default(),
            sending: Turn::default(),
            is_wanted: AtomicBool::default(),
        })
    }

    async fn ask(self: &Arc<Self>, command: Command) -> Result<Reply> {
        Ok(match command {
            Command::GetKeys(it) => Reply::GetKeys(Box::pin(self.get_keys(*it)).await?),
            Command::GetKeyAnswer(it) => {
                Reply::GetKeyAnswer(Box::pin(self.get_key_answer(*it)).await?)
            }
            Command::RoomActivity(it) => {
                Reply::RoomActivity(Box::pin(self.take_activity(*it)).await?)
            }
            Command::SignOfLife(_) => Reply::SignOfLife(Box::pin(self.take_sign_of_life()).await?),
        })
    }

    async fn alarm(self: &Arc<Self>) -> Result<()> {
        self.on_alarm().await
    }
}

impl Destination {
    fn peers(&self) -> Peers<'_> {
        Peers::of_object(&*self.host, &self.server, &self.memory)
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
