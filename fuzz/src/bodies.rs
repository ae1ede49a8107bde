//! The bodies of the fuzz targets: each takes any bytes, and panics where a promise is broken.
//!
//! The first byte of an event says in its lower half the room version (modulo 12), and in its
//! upper half whether a server signs the event before it is sent. The rest is JSON.

use ruma::{
    CanonicalJsonObject, OwnedRoomId, canonical_json::redact, room_id,
    room_version_rules::RoomVersionRules, server_name, signatures::hash_and_sign_event,
};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    Pdu, SigningKey, pdu as core_pdu,
    receipt::{self, Dropped, Keyring, MIN_BATCH, Received, VerifyKey},
    redact::redacted,
    room_version,
};

/// Levels of JSON that `serde_json` reads.
const MAX_NESTING: usize = 127;

/// Reading an event of any version.
pub fn pdu(data: &[u8]) {
    let Some((rules, json, _)) = event(data) else { return };
    let Some((received, room_id)) = read(&json, &rules) else { return };
    let pdu = &received.pdu;

    // What is stored says the same when it is read again, by either reader.
    let stored = Pdu::from_stored(pdu.event_id.clone(), &room_id, pdu.json.clone());
    assert_eq!(format!("{:?}", stored.expect("readable")), format!("{pdu:?}"));
    let again = receipt::read(&raw(&pdu.json).expect("JSON"), &room_id, &rules).expect("the same");
    assert_eq!(format!("{:?}", again.pdu), format!("{pdu:?}"));

    // Redacting keeps its name, and redacting twice is redacting once.
    let once = redacted(&pdu.json, &rules.redaction).expect("an event");
    assert_eq!(redacted(&once, &rules.redaction).expect("an event"), once);
    match receipt::read(&raw(&once).expect("JSON"), &room_id, &rules) {
        Ok(it) => assert_eq!(it.pdu.event_id, pdu.event_id),
        // It might have been an invite that another server may send, and is none any more.
        Err(Dropped::Signature(_)) => {}
        Err(other) => panic!("{other}"),
    }
}

/// Canonical JSON, strict and lax.
pub fn canonical_json(data: &[u8]) {
    let Some(json) = std::str::from_utf8(data).ok().and_then(raw) else { return };
    let strict = core_pdu::parse_content(&json).ok();
    if let Some(object) = &strict {
        let text = serde_json::to_string(object).expect("JSON");
        let again = core_pdu::parse_content(&raw(&text).expect("JSON")).expect("canonical");
        assert_eq!(&again, object);
    }
    // All of a create event stays from version 11 on.
    let rules = RoomVersionRules::V11.redaction;
    let event = format!(r#"{{"content":{},"type":"m.room.create"}}"#, json.get());
    let Ok(text) = redacted(&event, &rules) else {
        // As content it is one level further down, which may be one too many.
        let is_deep = json.get().matches(['[', '{']).count() >= MAX_NESTING - 1;
        return assert!(strict.is_none() || is_deep, "what is canonical can be read");
    };
    assert_eq!(redacted(&text, &rules).expect("readable"), text);
    if let Some(object) = strict {
        let object = CanonicalJsonObject::from([
            ("content".to_owned(), object.into()),
            ("type".to_owned(), "m.room.create".into()),
        ]);
        let by_ruma = redact(object, &rules, None).expect("an event");
        assert_eq!(serde_json::to_string(&by_ruma).expect("JSON"), text);
    }
}

/// Reading and verifying, alone and together with others.
pub fn receipt(data: &[u8]) {
    let Some((rules, mut json, is_signed)) = event(data) else { return };
    let key = SigningKey::from_seed([1; 32], "1").expect("a key");
    if is_signed {
        let Ok(mut object) = serde_json::from_str::<CanonicalJsonObject>(json.get()) else {
            return;
        };
        if hash_and_sign_event("one", key.pair(), &mut object, &rules.redaction).is_err() {
            return;
        }
        json = raw(&serde_json::to_string(&object).expect("JSON")).expect("JSON");
    }
    let mut keys = Keyring::default();
    let bytes = VerifyKey::decode(&key.public_base64()).expect("base64");
    let verify_key = VerifyKey::current(&bytes, 2_000_000_000_000).expect("a key");
    keys.insert(server_name!("one").to_owned(), key.id().to_owned(), verify_key);

    let Some((received, room_id)) = read(&json, &rules) else { return };
    let alone = receipt::verify(received.clone(), &keys, &rules);
    let together = receipt::verify_all(vec![received; MIN_BATCH], &keys, &rules);
    for outcome in together {
        assert_eq!(format!("{outcome:?}"), format!("{alone:?}"));
    }
    let Ok(verified) = alone else { return };
    let (again, _) = read(&raw(&verified.pdu.json).expect("JSON"), &rules).expect("readable");
    let again = receipt::verify(again, &keys, &rules).expect("as valid as before");
    assert_eq!(format!("{again:?}"), format!("{verified:?}"));
    assert_eq!(again.pdu.room_id, room_id);
}

fn event(data: &[u8]) -> Option<(RoomVersionRules, Box<RawJsonValue>, bool)> {
    let (&kind, json) = data.split_first()?;
    let version = room_version::SUPPORTED.get(usize::from(kind & 0x0f) % 12)?;
    let json = raw(std::str::from_utf8(json).ok()?)?;
    Some((room_version::rules(version)?, json, kind & 0xf0 != 0))
}

fn raw(json: &str) -> Option<Box<RawJsonValue>> {
    RawJsonValue::from_string(json.to_owned()).ok()
}

/// Reads an event as one of whatever room it is in.
fn read(json: &RawJsonValue, rules: &RoomVersionRules) -> Option<(Received, OwnedRoomId)> {
    let room_id = room_id!("!room:one");
    match receipt::read(json, room_id, rules) {
        Ok(received) => Some((received, room_id.to_owned())),
        Err(Dropped::Room(room_id)) => {
            let received = receipt::read(json, &room_id, rules).ok()?;
            Some((received, room_id))
        }
        Err(_) => None,
    }
}
