//! Many seeds of a simulation, on all processors.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use skerry_simulation::Tally;

#[path = "../../../../shared/core/tests/simulation/seeds.rs"]
mod seeds;

/// Seeds after which a run has seen all that can happen.
const MANY_SEEDS: u64 = 60;

/// A simulation, and what is run of it.
pub(crate) struct Many {
    /// Of what it is one.
    pub(crate) what: &'static str,
    /// Seeds of a run that nobody asked more of.
    pub(crate) seeds: u64,
    /// The time of all processors together after which such a run begins no other one.
    pub(crate) time: Duration,
    /// What happens in every run of many seeds.
    pub(crate) happens: &'static [&'static str],
    /// Runs a seed.
    pub(crate) run: fn(u64) -> (Arc<Tally>, u64),
}

impl Many {
    /// Runs the seeds that are asked for, or else some fresh ones. A seed that fails says so.
    pub(crate) fn run(&self) {
        let Self { what, time, run, .. } = self;
        let seeds = seeds::of_run(what, self.seeds);
        let (from, to) = (seeds.start, seeds.end);
        let threads = env::var("SKERRY_THREADS").ok().and_then(|it| it.parse().ok());
        let threads =
            threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
        let is_asked_for = ["SKERRY_SEED", "SKERRY_SEEDS"].iter().any(|it| env::var(it).is_ok());
        let keep_going = env::var("SKERRY_KEEP_GOING").is_ok();
        let (next, failed) = (AtomicU64::new(from), AtomicU64::new(0));
        let (tally, done) = (Tally::default(), AtomicU64::new(0));
        let start = Instant::now();
        let is_over = || {
            let used = start.elapsed() * u32::try_from(threads).unwrap();
            !is_asked_for && used > *time || !keep_going && failed.load(Ordering::Relaxed) > 0
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= to || is_over() {
                            return;
                        }
                        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                            Ok((it, _)) => tally.sum(&it),
                            Err(_) => {
                                failed.fetch_add(1, Ordering::Relaxed);
                                eprintln!(
                                    "{what}: seed {seed} failed: SKERRY_SEED={seed} replays it"
                                );
                            }
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let done = done.into_inner();
        println!("{what}: {done} seeds in {:?}: {tally}", start.elapsed());
        assert_eq!(failed.into_inner(), 0, "failed seeds");
        if done >= MANY_SEEDS {
            let never: Vec<_> = self.happens.iter().filter(|it| tally.of(it) == 0).collect();
            assert!(never.is_empty(), "this has never happened: {never:?}");
        }
    }
}
