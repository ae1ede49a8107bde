//! How many connections there may be, and how long each may take for what.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

/// Connections at a time, where as many files may be open.
const MAX_CONNECTIONS: usize = 8_192;
/// Open files that are not connections of clients: the database's, those to other servers.
const OTHER_FILES: usize = 256;
/// Of this many places one is kept free for clients that are yet to come.
const ONE_KEPT_FREE_OF: usize = 16;
/// Connections at a time from one address: a household or a school may be behind it.
const MAX_PER_ADDRESS: usize = 256;
/// From the connection to the head of its first request, with the TLS handshake.
const FIRST_HEAD: Duration = Duration::from_secs(20);
/// Without a request that runs. Longer than clients and proxies keep what they do not use.
const IDLE: Duration = Duration::from_secs(75);
/// For a request's body, beside what its bytes earn.
const BODY: Duration = Duration::from_secs(30);
/// For an answer to be taken, beside what its bytes earn.
const ANSWER: Duration = Duration::from_mins(1);
/// What bodies and answers must keep to on average once their first time is over: less than the
/// slowest mobile network gives.
const BYTES_PER_SECOND: u32 = 4 * 1024;
/// From a request's head to its answer. The longest wait for news is half of it.
const REQUEST: Duration = Duration::from_mins(10);
/// Bytes of answers at a time: some fifty clients may take their time over a large page each, and a
/// small machine has as much.
const ANSWERS_BYTES: u64 = 64 * 1024 * 1024;
/// For the network to take any byte at all.
const WRITE: Duration = Duration::from_secs(30);

/// What connections may take.
#[derive(Clone)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Places that are kept free for new clients: with fewer, the idlest connections are closed.
    pub kept_free: usize,
    /// Connections at a time from one address (IPv4) or network of 64 bits (IPv6).
    pub per_address: usize,
    /// Addresses that may have any number of connections: proxies.
    pub exempt: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// From the connection to the head of its first request, with the TLS handshake.
    pub first_head: Duration,
    /// Without a request that runs, whatever else is sent.
    pub idle: Duration,
    /// For a request's body, beside what its bytes earn.
    pub body: Duration,
    /// For an answer to be taken, beside what its bytes earn.
    pub answer: Duration,
    /// Bytes of a body or an answer that earn a second.
    pub bytes_per_second: u32,
    /// Bytes of answers that clients have not taken to their ends, in all.
    pub answers_bytes: u64,
    /// From a request's head to the beginning of its answer.
    pub request: Duration,
    /// For the network to take any byte at all.
    pub write: Duration,
}

impl Limits {
    /// What a process may serve that may have so many files open.
    pub fn within(open_files: usize) -> Self {
        let connections = open_files.saturating_sub(OTHER_FILES).clamp(1, MAX_CONNECTIONS);
        Self {
            connections,
            kept_free: connections / ONE_KEPT_FREE_OF,
            per_address: MAX_PER_ADDRESS,
            exempt: Arc::new(|address| address.is_loopback()),
            first_head: FIRST_HEAD,
            idle: IDLE,
            body: BODY,
            answer: ANSWER,
            bytes_per_second: BYTES_PER_SECOND,
            answers_bytes: ANSWERS_BYTES,
            request: REQUEST,
            write: WRITE,
        }
    }

    /// The time that so many bytes earn.
    pub(super) fn earned(&self, bytes: u64) -> Duration {
        let ms = bytes.saturating_mul(1_000) / u64::from(self.bytes_per_second.max(1));
        // No body is so large; a sum with an instant is not to overflow.
        Duration::from_millis(ms.min(u64::from(u32::MAX)))
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("connections", &self.connections)
            .field("per_address", &self.per_address)
            .finish_non_exhaustive()
    }
}
