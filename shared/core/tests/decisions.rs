//! What becomes of events, by requirement: a small room with a plain host, no network.

#![expect(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test, which shares its host with the simulation and uses a part of it"
)]

#[path = "decisions/outliers.rs"]
mod outliers;
#[path = "simulation/rng.rs"]
mod rng;
#[path = "simulation/server.rs"]
mod server;
#[path = "simulation/store.rs"]
mod store;
#[path = "decisions/told_states.rs"]
mod told_states;
#[path = "decisions/unverified.rs"]
mod unverified;

use std::sync::Arc;

use ruma::{OwnedEventId, OwnedRoomId, RoomVersionId, UserId, owned_server_name};
use serde_json::{Value, json};
use skerry_core::{
    Pdu, SigningKey,
    engine::{self, Circumstances, Event, Given, Mode, Undecided, Verdict},
    pdu, room_version,
};

use self::{
    server::{Draft, auth_events, craft},
    store::{Map, Store, ask},
};

/// A room and a clock.
struct Room {
    store: Store,
    key: SigningKey,
    unique: u64,
}

const ALICE: &str = "@alice:s0";
const BOB: &str = "@bob:s0";
const CAROL: &str = "@carol:s0";
const DAVE: &str = "@dave:s0";

impl Room {
    /// A public room that Alice made and Bob and Carol are in.
    fn new(version: &RoomVersionId) -> Self {
        let rules = room_version::rules(version).unwrap();
        let key = SigningKey::from_seed([7; 32], "1").unwrap();
        let hashed = rules.authorization.room_create_event_id_as_room_id;
        let alice = UserId::parse(ALICE).unwrap();
        let room_id = OwnedRoomId::try_from("!room:s0").unwrap();
        let create_id = OwnedEventId::try_from("$create:s0").unwrap();
        let content = object(json!({"creator": ALICE, "room_version": version}));
        let room_id = (!hashed).then_some(&*room_id);
        let create =
            pdu::create_event(content, &alice, Some(&create_id), room_id, &rules, 1, &key).unwrap();
        let mut room = Self { store: Store::new(rules), key, unique: 0 };
        assert_eq!(room.receive(&Arc::new(create)), Verdict::Accepted);
        room.must("@alice:s0", "m.room.member", Some(ALICE), json!({"membership": "join"}));
        let users = match hashed {
            true => json!({}),
            false => json!({ALICE: 100}),
        };
        room.must(ALICE, "m.room.power_levels", Some(""), json!({"users": users}));
        room.must(ALICE, "m.room.join_rules", Some(""), json!({"join_rule": "public"}));
        room.must(BOB, "m.room.member", Some(BOB), json!({"membership": "join"}));
        room.must(CAROL, "m.room.member", Some(CAROL), json!({"membership": "join"}));
        room
    }

    fn levels(&mut self, users: &Value) {
        self.must(ALICE, "m.room.power_levels", Some(""), json!({"users": users}));
    }

    fn head(&self) -> (Vec<Arc<Event>>, Map) {
        let prev = self.store.extremities.iter().map(|it| Arc::clone(self.store.get(*it)));
        (prev.collect(), (**self.store.current()).clone())
    }

    /// Where the room was after an event.
    fn at(&self, pdu: &Pdu) -> (Vec<Arc<Event>>, Map) {
        let known = self.store.by_id(&pdu.event_id).unwrap();
        let map = self.store.map(known.states.unwrap().after);
        (vec![Arc::clone(known)], (**map).clone())
    }

    fn make(
        &mut self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: Value,
        (prev, state): &(Vec<Arc<Event>>, Map),
    ) -> Arc<Pdu> {
        self.unique += 1;
        let sender = UserId::parse(sender).unwrap();
        let (content, unique) = (object(content), self.unique);
        let sender = &*sender;
        let draft = Draft { sender, event_type, state_key, content, redacts: None, unique };
        let auth = auth_events(&self.store, &draft, state).unwrap_or_default();
        let name = owned_server_name!("s0");
        craft(&self.store, draft, prev, &auth, (&name, &self.key)).unwrap()
    }

