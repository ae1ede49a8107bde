//! What redaction leaves of an event, by room version: the lists of the specification ([v1], [v6],
//! [v8], [v9], [v11]).
//!
//! [v1]: https://spec.matrix.org/v1.19/rooms/v1/#redactions
//! [v6]: https://spec.matrix.org/v1.19/rooms/v6/#redactions
//! [v8]: https://spec.matrix.org/v1.19/rooms/v8/#redactions
//! [v9]: https://spec.matrix.org/v1.19/rooms/v9/#redactions
//! [v11]: https://spec.matrix.org/v1.19/rooms/v11/#redactions

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::ops::RangeInclusive;

use serde_json::{Value as JsonValue, json};
use skerry_core::{redact::redacted, room_version};

const ALL: RangeInclusive<u8> = 1..=12;
const NEVER: RangeInclusive<u8> = 13..=13;

/// Redacts in every version, and gives what became of it.
fn in_every_version(event: &JsonValue, mut check: impl FnMut(u8, &JsonValue)) {
    for (number, version) in (1..).zip(room_version::SUPPORTED) {
        let rules = room_version::rules(&version).unwrap().redaction;
        let once = redacted(&event.to_string(), &rules).unwrap();
        assert_eq!(redacted(&once, &rules).unwrap(), once, "{version}: redacted twice");
        check(number, &serde_json::from_str(&once).unwrap());
    }
}

#[test]
fn keys_of_an_event() {
    let cases = [
        ("event_id", ALL),
        ("type", ALL),
        ("room_id", ALL),
        ("sender", ALL),
        ("state_key", ALL),
        ("content", ALL),
        ("hashes", ALL),
        ("signatures", ALL),
        ("depth", ALL),
        ("prev_events", ALL),
        ("auth_events", ALL),
        ("origin_server_ts", ALL),
        ("prev_state", 1..=10),
        ("origin", 1..=10),
        ("membership", 1..=10),
        ("unsigned", NEVER),
        ("redacts", NEVER),
        ("age_ts", NEVER),
        ("x.y", NEVER),
    ];
    let mut event = json!({});
    for (key, _) in &cases {
        event[key] = json!({});
    }
    event["type"] = json!("m.room.message");
    in_every_version(&event, |version, redacted| {
        for (key, versions) in &cases {
            let stays = redacted.get(key).is_some();
            assert_eq!(stays, versions.contains(&version), "{version}: {key}");
        }
    });
}

#[test]
fn keys_of_the_content() {
    let cases = [
        ("m.room.member", "membership", ALL),
        ("m.room.member", "join_authorised_via_users_server", 9..=12),
        ("m.room.member", "displayname", NEVER),
        ("m.room.member", "third_party_invite", 11..=12),
        ("m.room.create", "creator", ALL),
        ("m.room.create", "room_version", 11..=12),
        ("m.room.create", "m.federate", 11..=12),
        ("m.room.create", "additional_creators", 11..=12),
        ("m.room.create", "x.y", 11..=12),
        ("m.room.join_rules", "join_rule", ALL),
        ("m.room.join_rules", "allow", 8..=12),
        ("m.room.join_rules", "x.y", NEVER),
        ("m.room.power_levels", "ban", ALL),
        ("m.room.power_levels", "events", ALL),
        ("m.room.power_levels", "events_default", ALL),
        ("m.room.power_levels", "invite", 11..=12),
        ("m.room.power_levels", "kick", ALL),
        ("m.room.power_levels", "notifications", NEVER),
        ("m.room.power_levels", "redact", ALL),
        ("m.room.power_levels", "state_default", ALL),
        ("m.room.power_levels", "users", ALL),
        ("m.room.power_levels", "users_default", ALL),
        ("m.room.history_visibility", "history_visibility", ALL),
        ("m.room.history_visibility", "x.y", NEVER),
        ("m.room.aliases", "aliases", 1..=5),
        ("m.room.redaction", "redacts", 11..=12),
        ("m.room.redaction", "reason", NEVER),
        ("m.room.message", "body", NEVER),
        ("m.room.encrypted", "ciphertext", NEVER),
        ("m.room.server_acl", "allow", NEVER),
        ("m.room.tombstone", "replacement_room", NEVER),
        ("m.room.third_party_invite", "public_key", NEVER),
    ];
    for (event_type, key, versions) in cases {
        let event = json!({ "type": event_type, "content": { key: { "signed": 1, "x": 2 } } });
        in_every_version(&event, |version, redacted| {
            let content = redacted["content"].as_object().unwrap();
            let name = format!("{version}: {event_type} {key}");
            assert_eq!(content.contains_key(key), versions.contains(&version), "{name}");
        });
    }
}

#[test]
fn of_a_third_party_invite_only_what_is_signed_stays() {
    let third_party = json!({ "display_name": "n", "signed": { "mxid": "@a:b", "x": { "y": 1 } } });
    let event = json!({
        "type": "m.room.member",
        "content": { "membership": "invite", "third_party_invite": third_party },
    });
    in_every_version(&event, |version, redacted| {
        let mut expected = json!({ "membership": "invite" });
        if version >= 11 {
            let signed = &event["content"]["third_party_invite"]["signed"];
            expected["third_party_invite"] = json!({ "signed": signed });
        }
        assert_eq!(redacted["content"], expected, "{version}");
    });
}

#[test]
fn what_stays_is_not_looked_into() {
    let levels = json!({ "users": { "@a:b": 1, "x": [{}] }, "events": "odd" });
    let event = json!({ "type": "m.room.power_levels", "content": levels });
    in_every_version(&event, |version, redacted| {
        assert_eq!(redacted["content"], event["content"], "{version}");
    });
}
