//! Outliers that come before an event or authorize it: they are judged first, where they can be;
//! and what is rejected late goes out of every state.

use super::*;

#[test]
fn t3a_what_is_here_is_judged_before_a_state_is_believed_about_it() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let (_, mut stale) = room.head();
        room.must(ALICE, "m.room.join_rules", Some(""), json!({"join_rule": "invite"}));
        let (mut prev, _) = room.head();
        // Dave joins by rules that count no more, twice: others name the second as what authorizes
        // them.
        let (mut outliers, mut joined) = (Vec::new(), (engine::KeyId(0), 0));
        for name in ["Dave", "David"] {
            let content = json!({"membership": "join", "displayname": name});
            let join =
                room.make(DAVE, "m.room.member", Some(DAVE), content, &(prev, stale.clone()));
            assert_eq!(server::insert_outlier(&mut room.store, true, &join), Ok(()));
            let known = Arc::clone(room.store.by_id(&join.event_id).unwrap());
            assert_eq!(known.verdict, Verdict::Accepted, "{version}: its auth events allow it");
            joined = (known.key.unwrap(), known.num);
            prev = vec![known];
            outliers.push(join.event_id.clone());
        }
        stale.insert(joined.0, joined.1);
        let body = json!({"body": "I am in"});
        let speech = room.make(DAVE, "m.room.message", None, body, &(prev.clone(), stale.clone()));
        let body = json!({"body": "so he is"});
        let answer = room.make(ALICE, "m.room.message", None, body, &(prev, stale.clone()));
        let told = engine::State::from(room.store.add_state(stale));
        let decide = |room: &mut Room, pdu: &Arc<Pdu>, given: &[_]| {
            let decided = server::decide(&mut room.store, true, pdu, given, Mode::Live);
            decided.map(|it| it.1.verdict)
        };
        let cited = Err(Undecided::Authorizing(outliers.clone()));
        let before = Err(Undecided::Outliers(outliers.clone()));
        for (pdu, first) in [(&speech, cited), (&answer, before)] {
            let given = |id: &OwnedEventId| vec![(id.clone(), told.clone())];
            for given in [vec![], given(&outliers[1]), given(&pdu.event_id)] {
                assert_eq!(decide(&mut room, pdu, &given), first, "{version}");
            }
        }
        for id in &outliers {
            let join = Arc::clone(&room.store.by_id(id).unwrap().pdu);
            assert_eq!(room.receive(&join), Verdict::Rejected, "{version}");
        }
        assert_eq!(decide(&mut room, &speech, &[]), Ok(Verdict::Rejected), "{version}");
        assert_eq!(decide(&mut room, &answer, &[]), Ok(Verdict::Accepted), "{version}");
    });
}

/// A room in which Bob, who may no more, has sent power levels by those of old; and after what he
/// sent them: what is here, or what is not.
fn stale_levels(version: &RoomVersionId, after_what_is_here: bool) -> (Room, Map, Arc<Pdu>) {
    let (mut room, stale, users) = demoted(version);
    let place = room.head();
    let unknown = room.make(ALICE, "m.room.message", None, json!({"body": "x"}), &place);
    let (mut prev, _) = place;
    if !after_what_is_here {
        prev = vec![Arc::new(Event { pdu: unknown, ..(*prev[0]).clone() })];
    }
    let content = json!({"users": users, "invite": 0});
    let levels = room.make(BOB, "m.room.power_levels", Some(""), content, &(prev, stale));
    let (_, mut cited) = room.head();
    assert_eq!(server::insert_outlier(&mut room.store, true, &levels), Ok(()));
    assert_eq!(room.known(&levels).verdict, Verdict::Accepted, "{version}: by its auth events");
    cited.insert(room.known(&levels).key.unwrap(), room.known(&levels).num);
    (room, cited, levels)
}

#[test]
fn t3a_outliers_that_authorize_are_judged_first() {
    in_every_version(|version| {
        let (mut room, cited, levels) = stale_levels(version, true);
        let (prev, _) = room.head();
        let body = json!({"body": "by levels that others have rejected"});
        let message =
            room.make(ALICE, "m.room.message", None, body, &(prev.clone(), cited.clone()));
        let topic = json!({"topic": "the same"});
        let topic = room.make(ALICE, "m.room.topic", Some(""), topic, &(prev, cited));
        let first = Err(Undecided::Authorizing(vec![levels.event_id.clone()]));
        assert_eq!(room.decide(&message), first, "{version}");
        let outlier = server::insert_outlier(&mut room.store, true, &topic);
        assert_eq!(outlier, first.map(|_| ()), "{version}: what an outlier cites");
        assert_eq!(room.receive(&levels), Verdict::Rejected, "{version}");
        assert_eq!(room.receive(&message), Verdict::Rejected, "{version}");
        assert_eq!(server::insert_outlier(&mut room.store, true, &topic), Ok(()));
        assert_eq!(room.known(&topic).verdict, Verdict::Rejected, "{version}");
    });
}

