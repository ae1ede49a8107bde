//! What a room stands on here: its own database, and no other objects.

use std::sync::Arc;

use ruma::RoomId;
use skerry::{
    messages::{Ask, room::ToRoom},
    objects::{Object as _, room::Room},
    server::{
        Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, ONE_PROCESS_SESSION_CACHE_MS, Registration,
        Server,
    },
};
use skerry_core::SigningKey;
use skerry_local::{sqlite::Sqlite, store};
use tempfile::TempDir;

use super::alone::{Host, nobody};

/// A server with one room.
pub struct Stand {
    _directory: TempDir,
    server: Arc<Server>,
    pub sql: Arc<Sqlite>,
    room: Arc<Room>,
}

impl Stand {
    /// A server of this name and key, which knows nothing yet.
    pub async fn open(name: &str, key: SigningKey, room_id: &RoomId) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(directory.path()).await.unwrap();
        store::migrate(&sqlite).await.unwrap();
        let server = Arc::new(Server {
            name: name.try_into().unwrap(),
            signing_key: key,
            config: Config {
                registration: Registration::Closed,
                registration_token_hash: None,
                public_base_url: None,
                access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
                private_servers: Vec::new(),
                session_cache_ms: ONE_PROCESS_SESSION_CACHE_MS,
            },
        });
        let sql = Arc::new(sqlite);
        let host = Arc::new(Host(Arc::clone(&sql), nobody()));
        let room = Room::new(room_id.to_owned(), Arc::clone(&server), host);
        Self { _directory: directory, server, sql, room }
    }

    /// Asks the room.
    pub async fn ask<A: Ask<Recipient = ToRoom>>(&self, question: A) -> A::Reply {
        A::from_reply(self.room.ask(question.into_command()).await.unwrap()).unwrap()
    }

    /// The room forgets all that it does not have in its store.
    pub fn restart(&mut self, room_id: &RoomId) {
        let host = Arc::new(Host(Arc::clone(&self.sql), nobody()));
        self.room = Room::new(room_id.to_owned(), Arc::clone(&self.server), host);
    }
}
