//! What is remembered of other servers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma::{OwnedServerName, ServerName};
use skerry_core::discovery::{Endpoint, Expiring, silence_ms};

use super::recent_rooms::RecentRooms;

/// Servers of which it is remembered where they are.
const MAX_REMEMBERED: usize = 4_096;

/// What was found out about servers. Forgetting it costs asking again.
#[derive(Debug)]
pub struct Memory {
    /// By host.
    delegations: Mutex<Expiring<String, Delegation>>,
    endpoints: Mutex<Expiring<OwnedServerName, Arc<[Endpoint]>>>,
    /// Servers that have kept somebody waiting in vain.
    silent: Mutex<Expiring<OwnedServerName, ()>>,
    /// What they have read here.
    pub recent_rooms: RecentRooms,
}

/// Whether a host delegates.
#[derive(Clone, Debug)]
pub(super) struct Delegation {
    pub(super) to: Option<OwnedServerName>,
    /// Failures in a row that led to this.
    pub(super) failures: u32,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            delegations: Mutex::new(Expiring::new(MAX_REMEMBERED)),
            endpoints: Mutex::new(Expiring::new(MAX_REMEMBERED)),
            silent: Mutex::new(Expiring::new(MAX_REMEMBERED)),
            recent_rooms: RecentRooms::default(),
        }
    }
}

impl Memory {
    pub(super) fn delegations(&self) -> MutexGuard<'_, Expiring<String, Delegation>> {
        self.delegations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn endpoints(&self) -> MutexGuard<'_, Expiring<OwnedServerName, Arc<[Endpoint]>>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a server has lately not answered, and is left alone.
    pub(super) fn is_silent(&self, server: &ServerName, now_ms: u64) -> bool {
        self.silent().find(server, now_ms).is_some()
    }

    /// A server has kept somebody waiting in vain from one time to another, in milliseconds.
    pub(super) fn note_silence(&self, server: &ServerName, (from_ms, to_ms): (u64, u64)) {
        let until_ms = to_ms.saturating_add(silence_ms(to_ms.saturating_sub(from_ms)));
        self.silent().insert(server.to_owned(), (), until_ms);
    }

    /// A server has been heard of.
    pub fn note_life(&self, server: &ServerName) {
        self.silent().remove(server);
    }

    fn silent(&self) -> MutexGuard<'_, Expiring<OwnedServerName, ()>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets where a server is, but not whether it delegates: it was not there.
    pub(super) fn forget(&self, server: &ServerName) {
        self.endpoints().remove(server);
    }
}
