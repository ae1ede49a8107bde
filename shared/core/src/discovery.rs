//! How a server name leads to a server: the steps of the specification that need no I/O ([spec]).
//!
//! The steps ask two questions, in this order: whether a name says by itself where its server is
//! ([`direct`]), and what the services of its host are ([`service_names`], [`by_services`],
//! [`by_host`]). They are asked about the server name, and about the name that it delegates to by
//! its `/.well-known/matrix/server`, if it does ([`well_known`]). A delegated name goes the same
//! way as one without delegation, except that it is not delegated again.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#server-discovery

mod expiring;
pub mod well_known;

use ruma::{OwnedServerName, ServerName};
use url::Url;

pub use self::expiring::Expiring;

/// The port of servers that name none.
pub const DEFAULT_PORT: u16 = 8448;

/// Endpoints of one server that are kept, in the order in which they are tried.
pub const MAX_ENDPOINTS: usize = 8;

/// For how many times as long as a server kept a request waiting in vain it is not asked again.
const SILENCE_FACTOR: u64 = 10;

/// The longest that a server is not asked because of one request, in milliseconds.
const MAX_SILENCE_MS: u64 = 60 * 1000;

/// How long a server is left alone that did not answer a request in `took_ms`, both in
/// milliseconds. One that fails at once may be asked again at once: that costs nobody anything.
pub fn silence_ms(took_ms: u64) -> u64 {
    took_ms.saturating_mul(SILENCE_FACTOR).min(MAX_SILENCE_MS)
}

/// Where a server is reached, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What to connect to: a host name, or an IP address (version 6 in brackets).
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The `Host` header. The server's certificate must be for the host of this name.
    pub server_name: OwnedServerName,
}

impl Endpoint {
    /// The URL of a path and query (`/…`) at this endpoint.
    ///
    /// # Errors
    ///
    /// [`url::ParseError`] when the host is none that a URL may have.
    pub fn url(&self, path_and_query: &str) -> Result<Url, url::ParseError> {
        Url::parse(&format!("https://{}:{}{path_and_query}", self.host, self.port))
    }
}

/// A record that names a service of a host (SRV, [RFC 2782]).
///
/// [RFC 2782]: https://www.rfc-editor.org/rfc/rfc2782
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Lower ones are tried first.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// The TCP port.
    pub port: u16,
    /// The host, without a dot at its end. Empty: the service is decidedly not available.
    pub target: String,
}

/// Steps 1 and 2, also 3.1 and 3.2: an IP address, or a host name with a port.
pub fn direct(name: &ServerName) -> Option<Endpoint> {
    if name.is_ip_literal() {
        return Some(by_host(name));
    }
    name.port().map(|_| by_host(name))
}

/// The names of the services that lead to a server, for steps 4 and 5 (also 3.3 and 3.4). The
/// second one counts only where the first one does not exist.
pub fn service_names(name: &ServerName) -> [String; 2] {
    let host = name.host();
    [format!("_matrix-fed._tcp.{host}"), format!("_matrix._tcp.{host}")]
}

/// Steps 4 and 5, also 3.3 and 3.4: the endpoints in the order in which they are tried. None where
/// the service is decidedly not available.
///
/// `below` gives a random number below a positive bound: among records of one priority, each comes
/// first as often as its weight says.
pub fn by_services(
    name: &ServerName,
    services: Vec<Service>,
    mut below: impl FnMut(u64) -> u64,
) -> Vec<Endpoint> {
    let mut left: Vec<_> = services.into_iter().filter(|it| !it.target.is_empty()).collect();
    // Those without weight come first, so that they have a chance at all.
    left.sort_by_key(|it| (it.priority, it.weight));
    let mut endpoints = Vec::new();
    while let Some(first) = left.first().filter(|_| endpoints.len() < MAX_ENDPOINTS) {
        let priority = first.priority;
        let equals = || left.iter().take_while(|it| it.priority == priority);
        let drawn = below(equals().map(|it| u64::from(it.weight)).sum::<u64>() + 1);
        let mut sum = 0;
        let chosen = equals().position(|it| {
            sum += u64::from(it.weight);
            sum >= drawn
        });
        let service = left.remove(chosen.unwrap_or(0));
        endpoints.push(Endpoint {
            host: service.target,
            port: service.port,
            server_name: name.to_owned(),
        });
    }
    endpoints
}

