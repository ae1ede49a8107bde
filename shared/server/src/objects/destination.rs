//! `Destination`: another server, as this one knows it: what waits for it in rooms, whether it
//! answers, its keys.
//!
//! It reads rooms as a user does ([`skerry_core::delivery`]): a room says once that something
//! waits, and it is read when it is sent: events, and what has been read since. So what is kept for
//! a server that does not answer is a row for each room, however long that lasts. Who types is kept
//! in memory until the next transaction, and not at all for a server that does not answer. What is
//! no event and must not get lost waits in rows of its own ([`queue`]).
//!
//! Its keys are asked for here and nowhere else, so that one request is under way however many wait
//! for it, and a server that does not answer is left alone for a while by all.

mod devices;
mod faults;
mod keys;
mod leaving;
mod lists;
mod queue;
mod rooms;
mod sending;
mod statuses;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma::OwnedServerName;
use tokio::sync::Mutex as Turn;

use self::{faults::Counted, keys::Keys, rooms::State};
use crate::{
    Result,
    messages::destination::{Command, Reply, ToDestination},
    objects::{Object, held::Total, turns::Turns},
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
    faults: tokio::sync::Mutex<Counted>,
    sending: Turns,
    /// Of whoever tells rooms of changed devices.
    telling: Turns,
    /// Of whoever fetches lists of devices again.
    refetching: Turns,
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
            faults: tokio::sync::Mutex::default(),
            sending: Turns::default(),
            telling: Turns::default(),
            refetching: Turns::default(),
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
            Command::TypingActivity(it) => {
                Reply::TypingActivity(Box::pin(self.take_typing(*it)).await?)
            }
            Command::StatusActivity(it) => {
                Reply::StatusActivity(Box::pin(self.take_statuses(*it)).await?)
            }
            Command::ReceiveStatuses(it) => {
                Reply::ReceiveStatuses(Box::pin(self.receive_statuses(it.statuses)).await?)
            }
            Command::SendEdus(it) => Reply::SendEdus(Box::pin(self.queue_edus(*it)).await?),
            Command::SignOfLife(_) => Reply::SignOfLife(Box::pin(self.take_sign_of_life()).await?),
            Command::CountFaults(it) => {
                Reply::CountFaults(Box::pin(self.count_faults(it.faults)).await?)
            }
            Command::Leave(it) => Reply::Leave(Box::pin(self.leave(*it)).await?),
            Command::ListRooms(it) => Reply::ListRooms(Box::pin(self.list_rooms(it.limit)).await?),
            Command::ChangeDevices(it) => {
                Reply::ChangeDevices(Box::pin(self.change_devices(*it)).await?)
            }
            Command::GetDeviceLists(it) => {
                Reply::GetDeviceLists(Box::pin(self.get_device_lists(*it)).await?)
            }
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
