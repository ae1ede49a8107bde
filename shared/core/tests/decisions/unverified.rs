//! Events that came with this server's join and could not be verified: what would read them waits.

use std::sync::Arc;

use serde_json::json;
use skerry_core::{
    Pdu,
    engine::{Event, Given, Mode, State, StateAt, Undecided, Unverified, Verdict},
};

use super::{ALICE, BOB, DAVE, Room, in_every_version, server, store::Map};

/// Where a room is: the events that come before the next one, and the state.
type Place = (Vec<Arc<Event>>, Map);

impl Room {
    /// The room does not know whether it has this event, which is not here. It joined in a state.
    fn doubts(&mut self, pdu: &Pdu, of: StateAt) -> Undecided {
        let state_key = pdu.state_key.as_deref().unwrap();
        let key = (pdu.event_type.to_string(), state_key.to_owned());
        let event_id = pdu.event_id.clone();
        let unverified = Unverified::new(event_id.clone(), &key, of, &mut self.store.keys);
        self.store.unverified = vec![unverified];
        Undecided::Unverified(vec![event_id])
    }

    /// A membership of Dave.
    fn of_dave(&mut self, sender: &str, membership: &str, place: &Place) -> Arc<Pdu> {
        let content = json!({"membership": membership});
        self.make(sender, "m.room.member", Some(DAVE), content, place)
    }
}

/// A membership of Dave that a room does not get.
fn unseen(version: &ruma::RoomVersionId, membership: &str) -> Arc<Pdu> {
    let mut elsewhere = Room::new(version);
    let content = json!({"membership": membership});
    elsewhere.send(ALICE, "m.room.member", Some(DAVE), content).0
}

/// T2: whoever is banned by an event that nobody can verify yet is not let in meanwhile.
#[test]
fn what_would_be_authorized_by_an_unverified_event_waits() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let ban = unseen(version, "ban");
        let at = room.store.current_at();
        let waits = Err(room.doubts(&ban, at));
        let head = room.head();
        let join = room.of_dave(DAVE, "join", &head);
        let decided = [Mode::Live, Mode::Own].map(|mode| room.decide_with(&join, &[], mode));
        assert_eq!(decided, [waits.clone(), waits.clone()], "{version}");
        // What does not read it goes on, and so does history, whose states peers tell.
        assert_eq!(room.say(BOB).1, Verdict::Accepted, "{version}");
        let given =
            [Given { before: join.event_id.clone(), state: State::from(at), is_hearsay: false }];
        assert_eq!(room.decide_with(&join, &given, Mode::History), Ok(Verdict::Accepted));
        // Once it is verified, or never will be, all is as ever.
        room.store.unverified.clear();
        assert_eq!(room.decide_with(&join, &[], Mode::Live), Ok(Verdict::Accepted), "{version}");
    });
}

/// A later event of its key is in force, whatever the unverified one says.
#[test]
fn what_has_come_since_hides_an_unverified_event() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let ban = unseen(version, "ban");
        let at = room.store.current_at();
        assert_eq!(room.membership(ALICE, DAVE, "invite"), Verdict::Accepted);
        room.doubts(&ban, at);
        assert_eq!(room.membership(DAVE, DAVE, "join"), Verdict::Accepted, "{version}");
    });
}

/// An event that the state before it allows is held against the current state: so it waits for what
/// that may have. What was before the join does not have it.
#[test]
fn a_soft_failure_waits_as_well() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let early = room.say(ALICE).0;
        let place = room.at(&early);
        room.must(ALICE, "m.room.topic", Some(""), json!({"topic": "one"}));
        let ban = unseen(version, "ban");
        let waits = room.doubts(&ban, room.store.current_at());
        let join = room.of_dave(DAVE, "join", &place);
        assert_eq!(room.decide_with(&join, &[], Mode::Live), Err(waits), "{version}");
        // By the same way an event that does not read it comes in.
        let said = room.make(BOB, "m.room.message", None, json!({"body": "late"}), &place);
        assert_eq!(room.receive(&said), Verdict::Accepted, "{version}");
    });
}

/// Where forks disagree, what is true may depend on an unverified event, although nothing that
/// authorizes the event itself does: here on how Dave came to be what one fork says.
#[test]
fn a_conflict_waits_for_what_decides_it() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let place = room.head();
        let at = room.store.current_at();
        let ban = unseen(version, "ban");
        let invite = room.of_dave(ALICE, "invite", &place);
        assert_eq!(room.receive(&invite), Verdict::Accepted, "{version}");
        let said = room.make(BOB, "m.room.message", None, json!({"body": "b"}), &place);
        let waits = room.doubts(&ban, at);
        assert_eq!(room.decide_with(&said, &[], Mode::Live), Err(waits), "{version}");
    });
}

/// What authorizes nobody is what it is once it is known, and holds up nothing.
#[test]
fn an_unverified_name_decides_nothing() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let place = room.head();
        let at = room.store.current_at();
        let other = room.make(ALICE, "m.room.name", Some(""), json!({"name": "zero"}), &place);
        for (user, name) in [(ALICE, "one"), (ALICE, "two")] {
            room.doubts(&other, at);
            let name = room.make(user, "m.room.name", Some(""), json!({"name": name}), &place);
            assert_eq!(room.receive(&name), Verdict::Accepted, "{version}");
        }
    });
}

/// An outlier that authorizes an unverified event waits for it no more than that one's state does:
/// else both would wait for ever.
#[test]
fn an_outlier_is_not_held_against_what_came_after_it() {
    in_every_version(|version| {
        let mut room = Room::new(version);
        let place = room.head();
        let invite = room.of_dave(ALICE, "invite", &place);
        assert_eq!(server::insert_outlier(&mut room.store, true, &invite), Ok(()));
        room.must(ALICE, "m.room.topic", Some(""), json!({"topic": "one"}));
        let join = unseen(version, "invite");
        let waits = room.doubts(&join, room.store.current_at());
        assert_eq!(room.decide_with(&invite, &[], Mode::Live), Ok(Verdict::Accepted), "{version}");
        let other = json!({"membership": "invite", "reason": "once more"});
        let other = room.make(ALICE, "m.room.member", Some(DAVE), other, &place);
        assert_eq!(room.decide_with(&other, &[], Mode::Live), Err(waits), "{version}");
    });
}
