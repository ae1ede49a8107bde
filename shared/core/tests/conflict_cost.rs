//! What it costs to resolve forks, counted and not timed: what is asked of the room, and what is
//! answered (T2). Anybody in a room can split it into as many forks as they like.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its rooms are small"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "state_resolution/room.rs"]
mod room;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
};

use ruma::{EventId, OwnedUserId, RoomVersionId, UserId};
use serde_json::json;
use skerry_core::engine::{Edges, Event, Head, KeyId, Num, StateAt, View, states};

use crate::room::{Draft, Room, State};

/// What all forks hang on.
const TRUNK: StateAt = StateAt { chain: 0, group: 1 };

/// A room with forks that hang on one state. What is asked of it is counted.
struct Split {
    room: RefCell<Room>,
    trunk: State,
    /// What each fork changes: the chain after chain 0 is that of the first.
    forks: Vec<BTreeMap<KeyId, Num>>,
    users: Vec<OwnedUserId>,
    asked: Cell<usize>,
}

impl Split {
    /// A public room of so many users.
    fn new(users: usize) -> Self {
        let id = |it: usize| UserId::parse(format!("@user{it}:s{}", it % 97)).unwrap();
        let users: Vec<_> = (0..=users).map(id).collect();
        let mut room = Room::new(&RoomVersionId::V11, &users[0], 7);
        let mut trunk = State::from([(room.key_of("m.room.create", ""), 0)]);
        room.send(&mut trunk, Draft::member(&users[0], &users[0], "join"));
        let levels = json!({ "users": { users[0].as_str(): 100 } });
        room.send(&mut trunk, Draft::new(&users[0], "m.room.power_levels", "", levels));
        let rules = json!({ "join_rule": "public" });
        room.send(&mut trunk, Draft::new(&users[0], "m.room.join_rules", "", rules));
        for user in &users[1..] {
            room.force(&mut trunk, Draft::member(user, user, "join"));
        }
        let room = RefCell::new(room);
        Self { room, trunk, forks: Vec::new(), users, asked: Cell::new(0) }
    }

    /// A user changes their name in a fork.
    fn rename(&mut self, fork: usize, user: usize) {
        let (user, mut room) = (&self.users[user], self.room.borrow_mut());
        let content = json!({ "membership": "join", "displayname": format!("In {fork}") });
        let draft = Draft::new(user, "m.room.member", user.as_str(), content);
        let auth = room.auth_events(&self.trunk, &draft);
        let at = room.events.len() as u64;
        let num = room.insert(draft.at(at), auth);
        self.forks.resize(self.forks.len().max(fork + 1), BTreeMap::new());
        self.forks[fork].insert(room.key(num), num);
    }

    /// Resolves the forks; gives what that has asked and what it was answered, together.
    fn cost(&self) -> usize {
        let states: Vec<_> = (1..=self.forks.len() as u64)
            .map(|chain| StateAt { chain, group: chain }.into())
            .collect();
        let rules = self.room.borrow().rules.clone();
        let head =
            Head { rules: &rules, create: 0, extremities: &[], current: TRUNK, unverified: &[] };
        self.asked.set(0);
        let resolved = states::merge(self, &head, &states).unwrap();
        let keys = self.forks.iter().flat_map(BTreeMap::keys);
        for key in keys {
            let found = states::lookup(self, &resolved, *key).unwrap().unwrap();
            assert!(found > self.trunk[key], "the newer name holds");
        }
        self.asked.get()
    }

    fn count(&self, answers: usize) {
        self.asked.set(self.asked.get() + 1 + answers);
    }
}

impl View for Split {
    fn find(&self, event_id: &EventId) -> Option<Option<Num>> {
        self.count(1);
        self.room.borrow().find(event_id)
    }

    fn event(&self, num: Num) -> Option<Arc<Event>> {
        self.count(1);
        self.room.borrow().event(num)
    }

    fn edges(&self, num: Num) -> Option<Edges<'_>> {
        self.count(1);
        let room = self.room.borrow();
        let Edges { key, auth } = room.edges(num)?;
        Some(Edges { key, auth: auth.into_owned().into() })
    }

    fn cited_by(&self, num: Num, before: Num) -> Option<Vec<Num>> {
        let page = self.room.borrow().cited_by(num, before)?;
        self.count(page.len());
        Some(page)
    }

    fn state(&self, at: StateAt, key: KeyId) -> Option<Option<Num>> {
        self.count(1);
        let fork = at.chain.checked_sub(1).and_then(|it| self.forks[it as usize].get(&key));
        Some(fork.or_else(|| self.trunk.get(&key)).copied())
    }

    fn parent(&self, chain: u64) -> Option<Option<StateAt>> {
        self.count(1);
        Some((chain > 0).then_some(TRUNK))
    }

    fn deltas(&self, chain: u64, _after: u64, upto: u64) -> Option<Vec<(KeyId, Option<Num>)>> {
        assert_eq!((chain, upto > 0), (upto, true), "what forks change, and nothing else");
        let fork = &self.forks[chain as usize - 1];
        self.count(fork.len());
        Some(fork.iter().map(|(key, num)| (*key, Some(*num))).collect())
    }
}

/// As many forks as keys: each user speaks in a fork of their own.
fn forks_of_one(keys: usize) -> Split {
    let mut split = Split::new(keys);
    for user in 1..=keys {
        split.rename(user - 1, user);
    }
    split
}

/// Two forks that differ in all keys.
fn two_forks(keys: usize) -> Split {
    let mut split = Split::new(keys);
    for user in 1..=keys {
        split.rename(0, user);
        split.rename(1, user);
    }
    split
}

#[test]
fn t2_a_conflict_costs_as_much_as_there_are_keys_in_it() {
    for (name, make) in [("forks of one key", forks_of_one as fn(_) -> _), ("two forks", two_forks)]
    {
        for keys in [10, 100, 1_000, 10_000] {
            let cost = make(keys).cost();
            println!("{name}, {keys} keys: {cost}");
            assert!(cost <= 60 * keys, "{name}, {keys} keys: {cost}");
        }
    }
}
