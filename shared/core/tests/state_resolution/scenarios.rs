//! Scenarios with names: the state resets that MSC4297 is about, threats, and large rooms.

use ruma::{OwnedUserId, RoomVersionId, UserId, user_id};
use serde_json::{Value, json};
use skerry_core::{
    engine::{KeyId, Num},
    room_version,
    state_res::{self, Conflict},
};

use crate::{
    lazy::Lazy,
    oracle::Prepared,
    room::{self, Draft, Room, State},
};

fn alice() -> &'static UserId {
    user_id!("@alice:s1")
}

fn bob() -> &'static UserId {
    user_id!("@bob:s2")
}

fn charlie() -> &'static UserId {
    user_id!("@charlie:s3")
}

/// Levels of users; the creator's where it has to be said.
fn levels(room: &Room, users: &[(&UserId, i64)]) -> Value {
    let mut map = serde_json::Map::new();
    if !room.rules.authorization.explicitly_privilege_room_creators {
        map.insert(alice().to_string(), json!(100));
    }
    map.extend(users.iter().map(|(user, level)| (user.to_string(), json!(level))));
    json!({ "users": map })
}

fn power_levels(room: &Room, sender: &UserId, users: &[(&UserId, i64)]) -> Draft {
    Draft::new(sender, "m.room.power_levels", "", levels(room, users))
}

fn join_rules(sender: &UserId, rule: &str) -> Draft {
    Draft::new(sender, "m.room.join_rules", "", json!({ "join_rule": rule }))
}

fn topic(sender: &UserId, topic: &str) -> Draft {
    Draft::new(sender, "m.room.topic", "", json!({ "topic": topic }))
}

/// A public room of Alice, with Bob in it at this level.
fn start(version: &RoomVersionId, bobs_level: i64, salt: u64) -> (Room, State) {
    let mut room = Room::new(version, alice(), salt);
    let mut state = State::from([(room.key(0), 0)]);
    room.send(&mut state, Draft::member(alice(), alice(), "join").at(1));
    let first = power_levels(&room, alice(), &[(bob(), bobs_level)]);
    room.send(&mut state, first.at(2));
    room.send(&mut state, join_rules(alice(), "public").at(3));
    room.send(&mut state, Draft::member(bob(), bob(), "join").at(4));
    (room, state)
}

/// What this project resolves to, checked against ruma.
fn resolve(room: &Room, states: &[State]) -> State {
    let found = room::resolve(room, states);
    if room.rules.state_res.v2_rules().is_some() {
        let prepared = Prepared::new(room, states);
        let expected = prepared.resolve(room, prepared.chains.clone());
        assert_eq!(found, prepared.state(room, &expected));
    }
    found
}

/// Problem A: both forks know by their auth chains which join rules are the latest, one is told
/// an older one for its state, and who set them has left.
fn problem_a(version: &RoomVersionId) -> (Option<Num>, Num) {
    let (mut room, mut state) = start(version, 0, 1);
    let key = room.key_of("m.room.join_rules", "");
    let old = state[&key];
    let new = room.send(&mut state, join_rules(alice(), "invite").at(5));
    room.send(&mut state, Draft::member(alice(), charlie(), "invite").at(6));
    room.send(&mut state, Draft::member(charlie(), charlie(), "join").at(7));
    room.send(&mut state, Draft::member(alice(), alice(), "leave").at(8));
    let mut outdated = state.clone();
    outdated.insert(key, old);
    (resolve(&room, &[state, outdated]).get(&key).copied(), new)
}

#[test]
fn msc4297_problem_a() {
    let (reset, _) = problem_a(&RoomVersionId::V11);
    assert_eq!(reset, None, "version 2 of the algorithm loses the join rules");
    let (kept, latest) = problem_a(&RoomVersionId::V12);
    assert_eq!(kept, Some(latest), "version 2.1 keeps them");
}

