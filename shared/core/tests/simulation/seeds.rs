//! Which seeds a run tries.

use std::{env, io::Write as _, ops::Range};

/// The seeds of a run: those that somebody asks for, or else so many fresh ones, which it says past
/// the capture of what tests print, also where none fails.
pub(crate) fn of_run(what: &str, usual: u64) -> Range<u64> {
    let seeds = chosen().unwrap_or_else(|| fresh(usual));
    let _ = writeln!(std::io::stderr(), "{what}: seeds {seeds:?}");
    seeds
}

/// The seeds that somebody asks for: `SKERRY_SEED=123` for one, `SKERRY_SEEDS=0..1000` for many.
fn chosen() -> Option<Range<u64>> {
    if let Ok(seed) = env::var("SKERRY_SEED") {
        let seed: u64 = seed.parse().unwrap();
        return Some(seed..seed + 1);
    }
    let range = env::var("SKERRY_SEEDS").ok()?;
    let (from, to) = range.split_once("..").unwrap();
    Some(from.parse().unwrap()..to.parse().unwrap())
}

/// The seeds of a run that nobody asked more of. `SKERRY_SEED_BASE`, any text, moves them, so that
/// a gate which says its commit meets seeds that nobody has run before.
fn fresh(count: u64) -> Range<u64> {
    let base = env::var("SKERRY_SEED_BASE").unwrap_or_default();
    let first = base.bytes().fold(0, |base, byte| (base * 31 + u64::from(byte)) % (1 << 32));
    first..first + count
}
