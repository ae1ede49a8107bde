//! Beside ruma's implementation, on rooms that grow at random.
//!
//! Each run grows rooms that no commit has grown before. `SKERRY_CONFLICTS=10000` compares more of
//! them in each room version, `SKERRY_SEED=n` those of one seed, `SKERRY_SEEDS=n..m` of some.

use ruma::RoomVersionId;

use crate::{
    generate::Growing,
    lazy::Lazy,
    oracle,
    room::{self, State},
    seeds,
};

/// Conflicts compared in each room version by default.
const CONFLICTS: usize = 300;

/// Compares some hundred conflicts in the rooms of one version.
fn compare(version: &RoomVersionId) {
    let wanted = std::env::var("SKERRY_CONFLICTS").ok();
    let wanted = wanted.map_or(CONFLICTS, |it| it.parse().unwrap());
    // Each room has some conflicts.
    let mut seeds = seeds::of_run(&format!("state resolution, version {version}"), wanted as u64);
    let mut compared = 0;
    while let Some(seed) = seeds.next().filter(|_| compared < wanted) {
        compared += compare_room(version, seed);
    }
    println!("room version {version}: {compared} conflicts");
}

/// Grows one room, and compares whenever its forks could meet.
fn compare_room(version: &RoomVersionId, seed: u64) -> usize {
    let mut growing = Growing::new(version, seed);
    let mut compared = 0;
    for _ in 0..20 {
        for _ in 0..=growing.dice.below(12) {
            growing.step();
        }
        let (mut states, honest) = growing.states();
        if room::split(&states).1.keys.is_empty() {
            continue;
        }
        let expected = oracle::resolve(&growing.room, &mut growing.chains, &states);
        let found = room::resolve(&growing.room, &states);
        assert_same(&growing, &states, &expected, &found, seed);
        if growing.dice.chance(20) {
            growing.dice.shuffle(&mut states);
            let lazily = Lazy::new(&growing.room).resolve(&states);
            assert_same(&growing, &states, &expected, &lazily, seed);
        }
        compared += 1;
        if honest && growing.dice.chance(30) {
            growing.meet(expected);
        }
    }
    compared
}

fn assert_same(growing: &Growing, states: &[State], expected: &State, found: &State, seed: u64) {
    if expected == found {
        return;
    }
    let room = &growing.room;
    for event in &room.events {
        println!("{}", room.tell(event.num));
    }
    println!("forks: {states:?}");
    println!("expected: {expected:?}\nfound:    {found:?}");
    panic!("room version {}: SKERRY_SEED={seed} differs", room.version);
}

macro_rules! versions {
    ($($name:ident: $version:ident,)*) => {$(
        #[test]
        fn $name() {
            compare(&RoomVersionId::$version);
        }
    )*};
}

versions! {
    version_2_resolves_as_ruma_does: V2,
    version_3_resolves_as_ruma_does: V3,
    version_4_resolves_as_ruma_does: V4,
    version_5_resolves_as_ruma_does: V5,
    version_6_resolves_as_ruma_does: V6,
    version_7_resolves_as_ruma_does: V7,
    version_8_resolves_as_ruma_does: V8,
    version_9_resolves_as_ruma_does: V9,
    version_10_resolves_as_ruma_does: V10,
    version_11_resolves_as_ruma_does: V11,
    version_12_resolves_as_ruma_does: V12,
}