/// Step 6, also 3.5: the host itself. Its port is the name's, else the default one.
pub fn by_host(name: &ServerName) -> Endpoint {
    Endpoint {
        host: name.host().to_owned(),
        port: name.port().unwrap_or(DEFAULT_PORT),
        server_name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> OwnedServerName {
        ServerName::parse(name).unwrap()
    }

    #[test]
    fn who_keeps_others_waiting_is_left_alone_for_longer_but_not_for_long() {
        for (took_ms, expected_ms) in
            [(0, 0), (5, 50), (5_000, 50_000), (20_000, 60_000), (u64::MAX, 60_000)]
        {
            assert_eq!(silence_ms(took_ms), expected_ms);
        }
    }

    #[test]
    fn a_name_with_an_address_or_a_port_says_where_its_server_is() {
        let cases = [
            ("1.2.3.4", Some(("1.2.3.4", 8448))),
            ("1.2.3.4:443", Some(("1.2.3.4", 443))),
            ("[2606:4700::1]", Some(("[2606:4700::1]", 8448))),
            ("[2606:4700::1]:1", Some(("[2606:4700::1]", 1))),
            ("example.org:80", Some(("example.org", 80))),
            ("example.org", None),
        ];
        for (text, expected) in cases {
            let endpoint = direct(&name(text));
            let expected = expected.map(|(host, port)| Endpoint {
                host: host.to_owned(),
                port,
                server_name: name(text),
            });
            assert_eq!(endpoint, expected, "{text}");
        }
    }

    #[test]
    fn an_endpoint_has_a_url_for_every_path() {
        let cases = [
            ("example.org", "https://example.org:8448/x/y?a=%2F"),
            ("[2606:4700::1]:1", "https://[2606:4700::1]:1/x/y?a=%2F"),
            // The default port of the scheme is not named.
            ("1.2.3.4:443", "https://1.2.3.4/x/y?a=%2F"),
        ];
        for (text, expected) in cases {
            let url = by_host(&name(text)).url("/x/y?a=%2F").unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }

    fn service(priority: u16, weight: u16, target: &str) -> Service {
        Service { priority, weight, port: 8448, target: target.to_owned() }
    }

    fn order(services: &[Service], below: impl FnMut(u64) -> u64) -> Vec<String> {
        let endpoints = by_services(&name("example.org"), services.to_vec(), below);
        assert!(endpoints.iter().all(|it| it.server_name == "example.org"));
        endpoints.into_iter().map(|it| it.host).collect()
    }

    #[test]
    fn services_are_ordered_by_priority_and_drawn_by_weight() {
        let services = [service(20, 0, "last"), service(10, 1, "light"), service(10, 3, "heavy")];
        assert_eq!(order(&services, |_| 0), ["light", "heavy", "last"]);
        assert_eq!(order(&services, |bound| bound - 1), ["heavy", "light", "last"]);
        let mut first = std::collections::BTreeMap::<String, u32>::new();
        for drawn in 0..5 {
            let mut once = Some(drawn);
            let order = order(&services, |_| once.take().unwrap_or(0));
            *first.entry(order[0].clone()).or_default() += 1;
        }
        assert_eq!(first["heavy"], 3);
    }

    #[test]
    fn a_service_without_weight_has_a_small_chance() {
        let services = [service(1, 0, "none"), service(1, 9, "all")];
        assert_eq!(order(&services, |_| 0), ["none", "all"]);
        assert_eq!(order(&services, |_| 1), ["all", "none"]);
    }

    #[test]
    fn a_service_that_is_decidedly_not_available_has_no_endpoint() {
        assert!(order(&[service(0, 0, "")], |_| 0).is_empty());
    }

    #[test]
    fn endpoints_are_bounded() {
        let many: Vec<_> = (0..100).map(|it| service(it, 0, "x")).collect();
        assert_eq!(order(&many, |_| 0).len(), MAX_ENDPOINTS);
    }
}
