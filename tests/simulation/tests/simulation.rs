//! Whole servers in a federation that fails: see the library. A seed that fails names itself:
//! `SKERRY_SEED=123` replays it, with `SKERRY_TELL` aloud. `SKERRY_SEEDS=0..10000` runs many, on
//! all processors (`SKERRY_THREADS`), for as long as that takes; with `SKERRY_KEEP_GOING` beyond
//! one that fails. Seeds are those of a set of features: with `test-routes` things take other
//! times.
//!
//! Threats: T2, T3a, T3c, T4, T6a, T8a, T8c, T9a, T9b, T9c, T15a and T15b, by a server that does
//! what it should not and by whoever stands between.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, whose panics are its verdicts, and which says how long it took"
)]

#[path = "support/many.rs"]
mod many;

use std::{panic::catch_unwind, time::Duration};

use skerry_simulation::{run, run_on};

use self::many::Many;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds of a run that nobody asked more of, and the time of all processors together after which
/// it begins no other one.
const DEFAULT_SEEDS: u64 = 300;
const DEFAULT_TIME: Duration = Duration::from_secs(50);

/// What happens in every run of many seeds.
const HAPPENS: [&str; 18] = [
    "altered requests",
    "copies",
    "crashes",
    "cuts",
    "delivered messages",
    "forbidden events",
    "joins of the evil server",
    "lost answers",
    "lost requests",
    "messages that clients were shown",
    "messages that others were told",
    "misdirected requests",
    "reads of an outsider",
    "reads of strangers",
    "redactions",
    "refusals",
    "skipped pages",
    "soft-failed messages",
];

#[test]
fn a_seed_is_replayed_as_it_was() {
    for seed in 0..2 {
        assert_eq!(run(seed).1, run(seed).1, "seed {seed}");
    }
}

/// The verdict is one that can be failed.
#[test]
fn disks_that_forget_are_found_out() {
    let is_found = |seed| catch_unwind(|| run_on(seed, 2)).is_err();
    assert!((0..10).any(is_found), "nobody misses what was forgotten");
}

/// Seeds that failed once: by what waited for keys of servers that were away; by a state that a
/// liar gave, which replaced what was known; by a second join while keys were missing; by what was
/// said while a join was under way; by what came another way than by its keys; by what was said
/// while the room was taken for absent; by a user whom the others had lost; by an outlier that
/// waited for what waited for it; by history behind an event that was rejected; by the state before
/// an event, which was taken for the one after it.
#[test]
fn seeds_that_failed_hold() {
    for seed in [
        2_692_336_120,
        1_000_147,
        1_020_599,
        1_020_679,
        1_023_948,
        1_027_924,
        1_050_111,
        1_051_073,
        1_060_090,
        1_064_551,
        1_067_998,
        1_086_535,
    ] {
        run(seed);
    }
}

#[test]
fn a_federation_agrees_and_loses_nothing() {
    let many = Many {
        what: "simulation of servers",
        seeds: DEFAULT_SEEDS,
        time: DEFAULT_TIME,
        happens: &HAPPENS,
        run,
    };
    many.run();
}
