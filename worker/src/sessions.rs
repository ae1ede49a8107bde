//! What this isolate remembers: valid access tokens, stored filters, other servers' keys.

use std::{cell::OnceCell, sync::Arc};

use skerry::{
    filters::Filters, known_keys::KnownKeys, limits::Limits, peers::Memory, sessions::Sessions,
};
use skerry_core::rate_limits::RateLimits;

thread_local! {
    static SESSIONS: Arc<Sessions> = Arc::default();
    static FILTERS: Arc<Filters> = Arc::default();
    static KEYS: Arc<KnownKeys> = Arc::default();
    static PEERS: Arc<Memory> = Arc::default();
    static LIMITS: OnceCell<Arc<Limits>> = const { OnceCell::new() };
}

/// The memory of this isolate. Others have their own: what ends a token in one of them is heard
/// of in the others when the time is over for which an answer is remembered.
pub(crate) fn of_this_isolate() -> Arc<Sessions> {
    SESSIONS.with(Clone::clone)
}

/// The filters that this isolate remembers.
pub(crate) fn filters_of_this_isolate() -> Arc<Filters> {
    FILTERS.with(Clone::clone)
}

/// The keys of other servers that this isolate remembers.
pub(crate) fn keys_of_this_isolate() -> Arc<KnownKeys> {
    KEYS.with(Clone::clone)
}

/// What this isolate remembers of where other servers are.
pub(crate) fn peers_of_this_isolate() -> Arc<Memory> {
    PEERS.with(Clone::clone)
}

/// What this isolate has counted of requests from outside.
pub(crate) fn limits_of_this_isolate(rates: &RateLimits) -> Arc<Limits> {
    LIMITS.with(|limits| limits.get_or_init(|| Arc::new(Limits::new(rates.clone()))).clone())
}
