//! Where a request comes from, as it is counted: the peer of the connection, or what proxies that
//! the operator trusts say of it.

use core::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;

/// Addresses that `X-Forwarded-For` may name; more are not looked at.
const MAX_FORWARDS: usize = 32;

/// Proxies whose word on where a request comes from is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

/// What is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("trusted proxies: {0:?} is neither an address nor a network such as 10.0.0.0/8")]
pub struct ProxiesError(String);

impl Proxies {
    /// The proxies of a list of addresses and networks.
    pub fn parse<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, ProxiesError> {
        let items = list.into_iter().map(str::trim).filter(|it| !it.is_empty());
        let network = |text: &str| {
            let network = text.parse().or_else(|_| IpAddr::from_str(text).map(IpNet::from));
            network.map_err(|_| ProxiesError(text.to_owned()))
        };
        items.map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address is one of theirs.
    pub fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|it| it.contains(&address))
    }

    /// Where a request comes from. Of `X-Forwarded-For`, whose values are given in their order,
    /// every proxy adds whom it was asked by: from the right, the first who is no proxy is who
    /// asks. What stands left of them is anybody's word. From a peer who is no proxy nothing is
    /// believed.
    pub fn origin<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut origin = peer.to_canonical();
        let named = forwarded_for.rev().flat_map(|it| it.rsplit(','));
        for text in named.take(MAX_FORWARDS) {
            if !self.trust(origin) {
                break;
            }
            // A proxy that says what cannot be read is itself all that is known.
            let Some(before) = parse(text.trim()) else { break };
            origin = before;
        }
        origin
    }
}

/// An address as proxies write it, perhaps with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.split(']').next()).unwrap_or(text);
    let address = IpAddr::from_str(bare);
    let address = address.or_else(|_| text.parse::<SocketAddr>().map(|it| it.ip()));
    address.ok().map(|it| it.to_canonical())
}

/// What an address is counted by: of IPv6 the network of 64 bits. What is no address is counted
/// together with all that is none.
pub fn address_key(address: Option<&str>) -> String {
    address.and_then(parse).map_or_else(String::new, |it| network(it).to_string())
}

/// The addresses that one customer is given: of IPv6 a network of 64 bits.
pub fn network(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !(u64::MAX as u128);
    match address.to_canonical() {
        IpAddr::V6(it) => Ipv6Addr::from_bits(it.to_bits() & NETWORK).into(),
        of_one @ IpAddr::V4(_) => of_one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_the_first_from_the_right_who_is_no_proxy() {
        let proxies = Proxies::parse(["127.0.0.1", " 10.0.0.0/8 ", "::1", "fd00::/8", ""]).unwrap();
        let cases: [(&str, &[&str], &str); 14] = [
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            ("10.1.2.3", &["192.0.2.1"], "192.0.2.1"),
            ("::ffff:127.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            ("fd00::7", &["2001:db8::1"], "2001:db8::1"),
            // Nothing is believed of a stranger.
            ("192.0.2.9", &["192.0.2.1"], "192.0.2.9"),
            ("11.0.0.1", &["127.0.0.1"], "11.0.0.1"),
            // What the one who asks has written themselves stands left.
            ("127.0.0.1", &["203.0.113.5, 192.0.2.1"], "192.0.2.1"),
            ("127.0.0.1", &["203.0.113.5", "192.0.2.1"], "192.0.2.1"),
            ("127.0.0.1", &["203.0.113.5, 192.0.2.1, 10.0.0.1"], "192.0.2.1"),
            ("127.0.0.1", &["127.0.0.1, 10.0.0.1"], "127.0.0.1"),
            ("127.0.0.1", &["192.0.2.1, nonsense"], "127.0.0.1"),
            ("127.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("127.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
        ];
        for (peer, forwarded_for, expected) in cases {
            let origin = proxies.origin(peer.parse().unwrap(), forwarded_for.iter().copied());
            assert_eq!(origin.to_string(), expected, "{peer} {forwarded_for:?}");
        }
        let nobody = Proxies::default();
        let local = nobody.origin("127.0.0.1".parse().unwrap(), ["192.0.2.1"].into_iter());
        assert_eq!(local.to_string(), "127.0.0.1");
        for text in ["localhost", "10.0.0.0/33", "10.0.0", "*"] {
            Proxies::parse([text]).unwrap_err();
        }
    }

    #[test]
    fn what_an_address_is_counted_by() {
        let cases = [
            (Some("192.0.2.1"), "192.0.2.1"),
            (Some("::ffff:192.0.2.1"), "192.0.2.1"),
            (Some("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::"),
            (Some("2001:db8:1:2::"), "2001:db8:1:2::"),
            (Some("2001:db8:1:3::1"), "2001:db8:1:3::"),
            (Some("nonsense"), ""),
            (None, ""),
        ];
        for (address, expected) in cases {
            assert_eq!(address_key(address), expected, "{address:?}");
        }
    }
}
