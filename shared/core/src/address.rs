//! Which IP addresses a server connects to when somebody else named them.
//!
//! A server name is chosen by whoever sends an event or an invitation. Without this check they
//! would aim the server at what only the server itself reaches: the machine it runs on, its
//! private network, the metadata service of its cloud. Every adapter that connects asks here, about
//! the very address that it connects to.
//!
//! The classes are those of the IANA registries of special-purpose addresses ([IPv4], [IPv6]).
//!
//! [IPv4]: https://www.iana.org/assignments/iana-ipv4-special-registry
//! [IPv6]: https://www.iana.org/assignments/iana-ipv6-special-registry

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

/// A kind of address that is not an address of the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The host itself, without saying which address.
    Unspecified,
    /// The host itself.
    Loopback,
    /// A private network, also a unique local or a site-local address.
    Private,
    /// The same link. Clouds have their metadata services there.
    LinkLocal,
    /// The shared addresses between a provider and its customers (CGNAT).
    Shared,
    /// Many hosts at the same time.
    Multicast,
    /// Examples and benchmarks.
    Documentation,
    /// Everything else that is not routed on the public internet.
    Reserved,
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Shared => "shared",
            Self::Multicast => "multicast",
            Self::Documentation => "documentation",
            Self::Reserved => "reserved",
        })
    }
}

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Addresses of the public internet.
    Public,
    /// All of them: the operator trusts whoever named the server.
    All,
}

/// An address that may not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is a {class} address")]
pub struct NotPublic {
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub class: Class,
}

impl Addresses {
    /// Whether this address may be connected to. Asked about the very address of the connection.
    ///
    /// # Errors
    ///
    /// [`NotPublic`]
    pub fn check(self, address: IpAddr) -> Result<(), NotPublic> {
        match (self, class(address)) {
            (Self::Public, Some(class)) => Err(NotPublic { address, class }),
            _ => Ok(()),
        }
    }
}

/// First address, bits of the prefix, class.
const V4: &[(Ipv4Addr, u32, Class)] = &[
    (Ipv4Addr::UNSPECIFIED, 8, Class::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Class::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Class::Shared),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Class::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Class::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Class::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Class::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Class::Documentation),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Class::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Class::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Class::Documentation),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Class::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Class::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Class::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Class::Reserved),
];

const fn v6(first: u16, second: u16) -> Ipv6Addr {
    Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0)
}

/// As [`V4`]. The first entry that fits counts.
const V6: &[(Ipv6Addr, u32, Class)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Class::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Class::Loopback),
    (v6(0xfc00, 0), 7, Class::Private),
    (v6(0xfe80, 0), 10, Class::LinkLocal),
    (v6(0xfec0, 0), 10, Class::Private),
    (v6(0xff00, 0), 8, Class::Multicast),
    (v6(0x2001, 0xdb8), 32, Class::Documentation),
    (v6(0x3fff, 0), 20, Class::Documentation),
    // Teredo, benchmarks, identifiers that are no locators.
    (v6(0x2001, 0), 23, Class::Reserved),
];

/// What is routed at all, apart from what [`V6`] takes out.
const V6_GLOBAL: (Ipv6Addr, u32) = (v6(0x2000, 0), 3);
/// The well-known prefix of NAT64.
const NAT64: Ipv6Addr = v6(0x64, 0xff9b);
/// The prefix of 6to4.
const SIX_TO_FOUR: u16 = 0x2002;

/// The class of an address that is not public; none for one that is.
///
/// An IPv6 address that stands for an IPv4 address (mapped, NAT64, 6to4) is of that address's
/// class: the packet arrives there.
pub fn class(address: IpAddr) -> Option<Class> {
    match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    }
}

fn class_v4(address: Ipv4Addr) -> Option<Class> {
    let bits = u128::from(address.to_bits());
    V4.iter()
        .find(|(first, prefix, _)| begins_alike(bits, u128::from(first.to_bits()), 32 - prefix))
        .map(|(_, _, class)| *class)
}

