//! What it costs to accept an event of another server, from its bytes to the room that has it, in
//! a room of a thousand members with one extremity: beside the signature that has to be verified
//! anyway, and beside what ruma takes to verify and name it.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    hint::black_box,
    sync::Arc,
};

use criterion::{Criterion, criterion_group, criterion_main};
use ed25519_dalek::{Signature, VerifyingKey};
use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedUserId, RoomId, UserId,
    room_version_rules::RoomVersionRules,
    serde::Base64,
    server_name,
    signatures::{PublicKeyMap, reference_hash, verify_event},
};
use serde_json::{Value as JsonValue, json, value::RawValue as RawJsonValue};
use skerry_core::{
    Pdu, SigningKey,
    engine::{
        self, After, Circumstances, Edges, Event, Head, KeyId, Keys, Mode, Num, StateAt, States,
        Verdict, View,
    },
    pdu::{self, NewEvent},
    receipt::{self, Keyring, VerifyKey},
};

const RULES: RoomVersionRules = RoomVersionRules::V12;
const MEMBERS: usize = 1_000;
/// Events that are accepted one after the other, before the room is as it was.
const EVENTS: usize = 1_000;

/// Where the events come from.
struct Origin {
    key: SigningKey,
    create: Pdu,
    levels: Pdu,
    rules: Pdu,
    members: Vec<Pdu>,
}

fn user(number: usize) -> OwnedUserId {
    UserId::parse(format!("@member{number}:bench")).expect("an ID")
}

fn content(value: JsonValue) -> CanonicalJsonObject {
    serde_json::from_value(value).expect("canonical")
}

impl Origin {
    fn event(
        &self,
        sender: &UserId,
        kind: (&str, Option<&str>),
        body: JsonValue,
        prev: &Pdu,
        auth: Vec<&Pdu>,
    ) -> Pdu {
        event(&self.key, &self.create.room_id, (sender, kind, body), prev, auth)
    }

    fn message(&self, number: usize, prev: &Pdu) -> Pdu {
        let member = self.members.get(number % MEMBERS).expect("a member");
        let body = json!({ "msgtype": "m.text", "body": "A message of ordinary length." });
        let auth = vec![&self.levels, member];
        self.event(&member.sender, ("m.room.message", None), body, prev, auth)
    }

    /// A member changes their name, and changes it again.
    fn rename(&self, number: usize, prev: &Pdu) -> Pdu {
        let member = self.members.get(number % MEMBERS).expect("a member");
        let body = json!({ "membership": "join", "displayname": "Another name" });
        let kind = ("m.room.member", member.state_key.as_deref());
        let auth = vec![&self.levels, &self.rules, member];
        self.event(&member.sender, kind, body, prev, auth)
    }
}

fn event(
    key: &SigningKey,
    room_id: &RoomId,
    (sender, kind, body): (&UserId, (&str, Option<&str>), JsonValue),
    prev: &Pdu,
    auth: Vec<&Pdu>,
) -> Pdu {
    let event = NewEvent {
        event_id: None,
        room_id: Some(room_id),
        sender,
        event_type: kind.0,
        state_key: kind.1,
        content: content(body),
        redacts: None,
        prev_events: vec![prev],
        auth_events: auth,
        depth: prev.depth + 1,
        origin_server_ts: 1_700_000_000_000,
    };
    pdu::build(event, &RULES, server_name!("bench"), key).expect("an event")
}

/// A room in memory.
#[derive(Default)]
struct Room {
    keys: Keys,
    events: Vec<Arc<Event>>,
    ids: HashMap<OwnedEventId, Num>,
    current: HashMap<KeyId, Num>,
    extremities: Vec<Num>,
    group: u64,
}

