//! What every DNS adapter must keep, tried against name servers that the host's tests serve, with
//! this zone:
//!
//! | name, below `conformance.test` | what it has |
//! |---|---|
//! | `both` | A 192.0.2.1 and 192.0.2.2 (TTL 300 s), AAAA `2001:db8::1` (TTL 200 s) |
//! | `alias` | CNAME `both` (TTL 100 s) |
//! | `four` | A 192.0.2.4 (TTL 300 s), no AAAA |
//! | `half` | A 192.0.2.5 (TTL 300 s); the question for AAAA fails |
//! | `none` | neither A nor AAAA nor SRV, but it exists |
//! | `broken` | every question fails (`SERVFAIL`) |
//! | `_matrix-fed._tcp.services` | SRV 10 5 8448 `a`, 20 0 443 `b` (TTL 60 s) |
//! | `_matrix-fed._tcp.closed` | SRV 0 0 0 `.` (TTL 60 s) |
//!
//! Every other name does not exist.

use std::net::IpAddr;

use super::{ensure, equal};
use crate::{
    Error, Result,
    ports::dns::{Answer, Dns, DnsError, Service},
};

/// Runs the whole suite.
///
/// # Errors
///
/// The first promise that is broken.
pub async fn run(dns: &dyn Dns) -> Result<()> {
    a_host_has_all_its_addresses(dns).await?;
    one_kind_of_addresses_is_enough(dns).await?;
    services_keep_every_field(dns).await?;
    what_does_not_exist_is_an_empty_answer(dns).await?;
    a_failure_is_an_error(dns).await
}

const ZONE: &str = "conformance.test";

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn failed(error: DnsError) -> Error {
    Error::internal(format!("a name server did not answer: {error}"))
}

async fn addresses(dns: &dyn Dns, name: &str) -> Result<(Vec<IpAddr>, u32)> {
    let answer = dns.addresses(&format!("{name}.{ZONE}")).await.map_err(failed)?;
    let mut records = answer.records;
    records.sort();
    Ok((records, answer.ttl_s))
}

fn parsed(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().filter_map(|it| it.parse().ok()).collect()
}

async fn a_host_has_all_its_addresses(dns: &dyn Dns) -> Result<()> {
    let all = parsed(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    for (name, ttl_s) in [("both", 200), ("BOTH", 200), ("alias", 100)] {
        let (found, found_s) = addresses(dns, name).await?;
        equal(&found, &all, "a host has all its addresses, also behind an alias")?;
        ensure(
            found_s <= ttl_s && found_s + 30 >= ttl_s,
            "an answer holds as long as the record that holds shortest",
        )?;
    }
    let dotted = dns.addresses(&format!("both.{ZONE}.")).await.map_err(failed)?;
    equal(&dotted.records.len(), &3, "a name may end in a dot")
}

async fn one_kind_of_addresses_is_enough(dns: &dyn Dns) -> Result<()> {
    for (name, address) in [("four", "192.0.2.4"), ("half", "192.0.2.5")] {
        let (found, _) = addresses(dns, name).await?;
        equal(&found, &parsed(&[address]), "one kind of addresses is enough")?;
    }
    Ok(())
}

async fn services_keep_every_field(dns: &dyn Dns) -> Result<()> {
    let ask = async |name: &str| {
        let answer = dns.services(&format!("_matrix-fed._tcp.{name}.{ZONE}")).await;
        answer.map_err(failed).map(|mut it| {
            it.records.sort_by_key(|it| it.priority);
            it
        })
    };
    let service = |priority, weight, port, target: &str| Service {
        priority,
        weight,
        port,
        target: target.to_owned(),
    };
    let found: Answer<Service> = ask("services").await?;
    let expected =
        vec![service(10, 5, 8448, "a.conformance.test"), service(20, 0, 443, "b.conformance.test")];
    equal(&found.records, &expected, "services keep every field")?;
    ensure(found.ttl_s <= 60 && found.ttl_s >= 30, "services hold as long as their records")?;
    let closed = ask("closed").await?;
    equal(&closed.records, &vec![service(0, 0, 0, "")], "a service that is not available says so")
}

async fn what_does_not_exist_is_an_empty_answer(dns: &dyn Dns) -> Result<()> {
    for name in ["none", "missing", "a.b.c.missing"] {
        let (found, _) = addresses(dns, name).await?;
        equal(&found, &Vec::new(), "what does not exist is an empty answer")?;
        let found = dns.services(&format!("{name}.{ZONE}")).await.map_err(failed)?;
        equal(&found.records, &Vec::new(), "services that do not exist are an empty answer")?;
    }
    Ok(())
}

async fn a_failure_is_an_error(dns: &dyn Dns) -> Result<()> {
    let name = format!("broken.{ZONE}");
    ensure(dns.addresses(&name).await.is_err(), "addresses that were not found out are an error")?;
    ensure(dns.services(&name).await.is_err(), "services that were not found out are an error")
}