/// Problem B: Alice promotes Bob, Bob promotes Charlie, and one fork is told the levels before
/// both for its state. Both forks have all three in their auth chains.
fn problem_b(version: &RoomVersionId) -> (Option<Num>, Num, Num) {
    let (mut room, mut state) = start(version, 0, 1);
    let key = room.key_of("m.room.power_levels", "");
    let old = state[&key];
    room.send(&mut state, Draft::member(charlie(), charlie(), "join").at(5));
    let bobs = power_levels(&room, alice(), &[(bob(), 50)]);
    room.send(&mut state, bobs.at(6));
    let charlies = power_levels(&room, bob(), &[(bob(), 50), (charlie(), 50)]);
    let new = room.send(&mut state, charlies.at(7));
    room.send(&mut state, Draft::member(user_id!("@zara:s4"), user_id!("@zara:s4"), "join").at(8));
    let mut outdated = state.clone();
    outdated.insert(key, old);
    (resolve(&room, &[state, outdated]).get(&key).copied(), old, new)
}

#[test]
fn msc4297_problem_b() {
    let (reset, old, _) = problem_b(&RoomVersionId::V11);
    assert_eq!(reset, Some(old), "version 2 of the algorithm goes back to the old levels");
    let (kept, _, latest) = problem_b(&RoomVersionId::V12);
    assert_eq!(kept, Some(latest), "version 2.1 keeps Charlie's promotion");
}

/// Every order of these.
fn permutations<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = of.split_first() else { return vec![Vec::new()] };
    let insert =
        |list: Vec<T>| (0..=list.len()).map(move |at| (list.clone(), at)).collect::<Vec<_>>();
    permutations(rest)
        .into_iter()
        .flat_map(insert)
        .map(|(mut list, at)| {
            list.insert(at, first.clone());
            list
        })
        .collect()
}

/// Threat T2: who lost power uses it in forks of their own. Alice demotes Bob; elsewhere Bob bans
/// Charlie, elsewhere he promotes himself a friend and closes the room, and elsewhere again
/// Charlie goes on. Whatever the order in which a server meets the forks, it gets the same room,
/// and one in which the demotion counts.
#[test]
fn t2_conflicting_power_levels_and_bans_resolve_alike_in_every_order() {
    for version in room_version::SUPPORTED {
        for salt in 0..8 {
            t2(&version, salt);
        }
    }
}

fn t2(version: &RoomVersionId, salt: u64) {
    let (mut room, mut trunk) = start(version, 75, salt);
    room.send(&mut trunk, Draft::member(charlie(), charlie(), "join").at(5));
    let mut demoting = trunk.clone();
    let demotion = power_levels(&room, alice(), &[]);
    let demotion = room.send(&mut demoting, demotion.at(20));
    let mut banning = trunk.clone();
    room.send(&mut banning, Draft::member(bob(), charlie(), "ban").at(9));
    room.send(&mut banning, topic(bob(), "mine").at(9));
    let mut taking = trunk.clone();
    let friend = user_id!("@friend:s2");
    room.send(&mut taking, Draft::member(friend, friend, "join").at(8));
    let promotion = power_levels(&room, bob(), &[(bob(), 75), (friend, 75)]);
    room.send(&mut taking, promotion.at(9));
    room.send(&mut taking, join_rules(bob(), "invite").at(9));
    let mut going_on = trunk.clone();
    let renamed = json!({ "membership": "join", "displayname": "Charlie" });
    let member = Draft::new(charlie(), "m.room.member", charlie().as_str(), renamed);
    room.send(&mut going_on, member.at(9));
    let forks = [demoting, banning, taking, going_on];
    let expected = resolve(&room, &forks);
    for order in permutations(&forks) {
        assert_eq!(resolve(&room, &order), expected, "room version {version}, salt {salt}");
        assert_eq!(Lazy::new(&room).resolve(&order), expected, "version {version}, salt {salt}");
    }
    if room.rules.state_res.v2_rules().is_some() {
        let levels = room.key_of("m.room.power_levels", "");
        let joining = room.key_of("m.room.join_rules", "");
        let charlies = room.key_of("m.room.member", charlie().as_str());
        let topic = room.key_of("m.room.topic", "");
        assert_eq!(expected[&levels], demotion, "the demotion counts");
        assert_eq!(expected[&joining], trunk[&joining], "the room stays open");
        assert_eq!(expected[&charlies], forks[3][&charlies], "Charlie is not banned");
        assert_eq!(expected.get(&topic), None, "no topic of Bob's");
    }
}

fn member(index: usize) -> OwnedUserId {
    UserId::parse(format!("@m{index}:s{}", index % 50)).unwrap()
}