impl Room {
    fn head(&self) -> Head<'_> {
        let current = StateAt { chain: 0, group: self.group };
        Head { rules: &RULES, create: 0, extremities: &self.extremities, current, unverified: &[] }
    }

    /// Decides an event that comes after the newest one, and commits it.
    fn accept(&mut self, pdu: Pdu) {
        let num = self.events.len() as Num;
        let standing = (Verdict::Accepted, None);
        let event =
            Event::new(num, Arc::new(pdu), Box::default(), standing, &RULES, &mut self.keys);
        let head = self.head();
        let decision = engine::decide(self, &head, &event, Circumstances::of(Mode::Live));
        let decision = decision.expect("everything is known");
        assert_eq!(decision.verdict, Verdict::Accepted, "{:?}", decision.reason);
        let before = head.current;
        for (key, (_, after)) in &decision.current_changes {
            self.current.extend(after.map(|it| (*key, it)));
            self.group = num + 1;
        }
        let after = match decision.after {
            After::SameAsBefore | After::Current => StateAt { chain: 0, group: self.group },
            After::Other(state) => state.base,
        };
        self.ids.insert(event.pdu.event_id.clone(), num);
        let (auth, states) = (decision.auth, Some(States { before, after }));
        self.events.push(Arc::new(Event { auth, states, ..event }));
        self.extremities = decision.extremities;
    }

    /// Forgets the events from this one on, and what they made of the state.
    fn reset(&mut self, end: usize, extremities: &[Num], group: u64) {
        for event in self.events.drain(end..) {
            self.ids.remove(&event.pdu.event_id);
            if let (Some(key), Some(before)) = (event.key, event.auth.last()) {
                self.current.insert(key, *before);
            }
        }
        self.extremities = extremities.to_vec();
        self.group = group;
    }
}

impl View for Room {
    fn find(&self, event_id: &EventId) -> Option<Option<Num>> {
        Some(self.ids.get(event_id).copied())
    }

    fn event(&self, num: Num) -> Option<Arc<Event>> {
        self.events.get(usize::try_from(num).ok()?).cloned()
    }

    fn edges(&self, num: Num) -> Option<Edges<'_>> {
        let event = self.events.get(usize::try_from(num).ok()?)?;
        Some(Edges { key: event.key?, auth: Cow::Borrowed(&event.auth) })
    }

    fn cited_by(&self, _num: Num, _before: Num) -> Option<Vec<Num>> {
        Some(Vec::new())
    }

    fn state(&self, _at: StateAt, key: KeyId) -> Option<Option<Num>> {
        Some(self.current.get(&key).copied())
    }

    fn parent(&self, _: u64) -> Option<Option<StateAt>> {
        Some(None)
    }

    fn deltas(&self, _: u64, _: u64, _: u64) -> Option<Vec<(KeyId, Option<Num>)>> {
        Some(Vec::new())
    }
}

/// A room of many members, here and where its events come from.
fn room() -> (Origin, Room) {
    let key = SigningKey::from_seed([7; 32], "bench").expect("a key");
    let version = content(json!({ "room_version": "12" }));
    let creator = user(0);
    let create = pdu::create_event(version, &creator, None, None, &RULES, 1, &key);
    let create = create.expect("an event");
    let join = |number: usize, prev: &Pdu, auth: Vec<&Pdu>| {
        let user = user(number);
        let body = json!({ "membership": "join", "displayname": format!("Member {number}") });
        let kind = ("m.room.member", Some(user.as_str()));
        event(&key, &create.room_id, (&user, kind, body), prev, auth)
    };
    let founder = join(0, &create, Vec::new());
    let make = |kind: &str, body, prev: &Pdu, auth| {
        event(&key, &create.room_id, (&creator, (kind, Some("")), body), prev, auth)
    };
    let levels = make("m.room.power_levels", json!({}), &founder, vec![&founder]);
    let public = json!({ "join_rule": "public" });
    let rules = make("m.room.join_rules", public, &levels, vec![&founder, &levels]);
    let mut room = Room::default();
    for event in [&create, &founder, &levels, &rules] {
        room.accept(event.clone());
    }
    let mut members = vec![founder];
    for number in 1..MEMBERS {
        let prev = members.last().filter(|_| number > 1).unwrap_or(&rules);
        let event = join(number, prev, vec![&levels, &rules]);
        room.accept(event.clone());
        members.push(event);
    }
    (Origin { key, create, levels, rules, members }, room)
}