#[test]
fn an_outlier_that_authorizes_and_cannot_be_judged_counts_by_its_auth_events() {
    in_every_version(|version| {
        let (mut room, cited, _) = stale_levels(version, false);
        let (prev, _) = room.head();
        let body = json!({"body": "who joins knows no more of all that authorizes"});
        let message = room.make(ALICE, "m.room.message", None, body, &(prev, cited));
        assert_eq!(room.receive(&message), Verdict::Accepted, "{version}");
    });
}

#[test]
fn t3a_an_outlier_that_authorizes_and_is_allowed_is_an_event_like_any() {
    in_every_version(|version| {
        let (mut room, mut other) = (Room::new(version), Room::new(version));
        let topic = json!({"topic": "one"});
        let join = room.send(DAVE, "m.room.member", Some(DAVE), json!({"membership": "join"})).0;
        let topic = room.make(ALICE, "m.room.topic", Some(""), topic, &room.head());
        let fork = other.head().0;
        let state = room.head().1;
        assert_eq!(server::insert_outlier(&mut other.store, true, &join), Ok(()));
        // Citing what is not before it does not make it allowed.
        let speech = room.make(DAVE, "m.room.message", None, json!({"body": "x"}), &(fork, state));
        let first = Err(Undecided::Authorizing(vec![join.event_id.clone()]));
        assert_eq!(other.decide(&speech), first, "{version}");
        assert_eq!(other.receive(&join), Verdict::Accepted, "{version}");
        assert_eq!(other.receive(&speech), Verdict::Rejected, "{version}");
        assert_eq!(other.receive(&topic), Verdict::Accepted, "{version}");
    });
}

#[test]
fn t3a_what_is_rejected_late_goes_out_of_the_current_state_at_once() {
    for version in room_version::SUPPORTED.iter().filter(|it| **it != RoomVersionId::V1) {
        let mut room = Room::new(version);
        let creator = if *version == RoomVersionId::V12 { json!({}) } else { json!({ALICE: 100}) };
        let mut users = creator;
        users[BOB] = json!(100);
        room.levels(&users);
        let (_, joined) = room.head();
        let levels = room.store.current_event("m.room.power_levels", "").unwrap();
        let levels = levels.pdu.event_id.clone();
        // Bob leaves, and sends power levels all the same: nothing conflicts but those.
        let place = room.head();
        let leave = json!({"membership": "leave"});
        let leave = room.make(BOB, "m.room.member", Some(BOB), leave, &place);
        let gone =
            (vec![Arc::new(Event { pdu: Arc::clone(&leave), ..(*place.0[0]).clone() })], joined);
        let content = json!({"users": users, "invite": 100});
        let late = room.make(BOB, "m.room.power_levels", Some(""), content, &gone);
        assert_eq!(server::insert_outlier(&mut room.store, true, &late), Ok(()));
        // A peer says that they count.
        let (num, key) = (room.known(&late).num, room.known(&late).key.unwrap());
        let mut told = gone.1;
        told.insert(key, num);
        let after = vec![Arc::clone(room.known_event(&late))];
        let place = (after, told.clone());
        let message = room.make(ALICE, "m.room.message", None, json!({"body": "x"}), &place);
        let told = engine::State::from(room.store.add_state(told));
        let given = [(message.event_id.clone(), told)];
        let decided = server::decide(&mut room.store, true, &message, &given, Mode::Live);
        let (event, decision) = decided.unwrap();
        room.store.commit(event, &decision, true);
        assert_eq!(room.receive(&leave), Verdict::Accepted, "{version}");
        let current = |room: &Room| {
            let it = room.store.current_event("m.room.power_levels", "");
            it.map(|it| it.pdu.event_id.clone())
        };
        let id = Some(late.event_id.clone());
        assert_eq!(current(&room), id, "{version}: believed as long as it can be");
        assert_eq!(room.receive(&late), Verdict::Rejected, "{version}");
        assert_eq!(current(&room), Some(levels.clone()), "{version}: what holds without it");
        let after = room.known(&message).states.unwrap().after;
        let after = room.store.get(room.store.map(after)[&key]);
        assert_eq!(after.pdu.event_id, levels, "{version}: it is in no state");
        let (own, verdict) = room.say(ALICE);
        assert_eq!(verdict, Verdict::Accepted, "{version}");
        assert!(own.auth_events.contains(&levels) && !own.auth_events.contains(&late.event_id));
    }
}

