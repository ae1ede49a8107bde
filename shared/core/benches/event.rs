//! What one event costs: made, hashed, signed, named and authorized; and rendered for a client.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use ruma::{CanonicalJsonObject, RoomId, UserId, room_version_rules::RoomVersionRules, user_id};
use serde_json::{json, value::to_raw_value};
use skerry_core::{
    Pdu, SigningKey,
    authorize::{self, StateKey},
    client_event::{self, Rendered, Unsigned},
    pdu::{self, NewEvent},
    room_version,
};

struct Room {
    key: SigningKey,
    rules: RoomVersionRules,
    state: Vec<(StateKey, Arc<Pdu>)>,
    newest: Arc<Pdu>,
}

fn content(value: serde_json::Value) -> CanonicalJsonObject {
    serde_json::from_value(value).expect("canonical")
}

fn new_event<'a>(
    room_id: &'a RoomId,
    sender: &'a UserId,
    kind: (&'a str, Option<&'a str>),
    content: CanonicalJsonObject,
) -> NewEvent<'a> {
    NewEvent {
        event_id: None,
        room_id: Some(room_id),
        sender,
        event_type: kind.0,
        state_key: kind.1,
        content,
        redacts: None,
        prev_events: Vec::new(),
        auth_events: Vec::new(),
        depth: 9,
        origin_server_ts: 1_700_000_000_000,
    }
}

/// A room whose creator has joined.
fn room() -> Room {
    let key = SigningKey::from_seed([7; 32], "bench").expect("a key");
    let rules = room_version::rules(&room_version::DEFAULT).expect("supported");
    let alice = user_id!("@alice:localhost");
    let create = pdu::create_event(
        content(json!({ "room_version": "12" })),
        alice,
        None,
        None,
        &rules,
        1,
        &key,
    );
    let create = Arc::new(create.expect("a create event"));
    let mut state = vec![(("m.room.create".to_owned(), String::new()), Arc::clone(&create))];
    let joins = ("m.room.member", Some(alice.as_str()));
    let levels = ("m.room.power_levels", Some(""));
    for (kind, body) in [(joins, json!({ "membership": "join" })), (levels, json!({}))] {
        let event = new_event(&create.room_id, alice, kind, content(body));
        let event = pdu::build(event, &rules, alice.server_name(), &key).expect("an event");
        let key = (kind.0.to_owned(), kind.1.unwrap_or_default().to_owned());
        state.push((key, Arc::new(event)));
    }
    Room { key, rules, newest: Arc::clone(&create), state }
}

/// Everything that `Room` does for one message between the request and the batch.
fn send(room: &Room, body: &CanonicalJsonObject) -> Pdu {
    let alice = user_id!("@alice:localhost");
    let raw = to_raw_value(body).expect("JSON");
    authorize::needed_state("m.room.message", alice, None, &raw, &room.rules).expect("keys");
    let mut event = new_event(&room.newest.room_id, alice, ("m.room.message", None), body.clone());
    event.prev_events = vec![&*room.newest];
    event.auth_events = room
        .state
        .iter()
        .filter(|(key, _)| authorize::is_auth_event(key, &room.rules))
        .map(|(_, it)| &**it)
        .collect();
    let pdu = pdu::build(event, &room.rules, alice.server_name(), &room.key).expect("an event");
    authorize::check(&pdu, &room.state, &room.rules).expect("allowed");
    pdu
}

fn benches(criterion: &mut Criterion) {
    let room = room();
    let body = content(json!({ "msgtype": "m.text", "body": "A message of ordinary length." }));
    criterion.bench_function("build, hash, sign, authorize", |bencher| {
        bencher.iter(|| send(&room, black_box(&body)));
    });
    let pdu = send(&room, &body);
    criterion.bench_function("sign alone", |bencher| {
        bencher.iter(|| room.key.sign(black_box(pdu.json.as_bytes())));
    });
    criterion.bench_function("render", |bencher| {
        bencher.iter(|| {
            let unsigned = Unsigned::default();
            let rendered = Rendered {
                json: &pdu.json,
                event_id: &pdu.event_id,
                room_id: None,
                redacts_in_content: true,
                unsigned,
            };
            client_event::render(black_box(rendered), 1_700_000_000_500)
        });
    });
}

criterion_group!(event, benches);
criterion_main!(event);
