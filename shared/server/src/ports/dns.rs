//! The DNS port: addresses and services of names.

use std::net::IpAddr;

use async_trait::async_trait;
pub use skerry_core::discovery::Service;

/// What a name has. No records: there is no such name, or it has none of this type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records, in the order in which they came.
    pub records: Vec<T>,
    /// How long the answer holds, in seconds: as long as the record that holds shortest. For an
    /// answer without records what the zone says about such answers, or 0.
    pub ttl_s: u32,
}

impl<T> Answer<T> {
    /// An answer without records.
    pub fn empty(ttl_s: u32) -> Self {
        Self { records: Vec::new(), ttl_s }
    }

    /// The answer to two questions about one name, such as those for its two kinds of addresses.
    ///
    /// # Errors
    ///
    /// When one failed and the other one has no records: there may be some.
    pub fn of_both(
        one: Result<Self, DnsError>,
        other: Result<Self, DnsError>,
    ) -> Result<Self, DnsError> {
        match (one, other) {
            (Ok(mut one), Ok(mut other)) => {
                let ttl_s = match (one.records.is_empty(), other.records.is_empty()) {
                    (true, false) => other.ttl_s,
                    (false, true) => one.ttl_s,
                    _ => one.ttl_s.min(other.ttl_s),
                };
                one.records.append(&mut other.records);
                Ok(Self { ttl_s, ..one })
            }
            (Ok(answer), Err(error)) | (Err(error), Ok(answer)) => {
                if answer.records.is_empty() {
                    Err(error)
                } else {
                    Ok(answer)
                }
            }
            (Err(error), Err(_)) => Err(error),
        }
    }
}

/// A question that was not answered: no name server was reached, or none could answer. Trying again
/// may help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DnsError(pub String);

/// Asks name servers. Names are absolute, with or without a dot at the end.
#[async_trait]
pub trait Dns: Send + Sync {
    /// The IPv4 and IPv6 addresses of a host, behind its aliases. When only one of the two kinds is
    /// answered, that is the answer.
    async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>, DnsError>;

    /// The services of a name such as `_matrix-fed._tcp.example.org`, in no particular order.
    async fn services(&self, name: &str) -> Result<Answer<Service>, DnsError>;
}
