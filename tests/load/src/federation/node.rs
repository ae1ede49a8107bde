//! A homeserver that other servers reach, with one user.

use std::{path::Path, sync::Arc, time::Duration};

use skerry_tests::{Federated, Homeserver, Host, Options, Synapse};
use tokio::time::Instant;

use crate::{
    api::{self, User},
    error::Result,
    http::{Connection, Request},
    probe::{Probe, first_child},
    target::Target,
};

/// What the server logs where nobody says otherwise.
const LOG_LEVEL: &str = "info";
const PASSWORD: &str = "load of a federation";

/// A running server. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Node {
    server: Running,
    /// For clients.
    pub(super) target: Arc<Target>,
    /// For requests made one after the other.
    pub(super) connection: Connection,
    pub(super) user: User,
}

impl Node {
    /// Starts a Skerry with fresh data, and registers its user.
    pub(super) async fn start(program: &Path) -> Result<Self> {
        let options = Options {
            binary: Some(program.to_owned()),
            log_level: LOG_LEVEL.to_owned(),
            ..Options::default()
        };
        Self::of(Running::Skerry(Box::new(Federated::start_with(Host::Native, options)))).await
    }

    /// The same of a Synapse.
    pub(super) async fn start_synapse() -> Result<Self> {
        Self::of(Running::Synapse(Box::new(Synapse::start()))).await
    }

    async fn of(server: Running) -> Result<Self> {
        let target = Arc::new(Target::resolve(server.homeserver().url(), false).await?);
        let mut connection = Connection::new(&target);
        let user = api::register(&mut connection, "alice", PASSWORD, None).await?;
        Ok(Self { server, target, connection, user })
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        self.server.homeserver().name()
    }

    /// Looks at these Skerrys: at their own processes, not at those that guard them.
    pub(super) fn probe(nodes: &[&Self]) -> Probe {
        let pids = nodes.iter().filter_map(|node| match &node.server {
            Running::Skerry(it) => Some(first_child(it.pid()).unwrap_or_else(|| it.pid())),
            Running::Synapse(_) => None,
        });
        Probe { pids: pids.collect(), data_dir: None }
    }

    /// Has its user join a room by way of a server, and tells how long the client waited.
    pub(super) async fn join(&mut self, room: &str, via: &str) -> Result<Duration> {
        let (room, via) = (api::encode(room), api::encode(via));
        let path = format!("/_matrix/client/v3/join/{room}?via={via}&server_name={via}");
        let asked = Instant::now();
        self.connection.call(Request::post(&path, &self.user.token, "{}")).await?;
        Ok(asked.elapsed())
    }
}

/// A homeserver of either program.
#[derive(Debug)]
enum Running {
    Skerry(Box<Federated>),
    Synapse(Box<Synapse>),
}

impl Running {
    fn homeserver(&self) -> &dyn Homeserver {
        match self {
            Self::Skerry(it) => &**it,
            Self::Synapse(it) => &**it,
        }
    }
}
