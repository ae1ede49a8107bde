//! The checks performed on receipt of a PDU: format, signatures, hashes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

#[path = "receipt/batches.rs"]
mod batches;
#[path = "receipt/format.rs"]
mod format;
#[path = "receipt/hashes.rs"]
mod hashes;
#[path = "receipt/invites.rs"]
mod invites;
#[path = "support/server.rs"]
mod server;
#[path = "receipt/shown.rs"]
mod shown;
#[path = "receipt/signatures.rs"]
mod signatures;

use ruma::room_version_rules::RoomVersionRules;
use serde_json::{Value as JsonValue, json};
use skerry_core::{
    Pdu,
    receipt::{self, Dropped, Keyring, MAX_BYTES, Unverified, VerifyKey},
};

use self::server::{
    SENT_MS, Server, VALID_UNTIL_MS, dropped, keyring, made_up, raw, receive, room, versions,
};

const V11: RoomVersionRules = RoomVersionRules::V11;

fn value(pdu: &Pdu) -> JsonValue {
    serde_json::from_str(&pdu.json).unwrap()
}

/// The least an event is made of, unsigned.
fn bare(rules: &RoomVersionRules) -> JsonValue {
    let mut event = json!({
        "auth_events": [], "content": { "body": "hi" }, "depth": 1, "origin_server_ts": SENT_MS,
        "prev_events": [], "room_id": room(), "sender": "@alice:one", "type": "m.room.message",
    });
    if rules.event_format.require_event_id {
        event["event_id"] = json!("$made-up:one");
    }
    event
}

/// What comes of a bare event with these fields (null: without them), signed by server one.
fn outcome(fields: &JsonValue, rules: &RoomVersionRules) -> Result<Pdu, Unverified> {
    let one = Server::new("one");
    let mut event = bare(rules);
    for (name, value) in fields.as_object().unwrap() {
        match value {
            JsonValue::Null => event.as_object_mut().unwrap().remove(name),
            value => event.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    receive(one.sign(event, rules), &keyring(&[&one]), rules).map(|it| it.pdu)
}
