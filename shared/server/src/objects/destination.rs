//! `Destination`: another server, as this one knows it.
//!
//! Its keys are asked for here and nowhere else, so that one request is under way however many wait
//! for it, and a server that does not answer is left alone for a while by all.

mod keys;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma::OwnedServerName;
use tokio::sync::Mutex as Turn;

use self::keys::Keys;
use crate::{
    Result,
    messages::destination::{Command, Reply, ToDestination},
    objects::{Object, held::Total},
    peers::{self, Peers},
    ports::ObjectHost,
    server::Server,
    store::migrations::Migration,
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
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Destination").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Object for Destination {
    const KIND: &'static str = "destination";
    const HELD: &'static Total = &DESTINATIONS;
    const MIGRATIONS: &'static [Migration] = &[];
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
        })
    }

    async fn ask(self: &Arc<Self>, command: Command) -> Result<Reply> {
        Ok(match command {
            Command::GetKeys(it) => Reply::GetKeys(Box::pin(self.get_keys(*it)).await?),
            Command::GetKeyAnswer(it) => {
                Reply::GetKeyAnswer(Box::pin(self.get_key_answer(*it)).await?)
            }
        })
    }

    /// It has nothing to do later.
    async fn alarm(self: &Arc<Self>) -> Result<()> {
        Ok(())
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
