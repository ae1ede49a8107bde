//! A world of scripted servers for the tests of this layer.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use ruma::{OwnedServerName, ServerName};
use skerry_core::{
    SigningKey,
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
    server::{Config, OwnKeys, Registration, Server},
};

/// When the world begins.
pub(super) const BEGIN_MS: u64 = 1_800_000_000_000;

/// A clock that stands still unless it is moved.
pub(super) struct StillClock(AtomicU64);

impl Clock for StillClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
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
            notaries: Vec::new(),
        };
        let current = SigningKey::from_seed([7; 32], "ours").unwrap();
        let keys = OwnKeys { current, old: Vec::new() };
        Self {
            http: ScriptedHttp::default(),
            dns: ScriptedDns::default(),
            server: Server::new(name("us.example"), keys, config),
            clock: StillClock(AtomicU64::new(BEGIN_MS)),
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
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
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
