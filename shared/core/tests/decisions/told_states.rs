//! States that peers tell, and what they are not believed.

use ruma::RoomVersionId;
use serde_json::json;
use skerry_core::{
    engine::{self, Given, Mode, State, Undecided, Verdict},
    room_version,
};

use super::{ALICE, BOB, DAVE, Room, in_every_version, server};

/// T3c: who names an event that nobody else has, and lies about the state before its own, has
/// nothing forgotten that is known.
#[test]
fn a_state_told_before_an_event_replaces_nothing_that_is_known() {
    in_every_version(|version| {
        let (mut room, mut other) = (Room::new(version), Room::new(version));
        let topic = room.send(ALICE, "m.room.topic", Some(""), json!({"topic": "one"})).0;
        assert_eq!(other.receive(&topic), Verdict::Accepted);
        let (missing, _) = room.say(BOB);
        let before = [&topic, &missing].map(|it| room.known_event(it).clone());
        let place = (before.to_vec(), room.head().1);
        let said = room.make(BOB, "m.room.message", None, json!({"body": "so it is"}), &place);
        let mut lie = (**other.store.current()).clone();
        lie.remove(&other.known(&topic).key.unwrap());
        let lie = State::from(other.store.add_state(lie));
        let given = [(said.event_id.clone(), lie)];
        let decided = server::decide(&mut other.store, true, &said, &given, Mode::Live);
        let (_, decision) = decided.unwrap();
        assert_eq!(decision.verdict, Verdict::Accepted, "{version}");
        assert_eq!(decision.extremities.len(), 1, "{version}: nothing else is left to build on");
        assert_eq!(decision.current_changes, [].into(), "{version}: the topic stays");
    });
}

#[test]
fn a_state_told_before_an_event_stands_in_for_what_is_missing_before_it() {
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

/// T3a: a lie about the state before an event keeps nothing out.
#[test]
fn hearsay_of_a_state_lets_an_event_in_and_rejects_none() {
    in_every_version(|version| {
        let (mut room, mut other) = (Room::new(version), Room::new(version));
        let (prev, _) = room.say(ALICE);
        let (pdu, _) = room.say(ALICE);
        let truth = State::from(other.store.current_at());
        // If Alice had left.
        let mut left = (**other.store.current()).clone();
        let alice = other.store.event_in(&left, "m.room.member", ALICE).unwrap().key.unwrap();
        left.remove(&alice);
        let lie = State::from(other.store.add_state(left));
        let waits = Undecided::Hearsay(vec![prev.event_id.clone()]);
        let cases = [
            (&truth, true, Ok(Verdict::Accepted)),
            (&truth, false, Ok(Verdict::Accepted)),
            (&lie, false, Ok(Verdict::Rejected)),
            (&lie, true, Err(waits)),
        ];
        for (state, is_hearsay, expected) in cases {
            for mode in [Mode::Live, Mode::History] {
                let before = pdu.event_id.clone();
                let given = [Given { before, state: state.clone(), is_hearsay }];
                let decided = other.decide_with(&pdu, &given, mode);
                assert_eq!(decided, expected, "{version} {mode:?} {is_hearsay}");
            }
        }
        // What is known is judged by that, whatever anybody says.
        assert_eq!(other.receive(&prev), Verdict::Accepted);
        let given = [Given { before: pdu.event_id.clone(), state: lie, is_hearsay: true }];
        assert_eq!(other.decide_with(&pdu, &given, Mode::Live), Ok(Verdict::Accepted));
    });
}

/// The state before an event is not the one after it, even where nothing else is known of either:
/// who took it for that would forget the event, and reject what it allows.
#[test]
fn a_state_told_before_an_event_says_nothing_of_what_comes_after_it() {
    in_every_version(|version| {
        let (mut room, mut other) = (Room::new(version), Room::new(version));
        let before = State::from(other.store.current_at());
        room.say(ALICE);
        let join = room.send(DAVE, "m.room.member", Some(DAVE), json!({"membership": "join"})).0;
        let (said, _) = room.say(DAVE);
        assert!(server::insert_outlier(&mut other.store, true, &join).is_ok());
        let given = [Given { before: join.event_id.clone(), state: before, is_hearsay: false }];
        let waits = Undecided::Waits { auth: Vec::new(), prev: vec![join.event_id.clone()] };
        for mode in [Mode::Live, Mode::History] {
            let decided = other.decide_with(&said, &given, mode);
            assert_eq!(decided, Err(waits.clone()), "{version} {mode:?}");
        }
    });
}

/// A state that has not the room's create event lets nothing in.
#[test]
fn a_state_of_another_room_is_as_good_as_none() {
    in_every_version(|version| {
        let (mut room, mut other) = (Room::new(version), Room::new(version));
        let (prev, _) = room.say(ALICE);
        let (pdu, _) = room.say(ALICE);
        let mut map = (**other.store.current()).clone();
        let create = other.store.current_event("m.room.create", "").unwrap().key.unwrap();
        map.remove(&create);
        let state = State::from(other.store.add_state(map));
        let given = [Given { before: pdu.event_id.clone(), state, is_hearsay: false }];
        let waits = Undecided::Waits { auth: Vec::new(), prev: vec![prev.event_id.clone()] };
        for mode in [Mode::Live, Mode::History, Mode::Rejoin] {
            assert_eq!(other.decide_with(&pdu, &given, mode), Err(waits.clone()), "{version}");
        }
    });
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
