//! What is remembered of other servers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruma::{OwnedServerName, ServerName};
use skerry_core::discovery::{Endpoint, Expiring};

/// Servers of which it is remembered where they are.
const MAX_REMEMBERED: usize = 4_096;

/// What was found out about where servers are. Forgetting it costs asking again.
#[derive(Debug)]
pub struct Memory {
    /// By host.
    delegations: Mutex<Expiring<String, Delegation>>,
    endpoints: Mutex<Expiring<OwnedServerName, Arc<[Endpoint]>>>,
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

    /// Forgets where a server is, but not whether it delegates: it was not there.
    pub(super) fn forget(&self, server: &ServerName) {
        self.endpoints().remove(server);
    }
}
