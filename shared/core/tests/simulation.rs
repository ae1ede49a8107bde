//! A room in a test tube: several servers over a network that loses, doubles and delays messages,
//! some of them hostile, all from one number.
//!
//! A seed that fails names itself; `SKERRY_SEED=123` replays it. `SKERRY_SEEDS=0..100000` runs
//! many, on all processors (`SKERRY_THREADS`); with `SKERRY_KEEP_GOING` beyond one that fails.
//! Hostile servers do what [`simulation::byzantine::Behavior`] lists. What must hold afterwards is
//! in [`simulation::verdict`].

#![expect(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test, whose panics are its verdicts, whose numbers are small, and whose servers \
              other tests use as well"
)]

#[path = "simulation/run.rs"]
mod simulation;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use self::simulation::seeds;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds of a run that nobody asked more of.
const DEFAULT_SEEDS: u64 = 300;

/// A test for each seed that has shown a fault.
macro_rules! telling_seeds {
    ($($(#[$doc:meta])* $name:ident: $seed:expr;)*) => {
        $($(#[$doc])* #[test] fn $name() { simulation::run($seed); })*
    };
}

telling_seeds! {
    /// A state that a peer had given had an outlier, which was rejected when what led to it came.
    /// It stayed in the current state, and authorized what this server sent.
    a_rejected_event_that_was_part_of_a_given_state_authorizes_nothing: 202_933;
    /// An event cited an outlier that had come as the answer to a question. The state before the
    /// outlier was here and did not allow it, and nobody looked.
    servers_reject_alike_what_cites_an_outlier_that_can_be_judged: 209_758;
    /// An event cited one that its server never showed, and waited for it. What came after it
    /// waited as well, and was given up before anybody asked for the state before it: two servers
    /// parted. Whoever asks has to stop counting on what cannot come.
    what_waits_for_an_event_that_is_never_shown_holds_nothing_up: 8_323_372;
    /// What cites an event after that was rejected late is rejected: here the oracle was wrong,
    /// which took it for what it had been before.
    what_cites_a_late_rejection_is_rejected: 9_901_480;
    /// A server had more extremities than one event cites. It kept one that another had
    /// soft-failed, and had another state than that one until it spoke again: the verdict was too
    /// early.
    who_has_many_extremities_agrees_when_all_are_cited: 10_082_741;
}

#[test]
fn servers_agree_whatever_the_network_and_the_hostile_do() {
    let seeds = seeds::of_run("simulation of the engine", DEFAULT_SEEDS);
    let (from, to) = (seeds.start, seeds.end);
    let threads = env::var("SKERRY_THREADS").ok().and_then(|it| it.parse().ok());
    let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
    let keep_going = env::var("SKERRY_KEEP_GOING").is_ok();
    let (next, failed) = (AtomicU64::new(from), AtomicU64::new(0));
    let tally = Mutex::new(simulation::Tally::default());
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to || !keep_going && failed.load(Ordering::Relaxed) > 0 {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| simulation::run(seed))) {
                        Ok((it, _)) => tally.lock().unwrap().sum(&it),
                        Err(_) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            eprintln!("seed {seed} failed: SKERRY_SEED={seed} replays it");
                        }
                    }
                    if seed % 1_000 == 999 {
                        let failed = failed.load(Ordering::Relaxed);
                        let time = start.elapsed();
                        println!("{} seeds in {time:?}, {failed} failed", seed + 1 - from);
                    }
                }
            });
        }
    });
    println!("{} seeds in {:?}: {:?}", to - from, start.elapsed(), tally.lock().unwrap());
    assert_eq!(failed.into_inner(), 0, "failed seeds");
}
