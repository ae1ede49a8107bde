//! One of Skerry's servers: a database that stays, and a process that comes and goes.

use std::{sync::Arc, time::Duration};

use skerry::{
    api::{self, Cx},
    bootstrap::{FirstToken, bootstrap},
    limiters::OneProcess,
    objects::absent_rooms::WithAbsentRooms,
    ports::{Clock as _, Ports},
    server::{
        Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, ONE_PROCESS_SESSION_CACHE_MS, Presence,
        Registration,
    },
};
use skerry_core::rate_limits::RateLimits;
use skerry_local::{
    registry::{LocalObjects, Registry},
    sqlite::InMemory,
};

use crate::{
    host::{self, BEGIN_MS, Chance, Disk, Life, Slowness, VirtualClock},
    network::{Network, Node, Process},
    wire::Wire,
};

/// A server.
pub struct Server {
    /// Its name, which is its host.
    pub name: String,
    /// All that outlives its process.
    pub database: Arc<InMemory>,
    /// Where it is.
    pub network: Arc<Network>,
    /// How slow its disk is.
    pub slowness: Arc<Slowness>,
    /// Of a hundred batches its disk forgets so many.
    pub forgets: usize,
    clock: Arc<VirtualClock>,
    seed: u64,
    starts: u64,
    running: Option<(Life, Arc<Registry>)>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("name", &self.name).finish_non_exhaustive()
    }
}

fn config() -> Config {
    Config {
        registration: Registration::Open,
        registration_token_hash: None,
        public_base_url: None,
        access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
        private_servers: Vec::new(),
        session_cache_ms: ONE_PROCESS_SESSION_CACHE_MS,
        rate_limits: RateLimits::off(),
        encryption_by_default: skerry_core::create_room::EncryptionByDefault::default(),
        notaries: Vec::new(),
        presence: Presence::Off,
        limit_profile: false,
    }
}

impl Server {
    /// A server that does not run yet. Its clock is ahead by so much.
    pub fn new(
        index: usize,
        database: Arc<InMemory>,
        network: Arc<Network>,
        seed: u64,
        ahead_ms: u64,
    ) -> Self {
        let name = host::name(index);
        network.place(&name, Node::Down);
        Self {
            name,
            database,
            network,
            slowness: Arc::default(),
            forgets: 0,
            clock: Arc::new(VirtualClock::showing(BEGIN_MS + ahead_ms)),
            seed: seed.wrapping_mul(31).wrapping_add(index as u64),
            starts: 0,
            running: None,
        }
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// What time it is there.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// It begins to run.
    pub async fn start(&mut self) {
        if self.is_up() {
            return;
        }
        self.starts += 1;
        let life = Life::default();
        let random = Arc::new(Chance::new(self.seed.wrapping_mul(1_009).wrapping_add(self.starts)));
        let disk = Arc::new(Disk {
            database: self.database.clone(),
            life: life.clone(),
            chance: random.clone(),
            slowness: self.slowness.clone(),
            forgets: self.forgets,
        });
        let clock = self.clock.clone();
        let name = self.name.as_str().try_into().expect("a server name");
        let started =
            bootstrap(&*self.database, &*clock, &*random, name, config(), FirstToken::Never).await;
        let server = Arc::new(started.expect("a start").0);
        let wire = Arc::new(Wire {
            network: self.network.clone(),
            host: self.name.clone(),
            life: life.clone(),
        });
        let registry = Registry::new(
            disk.clone(),
            clock.clone(),
            random.clone(),
            wire.clone(),
            wire.clone(),
            server.clone(),
        );
        let registry = registry.await.expect("a registry");
        let objects = LocalObjects(registry.clone());
        let objects = WithAbsentRooms::new(objects, Arc::default(), clock.clone());
        let ports = Ports {
            global: disk,
            sessions: registry.sessions(),
            filters: Arc::default(),
            keys: Arc::default(),
            objects: Arc::new(objects),
            limiter: Arc::new(OneProcess::new(registry.limits(), clock.clone())),
            clock,
            random,
            http: wire.clone(),
            dns: wire,
        };
        let cx = Cx { ports, server, peers: Arc::default() };
        let process = Process { router: api::router(), cx, life: life.clone() };
        self.network.place(&self.name, Node::Up(process));
        self.running = Some((life, registry));
    }

    /// Its process ends at once: what is in memory is lost, what is under way comes to nothing.
    pub fn crash(&mut self) {
        let Some((life, registry)) = self.running.take() else { return };
        self.network.place(&self.name, Node::Down);
        life.end();
        // Gives back the memory: the process can do nothing any more.
        tokio::spawn(async move { registry.stop(Duration::ZERO).await });
    }

    /// The running process.
    pub fn process(&self) -> Option<Process> {
        match self.network.node(&self.name) {
            Some(Node::Up(process)) => Some(process),
            _ => None,
        }
    }
}