    fn decide(&mut self, pdu: &Arc<Pdu>) -> Result<Verdict, Undecided> {
        let (event, decision) = server::decide(&mut self.store, true, pdu, &[], Mode::Live)?;
        let verdict = decision.verdict;
        self.store.commit(event, &decision, true);
        Ok(verdict)
    }

    /// What becomes of an event with which these states are given. Nothing is written.
    fn decide_with(
        &mut self,
        pdu: &Arc<Pdu>,
        given: &[Given],
        mode: Mode,
    ) -> Result<Verdict, Undecided> {
        let num = self.store.events.len() as u64;
        let (rules, keys) = (self.store.rules.clone(), &mut self.store.keys);
        let standing = (Verdict::Accepted, None);
        let event = Event::new(num, Arc::clone(pdu), [].into(), standing, &rules, keys);
        let circumstances = Circumstances { given, ..Circumstances::of(mode) };
        let store = &self.store;
        ask(store, true, |eye| engine::decide(eye, &store.head(), &event, circumstances))
            .map(|it| it.verdict)
    }

    fn receive(&mut self, pdu: &Arc<Pdu>) -> Verdict {
        self.decide(pdu).unwrap()
    }

    /// An event where the room is; what became of it.
    fn send(
        &mut self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: Value,
    ) -> (Arc<Pdu>, Verdict) {
        let head = self.head();
        let pdu = self.make(sender, event_type, state_key, content, &head);
        let verdict = self.receive(&pdu);
        (pdu, verdict)
    }

    fn must(&mut self, sender: &str, event_type: &str, key: Option<&str>, content: Value) {
        let (_, verdict) = self.send(sender, event_type, key, content);
        assert_eq!(verdict, Verdict::Accepted, "{event_type} by {sender}");
    }

    fn say(&mut self, sender: &str) -> (Arc<Pdu>, Verdict) {
        self.send(sender, "m.room.message", None, json!({"body": "hi", "msgtype": "m.text"}))
    }

    fn membership(&mut self, sender: &str, of: &str, membership: &str) -> Verdict {
        let content = json!({"membership": membership});
        self.send(sender, "m.room.member", Some(of), content).1
    }

    fn known(&self, pdu: &Pdu) -> &Event {
        self.known_event(pdu)
    }

    fn known_event(&self, pdu: &Pdu) -> &Arc<Event> {
        self.store.by_id(&pdu.event_id).unwrap()
    }
}

fn object(content: Value) -> ruma::CanonicalJsonObject {
    serde_json::from_value(content).unwrap()
}

fn in_every_version(test: impl Fn(&RoomVersionId)) {
    room_version::SUPPORTED.iter().for_each(test);
}

/// A room in which Bob had power and has none, the state in which he had, and the levels of then.
fn demoted(version: &RoomVersionId) -> (Room, Map, Value) {
    let mut room = Room::new(version);
    let creator = if *version == RoomVersionId::V12 { json!({}) } else { json!({ALICE: 100}) };
    let mut users = creator.clone();
    users[BOB] = json!(50);
    room.levels(&users);
    let (_, stale) = room.head();
    room.levels(&creator);
    (room, stale, users)
}

#[test]
fn t3a_an_event_with_rejected_auth_events_is_rejected() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let levels = json!({"users": {BOB: 100}, "ban": 0});
        let (bad, verdict) = room.send(BOB, "m.room.power_levels", Some(""), levels);
        assert_eq!(verdict, Verdict::Rejected, "{version}");
        let (prev, mut state) = room.head();
        let key = room.known(&bad).key.unwrap();
        state.insert(key, room.known(&bad).num);
        let topic = json!({"topic": "mine"});
        let citing = room.make(BOB, "m.room.topic", Some(""), topic, &(prev, state));
        assert!(citing.auth_events.contains(&bad.event_id));
        assert_eq!(room.receive(&citing), Verdict::Rejected, "{version}");
        assert!(!room.store.extremities.contains(&room.known(&citing).num));
    });
}

