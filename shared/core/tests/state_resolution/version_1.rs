//! The first algorithm, by the text of the spec: nothing else implements it here.

use std::collections::BTreeMap;

use ruma::{RoomVersionId, UserId, user_id};
use serde_json::json;
use sha1::{Digest, Sha1};
use skerry_core::engine::Num;

use crate::{
    generate::Growing,
    lazy::Lazy,
    room::{self, Draft, Room, State},
};

fn alice() -> &'static UserId {
    user_id!("@alice:s1")
}

fn bob() -> &'static UserId {
    user_id!("@bob:s2")
}

fn eve() -> &'static UserId {
    user_id!("@eve:s3")
}

fn start(salt: u64) -> (Room, State) {
    let mut room = Room::new(&RoomVersionId::V1, alice(), salt);
    let mut state = State::from([(room.key(0), 0)]);
    room.send(&mut state, Draft::member(alice(), alice(), "join"));
    room.send(&mut state, levels(alice(), 50, 0, 2));
    let public = json!({ "join_rule": "public" });
    room.send(&mut state, Draft::new(alice(), "m.room.join_rules", "", public));
    room.send(&mut state, Draft::member(bob(), bob(), "join"));
    room.send(&mut state, Draft::member(eve(), eve(), "join"));
    (room, state)
}

fn levels(sender: &UserId, bobs: i64, eves: i64, depth: u64) -> Draft {
    let users = BTreeMap::from([(alice(), 100), (bob(), bobs), (eve(), eves)]);
    at(depth, Draft::new(sender, "m.room.power_levels", "", json!({ "users": users })))
}

fn topic(sender: &UserId, depth: u64) -> Draft {
    at(depth, Draft::new(sender, "m.room.topic", "", json!({ "topic": depth })))
}

fn rules(sender: &UserId, rule: &str, depth: u64) -> Draft {
    at(depth, Draft::new(sender, "m.room.join_rules", "", json!({ "join_rule": rule })))
}

fn at(depth: u64, mut draft: Draft) -> Draft {
    draft.depth = depth;
    draft
}

fn sha1(room: &Room, num: Num) -> Vec<u8> {
    Sha1::digest(room.id_of(num).as_str()).to_vec()
}

/// Lets each draft happen in a fork of its own, and resolves: which of them is in the result?
fn winner(salt: u64, drafts: &[Draft]) -> Option<usize> {
    let (mut room, trunk) = start(salt);
    let mut states = Vec::new();
    let mut nums = Vec::new();
    for draft in drafts {
        let mut state = trunk.clone();
        nums.push(room.force(&mut state, draft.clone()));
        states.push(state);
    }
    let resolved = room::resolve(&room, &states);
    let won = resolved.get(&room.key(nums[0])).copied();
    nums.iter().position(|num| Some(*num) == won)
}

#[test]
fn the_deepest_chain_of_allowed_events_wins() {
    let ban = |sender, depth| at(depth, Draft::member(sender, eve(), "ban"));
    let join = |depth| at(depth, Draft::member(eve(), eve(), "join"));
    let cases: [(&str, Vec<Draft>, Option<usize>); 10] = [
        ("levels by depth", vec![levels(alice(), 60, 0, 9), levels(alice(), 70, 0, 8)], Some(0)),
        (
            "each level is checked by the one before",
            vec![levels(alice(), 0, 0, 8), levels(bob(), 50, 50, 9)],
            Some(0),
        ),
        (
            "what comes after a refused one does not count",
            vec![levels(alice(), 0, 0, 7), levels(bob(), 50, 0, 8), levels(alice(), 0, 9, 9)],
            Some(0),
        ),
        (
            "the first level needs no leave",
            vec![levels(eve(), 100, 0, 3), levels(bob(), 50, 100, 9)],
            Some(1),
        ),
        ("join rules by depth", vec![rules(alice(), "invite", 8), rules(bob(), "x", 9)], Some(1)),
        ("join rules are checked", vec![rules(bob(), "invite", 8), rules(eve(), "x", 9)], Some(0)),
        ("who was banned first does not join", vec![ban(bob(), 8), join(9)], Some(0)),
        ("who joined first is banned", vec![join(8), ban(bob(), 9)], Some(1)),
        ("the deepest topic", vec![topic(alice(), 8), topic(bob(), 9), topic(alice(), 7)], Some(1)),
        (
            "the deepest topic that is allowed",
            vec![topic(alice(), 8), topic(eve(), 9), topic(alice(), 7)],
            Some(0),
        ),
    ];
    for (name, drafts, expected) in cases {
        for salt in 0..16 {
            assert_eq!(winner(salt, &drafts), expected, "{name}, salt {salt}");
        }
    }
}

