//! A world of scripted servers for the tests of this layer.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use ruma::{OwnedServerName, ServerName};
use skerry_core::{
    SigningKey,
    create_room::EncryptionByDefault,
    discovery::{Endpoint, Service},
    rate_limits::RateLimits,
};

use super::{Memory, PeerError, Peers};
use crate::{
    Result,
    ports::{
        Clock, Random,
        dns::Answer,
        scripted::{ScriptedDns, ScriptedHttp},
    },
    server::{Config, OwnKeys, Presence, Registration, Server},
};

/// When the world begins.
pub(super) const BEGIN_MS: u64 = 1_800_000_000_000;

/// A clock that stands still unless it is moved, or moves whenever somebody looks at it.
pub(super) struct StillClock {
    now_ms: AtomicU64,
    step_ms: AtomicU64,
}

impl Clock for StillClock {
    fn now_ms(&self) -> u64 {
        let step_ms = self.step_ms.load(Ordering::Relaxed);
        self.now_ms.fetch_add(step_ms, Ordering::Relaxed)
    }
}

struct Zeros;

impl Random for Zeros {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        buffer.fill(0);
        Ok(())
    }
}

/// Other servers, as this one sees them.
pub(super) struct World {
    pub(super) http: ScriptedHttp,
    pub(super) dns: ScriptedDns,
    pub(super) server: Server,
    clock: StillClock,
    memory: Memory,
}

impl World {
    pub(super) fn new() -> Self {
        let config = Config {
            registration: Registration::Closed,
            registration_token_hash: None,
            public_base_url: None,
            access_token_lifetime_ms: 1,
            session_cache_ms: 1,
            rate_limits: RateLimits::off(),
            private_servers: vec!["private.example".to_owned()],
            encryption_by_default: EncryptionByDefault::default(),
            notaries: Vec::new(),
            presence: Presence::Off,
            limit_profile: false,
        };
        let current = SigningKey::from_seed([7; 32], "ours").unwrap();
        let keys = OwnKeys { current, next: Vec::new(), old: Vec::new() };
        Self {
            http: ScriptedHttp::default(),
            dns: ScriptedDns::default(),
            server: Server::new(name("us.example"), keys, config),
            clock: StillClock { now_ms: BEGIN_MS.into(), step_ms: 0.into() },
            memory: Memory::default(),
        }
    }

    pub(super) fn peers(&self) -> Peers<'_> {
        Peers {
            http: &self.http,
            dns: &self.dns,
            clock: &self.clock,
            random: &Zeros,
            server: &self.server,
            memory: &self.memory,
            spares_silent: false,
        }
    }

    /// The way of what clients wait for.
    pub(super) fn impatient_peers(&self) -> Peers<'_> {
        Peers { spares_silent: true, ..self.peers() }
    }

    /// Every look at the clock takes so long from now on.
    pub(super) fn step(&self, ms: u64) {
        self.clock.step_ms.store(ms, Ordering::Relaxed);
    }

    /// The other server makes a request.
    pub(super) fn hear_of(&self, server: &str) {
        self.memory.note_life(&name(server));
    }

    /// Lets time pass.
    pub(super) fn pass(&self, ms: u64) {
        self.clock.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// The services of a name: priority, port, target; and how long they hold.
    pub(super) fn services(&self, name: &str, ttl_s: u32, services: &[(u16, u16, &str)]) {
        let service = |&(priority, port, target): &(u16, u16, &str)| Service {
            priority,
            weight: 0,
            port,
            target: target.to_owned(),
        };
        let records = services.iter().map(service).collect();
        self.dns.on_services(name, Ok(Answer { records, ttl_s }));
    }

    /// Where a server is found, in short.
    pub(super) fn find(&self, server: &str) -> Result<Vec<String>, PeerError> {
        let found = now(self.peers().endpoints(&name(server)))?;
        let short = |it: &Endpoint| format!("{}:{} as {}", it.host, it.port, it.server_name);
        Ok(found.iter().map(short).collect())
    }
}

/// What is ready at once, for nothing here waits.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a script does not wait")
}

pub(super) fn name(name: &str) -> OwnedServerName {
    ServerName::parse(name).unwrap()
}

/// Where a host says whom it delegates to.
pub(super) fn well_known(host: &str) -> String {
    format!("https://{host}/.well-known/matrix/server")
}
