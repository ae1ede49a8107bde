//! How much is left in the buckets of one class.
//!
//! Of each bucket it is known when it will be full again: the generic cell rate algorithm. A full
//! bucket needs no entry. Where there are too many, that goes which is full again soonest: of what
//! somebody has used up, others who use little make nobody forget anything.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::Rate;

/// Buckets of one class that are not full.
pub const MAX_ENTRIES: usize = 10_000;

/// The buckets of one class, by what names them.
#[derive(Debug, Default)]
pub struct Table {
    /// When each is full again, in microseconds.
    full_at_us: FxHashMap<u64, u64>,
    /// The same, the soonest first.
    soonest: BTreeSet<(u64, u64)>,
    /// Whether who has used more than there was owes it.
    owing: bool,
}

impl Table {
    /// Buckets of which more may be used than there is: up to another burst is owed.
    pub fn owing() -> Self {
        Self { owing: true, ..Self::default() }
    }

    /// Takes requests from a bucket. Whoever takes more than a burst takes all of it.
    ///
    /// # Errors
    ///
    /// How long it takes, in milliseconds, until there are as many; nothing is taken.
    pub fn take(&mut self, key: u64, rate: Rate, requests: u32, now_ms: u64) -> Result<(), u64> {
        let now_us = now_ms.saturating_mul(1_000);
        self.drop_full(now_us);
        let room_us = rate.us_of(rate.burst);
        let before_us = self.full_at_us(key, rate, now_us);
        let at_us = before_us.saturating_add(rate.us_of(requests));
        let wait_us = at_us.saturating_sub(now_us.saturating_add(room_us));
        if wait_us > 0 {
            // Of a clock that was set back, only the first refusal is to be that late.
            if self.full_at_us.get(&key).is_some_and(|it| *it > before_us) {
                self.set(key, before_us);
            }
            return Err(wait_us.div_ceil(1_000));
        }
        self.set(key, at_us);
        self.drop_excess();
        Ok(())
    }

    /// Takes what was used before anybody knew how much it is, whether it was there or not.
    pub fn charge(&mut self, key: u64, rate: Rate, used: u32, now_ms: u64) {
        let now_us = now_ms.saturating_mul(1_000);
        self.drop_full(now_us);
        let at_us = self.full_at_us(key, rate, now_us).saturating_add(rate.us_of(used));
        self.set(key, at_us.min(self.latest_us(rate, now_us)));
        self.drop_excess();
    }

    /// Gives back what was taken.
    pub fn give_back(&mut self, key: u64, rate: Rate, requests: u32, now_ms: u64) {
        let now_us = now_ms.saturating_mul(1_000);
        let at_us = self.full_at_us(key, rate, now_us).saturating_sub(rate.us_of(requests));
        self.set(key, at_us);
        self.drop_full(now_us);
    }

    /// How many are not full.
    pub fn len(&self) -> usize {
        self.full_at_us.len()
    }

    /// Whether all are full.
    pub fn is_empty(&self) -> bool {
        self.full_at_us.is_empty()
    }

    /// When a bucket is full again: not later than it can be, even where the clock was set back.
    fn full_at_us(&self, key: u64, rate: Rate, now_us: u64) -> u64 {
        let at_us = self.full_at_us.get(&key).copied().unwrap_or(now_us);
        at_us.clamp(now_us, self.latest_us(rate, now_us))
    }

    /// When a bucket is full again that was emptied now, and of which as much is owed as may be.
    fn latest_us(&self, rate: Rate, now_us: u64) -> u64 {
        let bursts = if self.owing { 2 } else { 1 };
        now_us.saturating_add(rate.us_of(rate.burst).saturating_mul(bursts))
    }

    fn set(&mut self, key: u64, at_us: u64) {
        if let Some(before) = self.full_at_us.insert(key, at_us) {
            self.soonest.remove(&(before, key));
        }
        self.soonest.insert((at_us, key));
    }

    fn drop_excess(&mut self) {
        if self.full_at_us.len() > MAX_ENTRIES
            && let Some((_, soonest)) = self.soonest.pop_first()
        {
            self.full_at_us.remove(&soonest);
        }
    }

    fn drop_full(&mut self, now_us: u64) {
        while let Some((at_us, key)) = self.soonest.first().copied().filter(|it| it.0 <= now_us) {
            self.soonest.remove(&(at_us, key));
            self.full_at_us.remove(&key);
        }
    }
}

