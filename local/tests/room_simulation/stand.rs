//! What a room stands on here: its own database, and no other objects.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ruma::{RoomId, UserId};
use skerry::{
    Error, Result,
    messages::{
        room::{self, Command, Reply},
        user,
    },
    objects::room::Room,
    ports::{Clock, Deferred, ObjectHost, Objects, Sql, Stmt},
    server::{Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, Registration, Server},
};
use skerry_core::SigningKey;
use skerry_local::{machine::SystemClock, sqlite::Sqlite, store};
use tempfile::TempDir;

/// The only room's.
pub const SCOPE: i64 = 1;

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
            },
        });
        let sql = Arc::new(sqlite);
        let host = Arc::new(Host(Arc::clone(&sql)));
        let room = Room::new(room_id.to_owned(), Arc::clone(&server), host);
        Self { _directory: directory, server, sql, room }
    }

    /// Asks the room.
    pub async fn ask(&self, command: Command) -> Reply {
        self.room.ask(command).await.unwrap()
    }

    /// The room forgets all that it does not have in its store.
    pub fn restart(&mut self, room_id: &RoomId) {
        let host = Arc::new(Host(Arc::clone(&self.sql)));
        self.room = Room::new(room_id.to_owned(), Arc::clone(&self.server), host);
    }
}

struct Host(Arc<Sqlite>);

#[async_trait]
impl ObjectHost for Host {
    fn sql(&self) -> &dyn Sql {
        &*self.0
    }

    fn scope(&self) -> i64 {
        SCOPE
    }

    async fn commit(&self, stmts: Vec<Stmt>, _alarm_at_ms: Option<u64>) -> Result<()> {
        self.0.batch(stmts).await.map(drop)
    }

    fn wake(&self, _position: u64) {}

    fn defer(&self, work: Deferred) {
        tokio::spawn(work);
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }

    fn objects(&self) -> &dyn Objects {
        &Nobody
    }
}

/// Objects that are content with whatever they are told.
struct Nobody;

#[async_trait]
impl Objects for Nobody {
    async fn room(&self, _room_id: &RoomId, _command: room::Command) -> Result<room::Reply> {
        Err(Error::internal("there is one room"))
    }

    async fn user(&self, _user_id: &UserId, _command: user::Command) -> Result<user::Reply> {
        Ok(user::Reply::Done)
    }

    async fn wait(&self, _user_id: &UserId, _position: u64, _at_most: Duration) -> Result<()> {
        Ok(())
    }
}
