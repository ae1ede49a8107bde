//! Answers of name servers as JSON over HTTP, the form that public resolvers have in common.

use core::net::IpAddr;

use serde::Deserialize;

use crate::discovery::Service;

/// Bytes of an answer.
pub const MAX_BYTES: u64 = 64 * 1024;

/// The number of the record type A.
pub const A: u16 = 1;
/// The number of the record type AAAA.
pub const AAAA: u16 = 28;
/// The number of the record type SRV.
pub const SRV: u16 = 33;
const SOA: u16 = 6;

const NO_ERROR: u16 = 0;
const NO_SUCH_NAME: u16 = 3;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsJsonError {
    /// Not what a resolver answers.
    #[error("not an answer of a name server: {0}")]
    Format(String),
    /// The name server failed, with this code.
    #[error("the name server failed with code {0}")]
    Failed(u16),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Status")]
    status: u16,
    #[serde(rename = "Answer", default)]
    records: Vec<Record>,
    #[serde(rename = "Authority", default)]
    authority: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "type")]
    kind: u16,
    #[serde(rename = "TTL")]
    ttl_s: u32,
    data: String,
}

/// Reads the records of one type, and how long they hold in seconds: no longer than the aliases on
/// the way, and none as long as the zone says. Records that `parse` does not know are left out.
///
/// # Errors
///
/// See [`DnsJsonError`]. A name that does not exist is none.
pub fn read<T>(
    json: &[u8],
    kind: u16,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<(Vec<T>, u32), DnsJsonError> {
    let answer: Answer =
        serde_json::from_slice(json).map_err(|error| DnsJsonError::Format(error.to_string()))?;
    if !matches!(answer.status, NO_ERROR | NO_SUCH_NAME) {
        return Err(DnsJsonError::Failed(answer.status));
    }
    let records = answer.records.iter().filter(|it| it.kind == kind);
    let records: Vec<_> = records.filter_map(|it| parse(&it.data)).collect();
    let ttl_s = match records.is_empty() {
        true => negative_ttl_s(&answer.authority),
        false => answer.records.iter().map(|it| it.ttl_s).min(),
    };
    Ok((records, ttl_s.unwrap_or(0)))
}

/// How long the absence of records holds ([RFC 2308]).
///
/// [RFC 2308]: https://www.rfc-editor.org/rfc/rfc2308#section-5
fn negative_ttl_s(authority: &[Record]) -> Option<u32> {
    let soa = authority.iter().find(|it| it.kind == SOA)?;
    let minimum_s = soa.data.split_whitespace().last()?.parse().ok()?;
    Some(soa.ttl_s.min(minimum_s))
}

/// The data of an address.
pub fn address(data: &str) -> Option<IpAddr> {
    data.parse().ok()
}

/// The data of a service: priority, weight, port, target.
pub fn service(data: &str) -> Option<Service> {
    let mut words = data.split_whitespace();
    let mut number = || words.next()?.parse().ok();
    let (priority, weight, port) = (number()?, number()?, number()?);
    let target = words.next()?;
    Some(Service {
        priority,
        weight,
        port,
        target: target.strip_suffix('.').unwrap_or(target).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn addresses(json: &Value) -> Result<(Vec<IpAddr>, u32), DnsJsonError> {
        read(json.to_string().as_bytes(), A, address)
    }

    #[test]
    fn records_of_the_type_hold_as_long_as_all_on_the_way() {
        let found = addresses(&json!({
            "Status": 0,
            "TC": false,
            "Question": [{ "name": "a.example", "type": 1 }],
            "Answer": [
                { "name": "a.example", "type": 5, "TTL": 60, "data": "b.example." },
                { "name": "b.example", "type": 1, "TTL": 300, "data": "192.0.2.1" },
                { "name": "b.example", "type": 1, "TTL": 300, "data": "nonsense" },
                { "name": "b.example", "type": 1, "TTL": 300, "data": "192.0.2.2" },
            ],
        }));
        let expected = vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        assert_eq!(found, Ok((expected, 60)));
    }

    #[test]
    fn no_records_hold_as_long_as_the_zone_says() {
        let soa = "ns.example. admin.example. 2026 7200 3600 1209600 120";
        for status in [0, 3] {
            let found = addresses(&json!({
                "Status": status,
                "Authority": [{ "name": "example", "type": 6, "TTL": 900, "data": soa }],
            }));
            assert_eq!(found, Ok((Vec::new(), 120)));
        }
        assert_eq!(addresses(&json!({ "Status": 3 })), Ok((Vec::new(), 0)));
        let broken = json!({
            "Status": 0,
            "Authority": [{ "name": "example", "type": 6, "TTL": 900, "data": "" }],
        });
        assert_eq!(addresses(&broken), Ok((Vec::new(), 0)));
    }

    #[test]
    fn a_failure_is_an_error() {
        assert_eq!(addresses(&json!({ "Status": 2 })), Err(DnsJsonError::Failed(2)));
        for answer in [json!({}), json!([]), json!({ "Status": "0" }), json!(null)] {
            assert!(matches!(addresses(&answer), Err(DnsJsonError::Format(_))), "{answer}");
        }
    }

    #[test]
    fn a_service_has_four_fields() {
        let service = |data| service(data).map(|it| (it.priority, it.weight, it.port, it.target));
        assert_eq!(service("10 5 8448 a.example."), Some((10, 5, 8448, "a.example".to_owned())));
        assert_eq!(service("0 0 0 ."), Some((0, 0, 0, String::new())));
        for data in ["", "1 2 3", "1 2 65536 a.", "-1 2 3 a.", "a b c d"] {
            assert_eq!(service(data), None, "{data}");
        }
    }
}