#[test]
fn a_small_conflict_in_a_large_room_loads_little_of_it() {
    for version in &room_version::SUPPORTED {
        let (mut room, mut trunk) = start(version, 50, 1);
        for index in 0..2_000 {
            let member = member(index);
            room.send(&mut trunk, Draft::member(&member, &member, "join").at(10));
        }
        let renamed = |name: &str| {
            let content = json!({ "membership": "join", "displayname": name });
            Draft::new(&member(7), "m.room.member", member(7).as_str(), content).at(20)
        };
        let (mut one, mut other) = (trunk.clone(), trunk);
        room.send(&mut one, topic(alice(), "one").at(21));
        room.send(&mut one, renamed("one"));
        room.send(&mut other, topic(bob(), "other").at(22));
        room.send(&mut other, renamed("other"));
        room.send(&mut other, Draft::member(bob(), &member(9), "ban").at(23));
        let states = [one, other];
        assert_eq!(room::split(&states).1.keys.len(), 3);
        let mut lazy = Lazy::new(&room);
        assert_eq!(lazy.resolve(&states), resolve(&room, &states));
        println!(
            "room version {version}: {} of {} events, {} answers, {} rounds",
            lazy.events(),
            room.events.len(),
            lazy.loaded(),
            lazy.rounds,
        );
        assert!(lazy.events() <= 40, "room version {version}: {} events", lazy.events());
        assert!(lazy.rounds <= 10, "room version {version}: {} rounds", lazy.rounds);
    }
}

#[test]
fn deep_auth_chains_take_no_stack() {
    // Each event of power levels builds on the one before, and so does each membership.
    let (mut room, mut trunk) = start(&RoomVersionId::V12, 50, 1);
    let mut old = trunk.clone();
    for step in 0..20_000_u32 {
        let levels =
            power_levels(&room, alice(), &[(bob(), 40), (charlie(), i64::from(step % 40))]);
        room.force(&mut trunk, levels.at(step.into()));
        room.force(&mut trunk, Draft::member(alice(), alice(), "join").at(step.into()));
    }
    room.force(&mut old, power_levels(&room, bob(), &[(bob(), 50), (charlie(), 50)]).at(7));
    let key = room.key_of("m.room.power_levels", "");
    let newest = trunk[&key];
    let resolved = room::resolve(&room, &[old, trunk]);
    assert_eq!(resolved[&key], newest);
}

#[test]
fn more_forks_than_a_word_has_bits() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let (mut room, mut trunk) = start(&version, 50, 1);
        let mut forks = Vec::new();
        for index in 0..150 {
            let member = member(index);
            let mut fork = trunk.clone();
            room.send(&mut fork, Draft::member(&member, &member, "join").at(10));
            if index % 3 == 0 {
                room.send(&mut fork, topic(bob(), "a topic").at(20 + index as u64));
            }
            if index % 40 == 39 {
                room.send(&mut trunk, Draft::member(alice(), alice(), "join").at(30));
                room.send(&mut fork, Draft::member(alice(), bob(), "ban").at(40));
            }
            forks.push(fork);
        }
        let resolved = resolve(&room, &forks);
        assert!((0..150).all(|it| resolved.contains_key(&member_key(&mut room, it))));
        assert_eq!(Lazy::new(&room).resolve(&forks), resolved, "room version {version}");
    }
}

fn member_key(room: &mut Room, index: usize) -> KeyId {
    room.key_of("m.room.member", member(index).as_str())
}

#[test]
fn a_key_that_is_no_conflict_after_all_keeps_its_event() {
    for version in room_version::SUPPORTED {
        let (mut room, trunk) = start(&version, 50, 1);
        let (mut one, mut other) = (trunk.clone(), trunk.clone());
        room.send(&mut one, topic(alice(), "one").at(5));
        room.send(&mut other, topic(bob(), "other").at(6));
        let states = [one, other];
        let expected = resolve(&room, &states);
        let conflict = Conflict {
            forks: 2,
            keys: expected
                .keys()
                .map(|key| (*key, states.iter().map(|it| it.get(key).copied()).collect()))
                .collect(),
        };
        let resolved = state_res::resolve(&room.rules, 0, &conflict, &|_| None, &room).unwrap();
        assert_eq!(room::merge(State::new(), &resolved), expected, "room version {version}");
    }
}
