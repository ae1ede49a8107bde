//! Name servers: those of the system, or the one that the operator chose.

use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError as Refusal, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};
use skerry::{
    Error, Result,
    ports::dns::{Answer, Dns, DnsError, Service},
};

/// Asks name servers, and remembers answers as long as they hold.
pub struct NameServers(TokioResolver);

impl NameServers {
    /// With the name servers of the system and its file of hosts, or with this one alone.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when the resolver cannot be made. A system without name servers is no
    /// error: only its file of hosts is asked.
    pub fn new(server: Option<SocketAddr>) -> Result<Self> {
        let mut builder = match server {
            Some(address) => {
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![only(address)]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
            None => TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!(%error, "the system has no name servers: no name is found");
                let config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }),
        };
        builder.options_mut().preserve_intermediates = true;
        builder.build().map(Self).map_err(Error::internal)
    }

    /// The records of one type, with what `read` makes of them.
    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsError> {
        let mut absolute = Name::from_utf8(name)
            .map_err(|error| DnsError(format!("{name:?} is no name: {error}")))?;
        // Else the domains that the system searches would be tried too.
        absolute.set_fqdn(true);
        match self.0.lookup(absolute, kind).await {
            Ok(lookup) => {
                let records = lookup.answers();
                // The aliases on the way do not hold longer than they say.
                let ttl_s = records.iter().map(|it| it.ttl).min().unwrap_or(0);
                Ok(Answer {
                    records: records.iter().filter_map(|it| read(&it.data)).collect(),
                    ttl_s,
                })
            }
            Err(NetError::Dns(Refusal::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
            {
                Ok(Answer::empty(none.negative_ttl.unwrap_or(0)))
            }
            Err(error) => Err(DnsError(format!("{name}: {error}"))),
        }
    }
}

/// A name server, over UDP and, where an answer is large, over TCP.
fn only(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

#[async_trait]
impl Dns for NameServers {
    async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>, DnsError> {
        let four = self.ask(name, RecordType::A, |data| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        });
        let six = self.ask(name, RecordType::AAAA, |data| match data {
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        });
        let (four, six) = tokio::join!(four, six);
        Answer::of_both(four, six)
    }

    async fn services(&self, name: &str) -> Result<Answer<Service>, DnsError> {
        let service = |data: &RData| match data {
            RData::SRV(it) => Some(Service {
                priority: it.priority,
                weight: it.weight,
                port: it.port,
                target: it.target.to_utf8().trim_end_matches('.').to_owned(),
            }),
            _ => None,
        };
        self.ask(name, RecordType::SRV, service).await
    }
}
