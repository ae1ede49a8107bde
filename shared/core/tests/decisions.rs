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

use std::sync::Arc;

use ruma::{OwnedEventId, OwnedRoomId, RoomVersionId, UserId, owned_server_name};
use serde_json::{Value, json};
use skerry_core::{
    Pdu, SigningKey,
    engine::{self, Event, Mode, Undecided, Verdict},
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

#[test]
fn a_state_told_before_an_event_counts_alone_when_events_before_it_are_missing() {
    let version = room_version::DEFAULT;
    let mut room = Room::new(&version);
    let mut other = Room::new(&version);
    let (missing, _) = room.say(ALICE);
    let (topic, _) = room.send(ALICE, "m.room.topic", Some(""), json!({"topic": "one"}));
    let told = engine::State::from(other.store.current_at());
    let given = [(topic.event_id.clone(), told.clone())];
    assert!(matches!(other.decide(&topic), Err(Undecided::Waits { prev, .. })
        if prev == [missing.event_id.clone()]));
    let (_, decision) = server::decide(&mut other.store, true, &topic, &given, Mode::Live).unwrap();
    assert_eq!((decision.verdict, decision.before), (Verdict::Accepted, Some(told)));
}

#[test]
fn a_server_that_comes_back_takes_the_state_it_is_given_for_the_rooms() {
    in_every_version(|version| {
        let (mut room, mut other) = (Room::new(version), Room::new(version));
        // By the clocks of those who set them, the old topic is the newer one.
        room.unique += 1_000;
        let old = room.send(ALICE, "m.room.topic", Some(""), json!({"topic": "old"})).0;
        assert_eq!(other.receive(&old), Verdict::Accepted);
        room.unique -= 500;
        let new = room.send(ALICE, "m.room.topic", Some(""), json!({"topic": "new"})).0;
        room.must(ALICE, "m.room.message", None, json!({"body": "never heard of"}));
        let join = room.send(DAVE, "m.room.member", Some(DAVE), json!({"membership": "join"})).0;
        assert!(server::insert_outlier(&mut other.store, true, &new).is_ok());
        let mut state = (**other.store.current()).clone();
        let topic = other.known(&new).key.unwrap();
        state.insert(topic, other.known(&new).num);
        let told = engine::State::from(other.store.add_state(state));
        let given = [(join.event_id.clone(), told)];
        let mut decide = |mode| server::decide(&mut other.store, true, &join, &given, mode);
        let (_, live) = decide(Mode::Live).unwrap();
        assert_eq!(live.extremities.len(), 2, "{version}: as if both went on at the same time");
        // Version 1 goes by depth.
        let wins = live.current_changes.contains_key(&topic);
        assert_eq!(wins, *version == RoomVersionId::V1, "{version}: the old topic wins");
        let (event, back) = decide(Mode::Rejoin).unwrap();
        assert_eq!((back.verdict, &*back.extremities), (Verdict::Accepted, &[event.num][..]));
        other.store.commit(event, &back, true);
        let now = other.store.current_event("m.room.topic", "").unwrap();
        assert_eq!(now.pdu.event_id, new.event_id, "{version}");
        assert!(other.store.current_event("m.room.member", DAVE).is_some(), "{version}");
    });
}

#[test]
fn a_server_that_comes_back_is_not_held_up_by_what_it_last_heard() {
    let version = room_version::DEFAULT;
    let (mut room, mut other) = (Room::new(&version), Room::new(&version));
    let place = room.head();
    // Here the room has been closed, of which the servers that are in it have not heard.
    let closed = json!({"join_rule": "invite"});
    let closed = room.make(ALICE, "m.room.join_rules", Some(""), closed, &place);
    assert_eq!(other.receive(&closed), Verdict::Accepted);
    let join = json!({"membership": "join"});
    let join = room.make(DAVE, "m.room.member", Some(DAVE), join, &place);
    let mut decide = |mode| server::decide(&mut other.store, true, &join, &[], mode).unwrap();
    assert_eq!(decide(Mode::Live).1.verdict, Verdict::SoftFailed);
    let (event, back) = decide(Mode::Rejoin);
    assert_eq!((back.verdict, &*back.extremities), (Verdict::Accepted, &[event.num][..]));
    other.store.commit(event, &back, true);
    let rules = other.store.current_event("m.room.join_rules", "").unwrap();
    assert!(rules.pdu.content.get().contains("public"), "the current state is that of the join");
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
