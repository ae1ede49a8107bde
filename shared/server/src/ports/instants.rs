//! Instants of one process, each later than those before it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a clock's time into instants that tell what came first, however coarse the clock is.
#[derive(Debug, Default)]
pub struct Instants(AtomicU64);

impl Instants {
    /// None has been given.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The next instant: this time, unless that is not later than the one before.
    pub fn next(&self, now_us: u64) -> u64 {
        let after = |last: u64| now_us.max(last.saturating_add(1));
        let last = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| Some(after(it)));
        after(last.unwrap_or_else(|last| last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instant_is_later_than_the_one_before() {
        let instants = Instants::new();
        let given = [5_000, 5_000, 4_000, 6_000].map(|it| instants.next(it));
        assert_eq!(given, [5_000, 5_001, 5_002, 6_000]);
    }
}
