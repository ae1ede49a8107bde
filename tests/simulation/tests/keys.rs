//! Clients that encrypt, on one server or two, while the network fails and servers crash: see
//! `src/keys.rs`. Seeds are asked for as in `simulation.rs`; those that fail here say so.
//!
//! Threats: T16, and what of S-C7 an unreliable network could break.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, whose panics are its verdicts, and which says how long it took"
)]

#[path = "support/many.rs"]
mod many;

use std::{panic::catch_unwind, time::Duration};

use skerry_simulation::{run_keys, run_keys_on};

use self::many::Many;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds of a run that nobody asked more of, and the time of all processors together after which
/// it begins no other one.
const DEFAULT_SEEDS: u64 = 200;
const DEFAULT_TIME: Duration = Duration::from_secs(30);

/// What happens in every run of many seeds.
const HAPPENS: [&str; 18] = [
    "altered requests",
    "changed device lists",
    "claimed keys",
    "copies",
    "crashes",
    "cuts",
    "dehydrated devices",
    "device lists that were kept",
    "device lists that were left",
    "device lists that were right",
    "devices that were away",
    "fallback keys",
    "lost answers",
    "lost requests",
    "messages of dehydrated devices",
    "messages that devices got",
    "signed devices",
    "uploaded keys",
];

#[test]
fn a_seed_of_keys_is_replayed_as_it_was() {
    for seed in 0..2 {
        assert_eq!(run_keys(seed).1, run_keys(seed).1, "seed {seed}");
    }
}

/// The verdict is one that can be failed.
#[test]
fn disks_that_forget_keys_are_found_out() {
    let is_found = |seed| catch_unwind(|| run_keys_on(seed, 2)).is_err();
    assert!((0..10).any(is_found), "nobody misses what was forgotten");
}

/// A seed that failed once: devices changed before their server knew that the room was encrypted,
/// and after another one, which knew, had asked for them.
#[test]
fn a_seed_that_failed_holds() {
    run_keys(2_001_900);
}

#[test]
fn keys_and_messages_come_once_and_nobody_is_out_of_date() {
    let many = Many {
        what: "simulation of keys",
        seeds: DEFAULT_SEEDS,
        time: DEFAULT_TIME,
        happens: &HAPPENS,
        run: run_keys,
    };
    many.run();
}
