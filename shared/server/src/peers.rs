//! Other servers: where they are, what is asked of them and in whose name, and their keys.
//!
//! Both objects and the API talk to other servers, so this layer stands below them.
//!
//! **Invariant:** no object's lock is held while anything here is awaited, and nothing that another
//! server answers is believed here but its own keys, which sign for themselves.

mod discovery;
pub mod examine;
mod identity;
mod keys;
mod memory;
mod recent_rooms;
pub mod refusal;
mod request;
#[cfg(test)]
mod testing;

use std::time::Duration;

use http::HeaderValue;
use ruma::api::error::Error as Refusal;
use skerry_core::server_keys::KeysError;

pub use self::{keys::Published, memory::Memory};
use crate::{
    ports::{Clock, Dns, Http, ObjectHost, Ports, Random, dns::DnsError, http::HttpError},
    server::Server,
};

/// What this server calls itself. Some places refuse requests without it.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("Skerry/", env!("CARGO_PKG_VERSION")));

/// The way to other servers.
#[derive(Clone, Copy)]
pub struct Peers<'a> {
    http: &'a dyn Http,
    dns: &'a dyn Dns,
    clock: &'a dyn Clock,
    random: &'a dyn Random,
    server: &'a Server,
    memory: &'a Memory,
    /// Whether a server that has lately kept a request waiting in vain is not asked.
    spares_silent: bool,
}

impl<'a> Peers<'a> {
    /// The way of an object, which decides by itself when to try again. What was found out is kept
    /// in `memory`.
    pub fn of_object(host: &'a dyn ObjectHost, server: &'a Server, memory: &'a Memory) -> Self {
        Self {
            http: host.http(),
            dns: host.dns(),
            clock: host.clock(),
            random: host.random(),
            server,
            memory,
            spares_silent: false,
        }
    }

    /// The same where a client waits: a server that has lately kept a request waiting in vain is
    /// not asked.
    #[must_use]
    pub fn sparing_silent(self) -> Self {
        Self { spares_silent: true, ..self }
    }

    /// The way of a process that serves nobody.
    pub fn of_process(
        (http, dns): (&'a dyn Http, &'a dyn Dns),
        (clock, random): (&'a dyn Clock, &'a dyn Random),
        server: &'a Server,
        memory: &'a Memory,
    ) -> Self {
        Self { http, dns, clock, random, server, memory, spares_silent: false }
    }

    /// The way of the API, which clients wait for: a server that does not answer keeps few of them
    /// waiting. What was found out is kept in `memory`.
    pub fn of_ports(ports: &'a Ports, server: &'a Server, memory: &'a Memory) -> Self {
        Self {
            http: &*ports.http,
            dns: &*ports.dns,
            clock: &*ports.clock,
            random: &*ports.random,
            server,
            memory,
            spares_silent: true,
        }
    }
}

/// What an answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of its body.
    pub max_answer_bytes: u64,
    /// From the beginning until the last byte, without finding the server.
    pub timeout: Duration,
}

/// A request to another server that was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The name is none that a server can be found by.
    #[error("no server can be found as {0}")]
    Name(String),
    /// The server says in DNS that it is not available.
    #[error("{0} says that it is decidedly not available")]
    Unavailable(String),
    /// The server has lately kept a request waiting in vain.
    #[error("{0} did not answer a moment ago")]
    Silent(String),
    /// Name servers failed.
    #[error("name servers failed: {0}")]
    Dns(#[from] DnsError),
    /// The server was not reached, or its answer did not arrive.
    #[error("the request was not answered: {0}")]
    Http(#[from] HttpError),
    /// The server answered with another status than success. Its words are not among what is
    /// written of the error: they may be somebody's.
    #[error("the server refused with status {}", .0.status_code.as_u16())]
    Refused(Box<Refusal>),
    /// The server answered what the specification does not have. What it is may quote the answer
    /// and is not written either.
    #[error("the answer is not what the specification says")]
    Answer(String),
    /// The keys that the server gives as its own are not believed.
    #[error("the server's keys are not believed: {0}")]
    Keys(#[from] KeysError),
    /// Ours: the request cannot be written.
    #[error("the request cannot be written: {0}")]
    Request(String),
}

impl PeerError {
    /// Whether the server was not reached, or did not answer: the next request would wait in vain,
    /// too.
    fn is_silence(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Silent(_) | Self::Dns(_) => true,
            Self::Http(error) => error.may_pass(),
            _ => false,
        }
    }

    /// Whether trying again later may help, without anybody changing anything on purpose.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Dns(_) | Self::Unavailable(_) | Self::Silent(_) => true,
            Self::Http(error) => error.may_pass(),
            Self::Refused(refusal) => {
                refusal.status_code.is_server_error() || refusal.status_code == 429
            }
            Self::Name(_) | Self::Answer(_) | Self::Keys(_) | Self::Request(_) => false,
        }
    }
}