/// What a server that has ruma alone does before it decides.
fn by_ruma(json: &RawJsonValue, room_id: &RoomId, keys: &PublicKeyMap) -> Pdu {
    let object: CanonicalJsonObject = serde_json::from_str(json.get()).expect("canonical");
    verify_event(keys, &object, &RULES).expect("valid");
    let hash = reference_hash(&object, &RULES).expect("an event");
    let event_id = EventId::parse(format!("${hash}")).expect("an ID");
    Pdu::from_stored(event_id, room_id, json.get().into()).expect("an event")
}

/// Events that follow each other, each made from its number and the one before.
fn events(origin: &Origin, make: impl Fn(usize, &Pdu) -> Pdu) -> Vec<Pdu> {
    let mut events: Vec<Pdu> = Vec::with_capacity(EVENTS);
    for number in 1..=EVENTS.min(MEMBERS - 1) {
        let prev = events.last().or(origin.members.last()).expect("an event");
        events.push(make(number, prev));
    }
    events
}

/// Gives the events one after the other, over and over, to a room that is reset in between.
fn bench<T>(
    criterion: &mut Criterion,
    name: &str,
    (room, events): (&mut Room, &[T]),
    accept: impl Fn(&mut Room, &T),
) {
    let end = room.events.len();
    let (extremities, group) = (room.extremities.clone(), room.group);
    let mut next = 0;
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            if next == events.len() {
                room.reset(end, &extremities, group);
                next = 0;
            }
            accept(room, black_box(events.get(next).expect("an event")));
            next += 1;
        });
    });
    room.reset(end, &extremities, group);
}

fn benches(criterion: &mut Criterion) {
    let (origin, mut room) = room();
    let room = &mut room;
    let room_id = &*origin.create.room_id;
    let bytes = VerifyKey::decode(&origin.key.public_base64()).expect("base64");
    let mut keys = Keyring::default();
    let verify_key = VerifyKey::current(&bytes, u64::MAX).expect("a key");
    keys.insert(server_name!("bench").to_owned(), origin.key.id().to_owned(), verify_key.clone());
    let of_server = BTreeMap::from([(origin.key.id().to_string(), Base64::new(bytes))]);
    let public = PublicKeyMap::from([("bench".to_owned(), of_server)]);

    let messages = events(&origin, |number, prev| origin.message(number, prev));
    let renames = events(&origin, |number, prev| origin.rename(number, prev));
    let raw = |it: &Pdu| RawJsonValue::from_string(it.json.to_string()).expect("JSON");
    let receive = |json: &RawJsonValue| {
        let received = receipt::read(json, room_id, &RULES).expect("an event");
        receipt::verify(received, &keys, &RULES).expect("valid").pdu
    };

    let bare = VerifyingKey::from_bytes(verify_key.as_bytes()).expect("a key");
    let signed = messages.first().expect("an event").json.as_bytes();
    let signature = Signature::from_slice(origin.key.sign(signed).as_bytes()).expect("one");
    criterion.bench_function("verify a signature alone", |bencher| {
        bencher.iter(|| bare.verify_strict(black_box(signed), &signature).expect("valid"));
    });
    for (name, events) in [("message", &messages), ("name", &renames)] {
        let raw: Vec<_> = events.iter().map(raw).collect();
        bench(criterion, &format!("accept a {name}"), (room, &raw), |room, json| {
            room.accept(receive(json));
        });
        bench(criterion, &format!("read and verify a {name}"), (room, &raw), |_, json| {
            black_box(receive(json));
        });
        bench(criterion, &format!("decide and commit a {name}"), (room, events), |room, pdu| {
            room.accept(pdu.clone());
        });
        bench(criterion, &format!("verify and name a {name}, by ruma"), (room, &raw), |_, json| {
            black_box(by_ruma(json, room_id, &public));
        });
    }
}

criterion_group!(receive, benches);
criterion_main!(receive);