#[test]
fn t3a_rejected_events_are_never_used_by_own_events() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let (bad, verdict) = room.send(BOB, "m.room.topic", Some(""), json!({"topic": "mine"}));
        assert_eq!(verdict, Verdict::Rejected, "{version}");
        let (own, verdict) = room.say(ALICE);
        assert_eq!(verdict, Verdict::Accepted, "{version}");
        assert!(
            !own.prev_events.contains(&bad.event_id) && !own.auth_events.contains(&bad.event_id)
        );
        // Others may build on it; the state is as if it were not there.
        let place = room.at(&bad);
        let child = room.make(CAROL, "m.room.message", None, json!({"body": "x"}), &place);
        assert_eq!(room.receive(&child), Verdict::Accepted, "{version}");
        assert!(room.store.current_event("m.room.topic", "").is_none());
    });
}

#[test]
fn an_event_that_only_its_auth_events_allow_is_rejected() {
    in_every_version(|version| {
        let (mut room, stale, _) = demoted(version);
        let (prev, _) = room.head();
        let place = (prev, stale);
        let topic = room.make(BOB, "m.room.topic", Some(""), json!({"topic": "mine"}), &place);
        assert_eq!(room.receive(&topic), Verdict::Rejected, "{version}");
        assert!(room.known(&topic).states.is_some(), "others may build on it");
    });
}

/// F2: by the policy server of the room.
#[test]
fn what_is_not_recommended_is_at_best_soft_failed() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let place = room.head();
        let topic = json!({"topic": "spam"});
        let levels = json!({"users": {BOB: 100}});
        let events = [
            (room.make(BOB, "m.room.message", None, json!({}), &place), Verdict::SoftFailed),
            (room.make(ALICE, "m.room.topic", Some(""), topic, &place), Verdict::SoftFailed),
            (room.make(BOB, "m.room.power_levels", Some(""), levels, &place), Verdict::Rejected),
        ];
        for (pdu, expected) in events {
            for mode in [Mode::Live, Mode::History] {
                let (event, _) = server::decide(&mut room.store, true, &pdu, &[], mode).unwrap();
                let circumstances =
                    Circumstances { is_recommended: false, ..Circumstances::of(mode) };
                let decision = ask(&room.store, true, |eye| {
                    engine::decide(eye, &room.store.head(), &event, circumstances)
                });
                let decision = decision.unwrap();
                assert_eq!(decision.verdict, expected, "{version} {mode:?}");
                assert_eq!(decision.extremities, room.store.head().extremities, "{version}");
                assert!(decision.current_changes.is_empty(), "{version}");
            }
        }
    });
}

#[test]
fn t6a_bans_need_power_and_more_of_it_than_their_target() {
    in_every_version(|version| {
        let v12 = *version == RoomVersionId::V12;
        let mut room = Room::new(version);
        assert_eq!(room.membership(BOB, CAROL, "ban"), Verdict::Rejected, "{version}: no power");
        let users =
            if v12 { json!({BOB: 50, CAROL: 50}) } else { json!({ALICE: 100, BOB: 50, CAROL: 50}) };
        room.levels(&users);
        assert_eq!(room.membership(BOB, CAROL, "ban"), Verdict::Rejected, "{version}: equal power");
        assert_eq!(room.membership(BOB, ALICE, "ban"), Verdict::Rejected, "{version}: the creator");
        assert_eq!(room.membership(ALICE, CAROL, "ban"), Verdict::Accepted, "{version}");
        assert_eq!(room.say(CAROL).1, Verdict::Rejected, "{version}: banned");
        assert_eq!(room.membership(CAROL, CAROL, "join"), Verdict::Rejected, "{version}: banned");
    });
}

#[test]
fn t6a_creators_of_version_12_are_immune() {
    let mut room = Room::new(&RoomVersionId::V12);
    room.levels(&json!({BOB: 9_007_199_254_740_991_i64}));
    assert_eq!(room.membership(BOB, ALICE, "ban"), Verdict::Rejected);
    assert_eq!(room.membership(ALICE, BOB, "ban"), Verdict::Accepted);
}