impl Rate {
    /// In how many microseconds so many requests, at most a burst of them, are filled in again.
    fn us_of(self, requests: u32) -> u64 {
        let period_us = self.period_ms.saturating_mul(1_000);
        let requests = u64::from(requests.min(self.burst));
        period_us.saturating_mul(requests) / u64::from(self.requests.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two a second, five at once.
    const RATE: Rate = Rate { requests: 2, period_ms: 1_000, burst: 5 };

    fn taken(table: &mut Table, key: u64, now_ms: u64) -> usize {
        (0..100).take_while(|_| table.take(key, RATE, 1, now_ms).is_ok()).count()
    }

    #[test]
    fn a_bucket_has_its_burst_and_is_filled_at_its_rate() {
        let mut table = Table::default();
        assert_eq!(taken(&mut table, 1, 1_000), 5);
        assert_eq!(table.take(1, RATE, 1, 1_000), Err(500));
        assert_eq!(table.take(1, RATE, 1, 1_499), Err(1));
        assert_eq!(table.take(1, RATE, 1, 1_500), Ok(()));
        assert_eq!(taken(&mut table, 2, 1_500), 5, "others have their own");
        // Who is refused waits no longer for it.
        for _ in 0..50 {
            assert_eq!(table.take(1, RATE, 1, 1_500), Err(500));
        }
        assert_eq!(taken(&mut table, 1, 3_000), 3);
        assert_eq!(taken(&mut table, 1, 1_000_000), 5, "it holds no more than its burst");
    }

    #[test]
    fn several_are_taken_together_and_no_more_than_there_may_be() {
        let mut table = Table::default();
        assert_eq!(table.take(1, RATE, 3, 0), Ok(()));
        assert_eq!(table.take(1, RATE, 3, 0), Err(500));
        assert_eq!(taken(&mut table, 1, 0), 2);
        assert_eq!(table.take(2, RATE, 1_000, 0), Ok(()), "a burst is all that can be waited for");
        assert_eq!(table.take(2, RATE, 1, 0), Err(500));
    }

    #[test]
    fn what_was_used_is_taken_whether_it_is_there_or_not() {
        let mut table = Table::owing();
        table.charge(1, RATE, 2, 0);
        assert_eq!(taken(&mut table, 1, 0), 3);
        table.charge(1, RATE, 4, 1_000);
        assert_eq!(table.take(1, RATE, 1, 1_000), Err(1_500), "two were there, and two are owed");
        assert_eq!(taken(&mut table, 1, 2_500), 1);
        for _ in 0..3 {
            table.charge(1, RATE, 1_000, 2_500);
        }
        assert_eq!(table.take(1, RATE, 1, 2_500), Err(3_000), "a burst is all that can be owed");
        table.charge(1, RATE, 0, 60_000);
        assert_eq!(taken(&mut table, 1, 60_000), 5);
        let mut table = Table::default();
        table.charge(1, RATE, 1_000, 0);
        table.charge(1, RATE, 1_000, 0);
        assert_eq!(table.take(1, RATE, 1, 0), Err(500), "of other buckets nothing is");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut table = Table::default();
        assert_eq!(taken(&mut table, 1, 0), 5);
        table.give_back(1, RATE, 2, 0);
        assert_eq!(taken(&mut table, 1, 0), 2);
        table.give_back(1, RATE, 5, 0);
        table.give_back(1, RATE, 5, 0);
        assert!(table.is_empty());
        assert_eq!(taken(&mut table, 1, 0), 5, "and no more than its burst");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let mut table = Table::default();
        assert_eq!(taken(&mut table, 1, 1_000_000), 5);
        assert_eq!(table.take(1, RATE, 1, 0), Err(500));
        assert_eq!(table.take(1, RATE, 1, 0), Err(500));
        assert_eq!(table.take(1, RATE, 1, 500), Ok(()));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut table = Table::default();
        for key in 0..100 {
            table.take(key, RATE, 1, 0).unwrap();
        }
        assert_eq!(table.len(), 100);
        table.take(1_000, RATE, 1, 500).unwrap();
        assert_eq!(table.len(), 1);
    }

    /// Neither one's own bucket nor another's is full because many others were used.
    #[test]
    fn who_has_many_keys_makes_no_empty_bucket_full() {
        let mut table = Table::default();
        assert_eq!(taken(&mut table, u64::MAX, 0), 5);
        for key in 0..3 * MAX_ENTRIES as u64 {
            table.take(key, RATE, 1, 0).unwrap();
        }
        assert_eq!(table.len(), MAX_ENTRIES);
        assert_eq!(table.take(u64::MAX, RATE, 1, 0), Err(500));
    }
}
