//! Names that the server under test asks for: over UDP as DNS has it, and as JSON over HTTP.

use std::{collections::BTreeMap, net::IpAddr};

pub use hickory_proto::rr::RecordType;
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{Name, RData, Record, rdata},
};
use serde_json::{Value, json};
use tokio::net::UdpSocket;

/// What a question is answered with.
#[derive(Clone, Debug)]
enum Entry {
    /// A record: its TTL in seconds, and its data.
    Record(u32, RData),
    /// The question fails.
    Failure,
}

/// The names of a test. Those below a zone's names exist, every other name does not.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    entries: BTreeMap<(String, RecordType), Vec<Entry>>,
}

impl Zone {
    /// The zone of the conformance suite of the DNS port.
    pub fn conformance() -> Self {
        let mut zone = Self::default();
        zone.address("both.conformance.test", 300, "192.0.2.1");
        zone.address("both.conformance.test", 300, "192.0.2.2");
        zone.address("both.conformance.test", 200, "2001:db8::1");
        zone.alias("alias.conformance.test", 100, "both.conformance.test");
        zone.address("four.conformance.test", 300, "192.0.2.4");
        zone.address("half.conformance.test", 300, "192.0.2.5");
        zone.failure("half.conformance.test", RecordType::AAAA);
        zone.add("none.conformance.test", RecordType::TXT, 300, text());
        for kind in [RecordType::A, RecordType::AAAA, RecordType::SRV] {
            zone.failure("broken.conformance.test", kind);
        }
        let services = "_matrix-fed._tcp.services.conformance.test";
        zone.service(services, 60, (20, 0, 443), "b.conformance.test");
        zone.service(services, 60, (10, 5, 8448), "a.conformance.test");
        zone.service("_matrix-fed._tcp.closed.conformance.test", 60, (0, 0, 0), "");
        zone
    }

    /// Gives a host an address.
    pub fn address(&mut self, name: &str, ttl_s: u32, address: &str) {
        match address.parse().expect("an address") {
            IpAddr::V4(it) => self.add(name, RecordType::A, ttl_s, RData::A(it.into())),
            IpAddr::V6(it) => self.add(name, RecordType::AAAA, ttl_s, RData::AAAA(it.into())),
        }
    }

    /// Makes a name an alias of another one.
    pub fn alias(&mut self, name: &str, ttl_s: u32, of: &str) {
        let data = RData::CNAME(rdata::CNAME(absolute(of)));
        self.add(name, RecordType::CNAME, ttl_s, data);
    }

    /// Adds a service: priority, weight and port.
    pub fn service(&mut self, name: &str, ttl_s: u32, place: (u16, u16, u16), target: &str) {
        let (priority, weight, port) = place;
        let data = RData::SRV(rdata::SRV::new(priority, weight, port, absolute(target)));
        self.add(name, RecordType::SRV, ttl_s, data);
    }

    /// Makes the question for records of this type fail.
    pub fn failure(&mut self, name: &str, kind: RecordType) {
        self.entries.entry((name.to_owned(), kind)).or_default().push(Entry::Failure);
    }

    fn add(&mut self, name: &str, kind: RecordType, ttl_s: u32, data: RData) {
        let entries = self.entries.entry((name.to_owned(), kind)).or_default();
        entries.push(Entry::Record(ttl_s, data));
    }

    fn answer(&self, name: &Name, kind: RecordType) -> (ResponseCode, Vec<Record>) {
        let mut asked = name.clone();
        let mut records = Vec::new();
        loop {
            let text = asked.to_ascii().to_lowercase();
            let text = text.trim_end_matches('.').to_owned();
            let direct = self.entries.get(&(text.clone(), kind));
            let alias = self.entries.get(&(text.clone(), RecordType::CNAME));
            let Some(entries) = direct.or(alias) else {
                let exists = self.entries.keys().any(|(it, _)| *it == text);
                let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
                return (code, records);
            };
            for entry in entries {
                match entry {
                    Entry::Failure => return (ResponseCode::ServFail, Vec::new()),
                    Entry::Record(ttl_s, data) => {
                        records.push(Record::from_rdata(asked.clone(), *ttl_s, data.clone()));
                    }
                }
            }
            match (direct, records.last().map(|it| &it.data)) {
                (None, Some(RData::CNAME(target))) => asked = target.0.clone(),
                _ => return (ResponseCode::NoError, records),
            }
        }
    }

    /// Answers over UDP for ever.
    pub(crate) async fn serve(self: std::sync::Arc<Self>, socket: std::net::UdpSocket) {
        let socket = UdpSocket::from_std(socket).expect("a socket");
        let mut buffer = [0; 4096];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let Some(query) = question.queries.first() else { continue };
            let (code, records) = self.answer(query.name(), query.query_type());
            let mut answer =
                Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
            answer.metadata.response_code = code;
            answer.metadata.recursion_desired = true;
            answer.metadata.recursion_available = true;
            answer.add_query(query.clone());
            answer.add_answers(records);
            let bytes = answer.to_vec().expect("an answer");
            // Whoever asked may be gone.
            let _ = socket.send_to(&bytes, from).await;
        }
    }

    /// Answers `name=…&type=…` as public resolvers do.
    pub(crate) fn json(&self, query: &str) -> Value {
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|it| it.split_once('='));
            pairs.find(|(it, _)| *it == name).map_or("", |(_, value)| value)
        };
        let kind = match parameter("type") {
            "A" | "1" => RecordType::A,
            "AAAA" | "28" => RecordType::AAAA,
            "SRV" | "33" => RecordType::SRV,
            other => panic!("nobody asks for {other:?}"),
        };
        let name = absolute(parameter("name"));
        let (code, records) = self.answer(&name, kind);
        let records: Vec<_> = records.iter().map(record_json).collect();
        let mut answer = json!({
            "Status": u16::from(code),
            "TC": false,
            "Question": [{ "name": name.to_ascii(), "type": u16::from(kind) }],
        });
        if !records.is_empty() {
            answer["Answer"] = records.into();
        }
        answer
    }
}

fn record_json(record: &Record) -> Value {
    json!({
        "name": record.name.to_ascii().trim_end_matches('.'),
        "type": u16::from(record.record_type()),
        "TTL": record.ttl,
        "data": record.data.to_string(),
    })
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).expect("a name");
    name.set_fqdn(true);
    name
}

fn text() -> RData {
    RData::TXT(rdata::TXT::new(vec!["text".to_owned()]))
}