fn class_v6(address: Ipv6Addr) -> Option<Class> {
    if let Some(embedded) = embedded_v4(address) {
        return class_v4(embedded);
    }
    let is_in =
        |first: Ipv6Addr, prefix| begins_alike(address.to_bits(), first.to_bits(), 128 - prefix);
    if let Some((_, _, class)) = V6.iter().find(|(first, prefix, _)| is_in(*first, *prefix)) {
        return Some(*class);
    }
    let (first, prefix) = V6_GLOBAL;
    (!is_in(first, prefix)).then_some(Class::Reserved)
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    let bits = address.to_bits();
    let low = |shift: u32| u32::try_from(bits >> shift & 0xffff_ffff).ok().map(Ipv4Addr::from_bits);
    if begins_alike(bits, NAT64.to_bits(), 32) {
        return low(0);
    }
    match address.segments() {
        [SIX_TO_FOUR, ..] => low(80),
        _ => None,
    }
}

/// Whether two addresses differ at most in their last `rest` bits.
fn begins_alike(one: u128, other: u128, rest: u32) -> bool {
    (one ^ other).checked_shr(rest).unwrap_or(0) == 0
}

/// Whether a name stands for this machine whatever DNS says ([RFC 6761]).
///
/// [RFC 6761]: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_have_a_class() {
        let cases = [
            ("0.0.0.0", Class::Unspecified),
            ("0.1.2.3", Class::Unspecified),
            ("10.0.0.0", Class::Private),
            ("10.255.255.255", Class::Private),
            ("100.64.0.0", Class::Shared),
            ("100.127.255.255", Class::Shared),
            ("127.0.0.1", Class::Loopback),
            ("127.255.255.255", Class::Loopback),
            ("169.254.169.254", Class::LinkLocal),
            ("172.16.0.0", Class::Private),
            ("172.31.255.255", Class::Private),
            ("192.0.0.8", Class::Reserved),
            ("192.0.2.1", Class::Documentation),
            ("192.88.99.1", Class::Reserved),
            ("192.168.0.1", Class::Private),
            ("198.19.255.255", Class::Documentation),
            ("198.51.100.7", Class::Documentation),
            ("203.0.113.7", Class::Documentation),
            ("224.0.0.1", Class::Multicast),
            ("239.255.255.255", Class::Multicast),
            ("240.0.0.1", Class::Reserved),
            ("255.255.255.255", Class::Reserved),
            ("::", Class::Unspecified),
            ("::1", Class::Loopback),
            ("::127.0.0.1", Class::Reserved),
            ("::ffff:127.0.0.1", Class::Loopback),
            ("::ffff:10.1.2.3", Class::Private),
            ("::ffff:169.254.169.254", Class::LinkLocal),
            ("64:ff9b::10.1.2.3", Class::Private),
            ("64:ff9b:1::808:808", Class::Reserved),
            ("2002:7f00:1::", Class::Loopback),
            ("2002:c0a8:101::1", Class::Private),
            ("100::1", Class::Reserved),
            ("2001::1", Class::Reserved),
            ("2001:1ff:ffff::1", Class::Reserved),
            ("2001:db8::1", Class::Documentation),
            ("3fff:fff::1", Class::Documentation),
            ("4000::1", Class::Reserved),
            ("5f00::1", Class::Reserved),
            ("fc00::1", Class::Private),
            ("fdff:ffff::1", Class::Private),
            ("fe80::1", Class::LinkLocal),
            ("febf::1", Class::LinkLocal),
            ("fec0::1", Class::Private),
            ("ff02::1", Class::Multicast),
        ];
        for (address, expected) in cases {
            assert_eq!(class(address.parse().unwrap()), Some(expected), "{address}");
        }
    }

    #[test]
    fn public_addresses_have_none() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
            "2001:200::1",
            "2606:4700:4700::1111",
            "3ffe::1",
        ] {
            assert_eq!(class(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn localhost_is_this_machine_under_every_spelling() {
        for name in ["localhost", "LocalHost", "localhost.", "a.localhost", "a.b.LOCALHOST."] {
            assert!(is_localhost(name), "{name}");
        }
        for name in ["localhost.example.org", "notlocalhost", "", "."] {
            assert!(!is_localhost(name), "{name}");
        }
    }
}