#[test]
fn an_event_from_before_a_ban_is_hidden_and_used_when_others_build_on_it() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let (last, _) = room.say(ALICE);
        let before_ban = room.at(&last);
        assert_eq!(room.membership(ALICE, BOB, "ban"), Verdict::Accepted);
        let body = json!({"body": "evading"});
        let evading = room.make(BOB, "m.room.message", None, body, &before_ban);
        assert_eq!(room.receive(&evading), Verdict::SoftFailed, "{version}");
        let num = room.known(&evading).num;
        assert!(
            !room.store.extremities.contains(&num)
                && room.store.timeline.iter().all(|it| it.0 != num)
        );
        // Carol's server had not seen the ban, and built on it.
        let place = room.at(&evading);
        let child = room.make(CAROL, "m.room.message", None, json!({"body": "x"}), &place);
        assert_eq!(room.receive(&child), Verdict::Accepted, "{version}");
        assert_eq!(room.known(&evading).verdict, Verdict::SoftFailed);
        let ban = room.store.current_event("m.room.member", BOB).unwrap();
        assert!(ban.pdu.content.get().contains("ban"), "{version}: the ban stands");
    });
}

#[test]
fn what_comes_before_its_ancestors_waits_for_them() {
    let version = room_version::DEFAULT;
    let mut room = Room::new(&version);
    let mut other = Room::new(&version);
    let (one, _) = room.send(ALICE, "m.room.topic", Some(""), json!({"topic": "one"}));
    let (two, _) = room.say(BOB);
    let waits = Undecided::Waits { auth: vec![], prev: vec![one.event_id.clone()] };
    assert_eq!(other.decide(&two), Err(waits));
    assert_eq!(other.receive(&one), Verdict::Accepted);
    assert_eq!(other.receive(&two), Verdict::Accepted);
    let named = |room: &Room| room.store.named(room.store.current());
    assert_eq!(named(&other), named(&room));
}

#[test]
fn a_second_create_event_and_an_event_from_nowhere_are_rejected() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let head = room.head();
        let nowhere = (vec![], head.1.clone());
        let content = json!({"creator": BOB, "room_version": version});
        for place in [&head, &nowhere] {
            let again = room.make(BOB, "m.room.create", Some(""), content.clone(), place);
            assert_eq!(room.receive(&again), Verdict::Rejected, "{version}");
        }
        let message = room.make(BOB, "m.room.message", None, json!({"body": "x"}), &nowhere);
        assert_eq!(room.receive(&message), Verdict::Rejected, "{version}");
        let member = room.make(BOB, "m.room.member", Some(BOB), json!({}), &head);
        assert_eq!(room.receive(&member), Verdict::Rejected, "{version}: malformed");
    });
}

#[test]
fn t2_a_room_with_1000_extremities_still_works_and_shrinks() {
    for version in [RoomVersionId::V6, RoomVersionId::V12] {
        let mut room = Room::new(&version);
        let (old, _) = room.say(ALICE);
        let place = room.at(&old);
        // Dave joins after the place where the room is split.
        room.must("@dave:s0", "m.room.member", Some("@dave:s0"), json!({"membership": "join"}));
        let join = room.head();
        let deep = room.make(ALICE, "m.room.message", None, json!({"body": "first"}), &join);
        room.receive(&deep);
        for body in 0..1_000 {
            let fork = room.make(BOB, "m.room.message", None, json!({"body": body}), &place);
            assert_eq!(room.receive(&fork), Verdict::Accepted);
        }
        assert_eq!(room.store.extremities.len(), 1_001);
        for spoken in 1..=111 {
            let needs = needs(&mut room, "@dave:s0");
            let store = &room.store;
            let prev =
                ask(store, true, |eye| engine::choose_prev(eye, &store.head(), &needs)).unwrap();
            assert!(prev.len() <= pdu::MAX_PREV_EVENTS);
            let before =
                ask(store, true, |eye| engine::state_before(eye, &store.head(), &prev)).unwrap();
            let place = (
                prev.iter().map(|it| Arc::clone(store.get(*it))).collect(),
                store.materialize(&before),
            );
            let own = room.make("@dave:s0", "m.room.message", None, json!({"body": "x"}), &place);
            assert_eq!(room.receive(&own), Verdict::Accepted, "{version}");
            assert_eq!(room.store.extremities.len(), 1_001 - 9 * spoken);
        }
    }
}

fn needs(room: &mut Room, user: &str) -> Vec<engine::KeyId> {
    [("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.member", user)]
        .iter()
        .map(|it| room.store.keys.intern(it.0, it.1))
        .collect()
}