#[test]
fn a_topic_that_nobody_may_set_is_not_set() {
    assert_eq!(winner(1, &[topic(eve(), 8), topic(eve(), 9)]), None);
}

#[test]
fn equal_depths_are_ordered_by_descending_sha1_of_the_event_id() {
    for salt in 0..16 {
        let (mut room, trunk) = start(salt);
        let fork = |room: &mut Room, draft| {
            let mut state = trunk.clone();
            room.force(&mut state, draft);
            state
        };
        // Both allow each other, so the last one wins: the lowest hash.
        let states = [
            fork(&mut room, levels(alice(), 60, 0, 9)),
            fork(&mut room, levels(alice(), 70, 0, 9)),
        ];
        let key = room.key_of("m.room.power_levels", "");
        let lowest = states.iter().map(|it| it[&key]).min_by_key(|it| sha1(&room, *it));
        assert_eq!(room::resolve(&room, &states).get(&key).copied(), lowest, "salt {salt}");
        // The pick is the lowest hash as well.
        let states = [fork(&mut room, topic(alice(), 9)), fork(&mut room, topic(bob(), 9))];
        let key = room.key_of("m.room.topic", "");
        let lowest = states.iter().map(|it| it[&key]).min_by_key(|it| sha1(&room, *it));
        assert_eq!(room::resolve(&room, &states).get(&key).copied(), lowest, "salt {salt}");
    }
}

#[test]
fn the_passes_build_on_each_other() {
    let (mut room, trunk) = start(3);
    let (mut one, mut other) = (trunk.clone(), trunk);
    // The levels that win take Bob's power, so that neither his rules, his ban nor his topic count.
    let old = room.force(&mut other, levels(alice(), 50, 0, 7));
    let demotion = room.force(&mut one, levels(alice(), 0, 0, 8));
    let rules_one = room.force(&mut one, rules(alice(), "public", 8));
    room.force(&mut other, rules(bob(), "invite", 9));
    let join = room.force(&mut one, at(8, Draft::member(eve(), eve(), "join")));
    room.force(&mut other, at(9, Draft::member(bob(), eve(), "ban")));
    let topic_one = room.force(&mut one, topic(alice(), 8));
    room.force(&mut other, topic(bob(), 9));
    assert_ne!(old, demotion);
    let resolved = room::resolve(&room, &[other, one]);
    for expected in [demotion, rules_one, join, topic_one] {
        assert_eq!(resolved[&room.key(expected)], expected, "{}", room.tell(expected));
    }
}

#[test]
fn a_key_that_some_forks_lack_is_no_conflict() {
    let (mut room, trunk) = start(1);
    let mut state = trunk.clone();
    // Not even allowed: the union takes it unseen.
    let num = room.force(&mut state, topic(eve(), 9));
    let resolved = room::resolve(&room, &[trunk.clone(), state, trunk]);
    assert_eq!(resolved[&room.key(num)], num);
}

#[test]
fn the_order_of_the_forks_does_not_matter() {
    let mut compared = 0;
    for seed in 0.. {
        let mut growing = Growing::new(&RoomVersionId::V1, seed);
        for _ in 0..20 {
            for _ in 0..=growing.dice.below(12) {
                growing.step();
            }
            let (mut states, _) = growing.states();
            let expected = room::resolve(&growing.room, &states);
            growing.dice.shuffle(&mut states);
            assert_eq!(room::resolve(&growing.room, &states), expected, "seed {seed}");
            let lazily = Lazy::new(&growing.room).resolve(&states);
            assert_eq!(lazily, expected, "seed {seed}");
            compared += 1;
        }
        if compared >= 300 {
            break;
        }
    }
}
