//! What it costs to receive events: each beside the one signature that has to be verified anyway,
//! and beside ruma.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::{collections::BTreeMap, hint::black_box};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use ruma::{
    CanonicalJsonObject, EventId, room_id,
    room_version_rules::RoomVersionRules,
    serde::Base64,
    server_name,
    signatures::{PublicKeyMap, reference_hash, verify_event},
    user_id,
};
use serde_json::{json, value::RawValue as RawJsonValue};
use skerry_core::{
    Pdu, SigningKey,
    pdu::{self, NewEvent},
    receipt::{self, Keyring, Received, VerifyKey},
};

const RULES: RoomVersionRules = RoomVersionRules::V11;

fn message(number: u64, key: &SigningKey, before: &[&Pdu]) -> Pdu {
    let content = json!({ "msgtype": "m.text", "body": "A message of ordinary length." });
    let event = NewEvent {
        event_id: None,
        room_id: Some(room_id!("!room:bench")),
        sender: user_id!("@alice:bench"),
        event_type: "m.room.message",
        state_key: None,
        content: serde_json::from_value(content).expect("canonical"),
        redacts: None,
        prev_events: before.iter().take(1).copied().collect(),
        auth_events: before.to_vec(),
        depth: number,
        origin_server_ts: 1_700_000_000_000 + number,
    };
    pdu::build(event, &RULES, server_name!("bench"), key).expect("an event")
}

fn raw(pdu: &Pdu) -> Box<RawJsonValue> {
    RawJsonValue::from_string(pdu.json.to_string()).expect("JSON")
}

fn read(json: &RawJsonValue) -> Received {
    receipt::read(json, room_id!("!room:bench"), &RULES).expect("an event")
}

/// What a server that has ruma alone does.
fn by_ruma(json: &RawJsonValue, keys: &PublicKeyMap) -> (Pdu, String) {
    let object: CanonicalJsonObject = serde_json::from_str(json.get()).expect("canonical");
    verify_event(keys, &object, &RULES).expect("valid");
    let hash = reference_hash(&object, &RULES).expect("an event");
    let event_id = EventId::parse(format!("${hash}")).expect("an ID");
    let pdu = Pdu::from_stored(event_id, room_id!("!room:bench"), json.get().into());
    (pdu.expect("an event"), hash)
}

fn benches(criterion: &mut Criterion) {
    let key = SigningKey::from_seed([7; 32], "bench").expect("a key");
    let bytes = VerifyKey::decode(&key.public_base64()).expect("base64");
    let mut keys = Keyring::default();
    let verify_key = VerifyKey::current(&bytes, u64::MAX).expect("a key");
    keys.insert(server_name!("bench").to_owned(), key.id().to_owned(), verify_key.clone());
    let before: Vec<_> = (0..3).map(|it| message(it, &key, &[])).collect();
    let before: Vec<_> = before.iter().collect();
    let pdu = message(9, &key, &before);
    let json = raw(&pdu);

    let bare = VerifyingKey::from_bytes(verify_key.as_bytes()).expect("a key");
    let signed = pdu.json.as_bytes();
    let signature = Signature::from_slice(key.sign(signed).as_bytes()).expect("a signature");
    criterion.bench_function("verify a signature alone", |bencher| {
        bencher.iter(|| bare.verify(black_box(signed), &signature).expect("valid"));
    });
    criterion.bench_function("read", |bencher| bencher.iter(|| read(black_box(&json))));
    criterion.bench_function("read, verify", |bencher| {
        bencher.iter(|| receipt::verify(read(black_box(&json)), &keys, &RULES).expect("valid"));
    });
    let public = Base64::new(bytes);
    let of_server = BTreeMap::from([(key.id().to_string(), public)]);
    let ruma_keys = PublicKeyMap::from([("bench".to_owned(), of_server)]);
    criterion.bench_function("read, verify, by ruma", |bencher| {
        bencher.iter(|| by_ruma(black_box(&json), &ruma_keys));
    });
    for number in [8, 16, 64, 256] {
        let all: Vec<_> = (0..number).map(|it| read(&raw(&message(it, &key, &before)))).collect();
        criterion.bench_function(&format!("verify all of {number}"), |bencher| {
            bencher.iter_batched(
                || all.clone(),
                |all| receipt::verify_all(all, &keys, &RULES),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(receipt, benches);
criterion_main!(receipt);