#[test]
fn t3a_what_a_resolution_brings_back_and_is_rejected_leaves_no_hole() {
    for version in room_version::SUPPORTED.iter().filter(|it| **it != RoomVersionId::V1) {
        let mut room = Room::new(version);
        let creator = if *version == RoomVersionId::V12 { json!({}) } else { json!({ALICE: 100}) };
        let mut users = creator.clone();
        users[BOB] = json!(100);
        room.levels(&users);
        let place = room.head();
        // Alice changes them. On another fork, Bob leaves and changes them all the same, later.
        users[CAROL] = json!(10);
        room.levels(&users);
        let levels = room.store.current_event("m.room.power_levels", "").unwrap();
        let levels = levels.pdu.event_id.clone();
        let leave = json!({"membership": "leave"});
        let leave = room.make(BOB, "m.room.member", Some(BOB), leave, &place);
        let after = vec![Arc::new(Event { pdu: Arc::clone(&leave), ..(*place.0[0]).clone() })];
        let content = json!({"users": users, "invite": 100});
        let place = (after, place.1);
        let late = room.make(BOB, "m.room.power_levels", Some(""), content, &place);
        assert_eq!(server::insert_outlier(&mut room.store, true, &late), Ok(()));
        // A peer says that they count, and Alice builds on them.
        let mut told = place.1;
        told.insert(room.known(&late).key.unwrap(), room.known(&late).num);
        let place = (vec![Arc::clone(room.known_event(&late))], told.clone());
        let topic = json!({"topic": "by levels that do not count"});
        let topic = room.make(ALICE, "m.room.topic", Some(""), topic, &place);
        let told = engine::State::from(room.store.add_state(told));
        let given = [(topic.event_id.clone(), told)];
        let decided = server::decide(&mut room.store, true, &topic, &given, Mode::Live);
        let (event, decision) = decided.unwrap();
        assert_eq!(decision.verdict, Verdict::Accepted, "{version}");
        room.store.commit(event, &decision, true);
        let current = |room: &Room| {
            let it = room.store.current_event("m.room.power_levels", "");
            it.map(|it| it.pdu.event_id.clone())
        };
        assert_eq!(current(&room), Some(late.event_id.clone()), "{version}: as long as it can be");
        assert_eq!(room.receive(&leave), Verdict::Accepted, "{version}");
        assert_eq!(room.receive(&late), Verdict::Rejected, "{version}");
        assert_eq!(current(&room), Some(levels), "{version}: what holds without it");
    }
}

#[test]
fn a_state_is_believed_where_outliers_cannot_be_judged() {
    let version = room_version::DEFAULT;
    let (mut room, mut other) = (Room::new(&version), Room::new(&version));
    let lost = room.say(ALICE).0;
    let topic = room.send(ALICE, "m.room.topic", Some(""), json!({"topic": "one"})).0;
    let last = room.say(BOB).0;
    assert!(server::insert_outlier(&mut other.store, true, &topic).is_ok());
    let waits = Undecided::Waits { auth: vec![], prev: vec![topic.event_id.clone()] };
    assert_eq!(other.decide(&last), Err(waits));
    let mut state = (**other.store.current()).clone();
    let known = other.known(&topic);
    state.insert(known.key.unwrap(), known.num);
    let told = engine::State::from(other.store.add_state(state));
    let given = [(last.event_id.clone(), told)];
    let decide =
        |other: &mut Room| server::decide(&mut other.store, true, &last, &given, Mode::Live);
    assert_eq!(decide(&mut other).unwrap().1.verdict, Verdict::Accepted);
    assert_eq!(other.receive(&lost), Verdict::Accepted);
    let outliers = Undecided::Outliers(vec![topic.event_id.clone()]);
    assert_eq!(decide(&mut other).unwrap_err(), outliers, "it can be judged now");
}
