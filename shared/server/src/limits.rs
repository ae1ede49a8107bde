//! Rate limits as a process or an object counts them, in its memory.
//!
//! **Invariant:** what is refused has taken nothing, and nothing is written for it. What is left in
//! a bucket is nowhere but in memory: a limit is no reason for a row.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::api::error::{ErrorKind, LimitExceededErrorData, RetryAfter};
use skerry_core::rate_limits::{Bucket, Rate, RateLimits, Table};

use crate::{Error, Result};

/// The buckets, in memory.
#[derive(Debug)]
pub struct Limits {
    rates: RateLimits,
    /// By [`Bucket::index`]. Each class for itself: of what is used up in one, no use of another
    /// makes anybody forget anything.
    tables: Vec<Mutex<Table>>,
    hasher: RandomState,
}

impl Limits {
    /// All buckets are full.
    pub fn new(rates: RateLimits) -> Self {
        let table = |bucket: &Bucket| match bucket {
            Bucket::Answers | Bucket::FederationAnswers => Table::owing(),
            _ => Table::default(),
        };
        let tables = Bucket::ALL.iter().map(|it| Mutex::new(table(it))).collect();
        Self { rates, tables, hasher: RandomState::new() }
    }

    /// Whether anything is counted in this bucket.
    pub fn limits(&self, bucket: Bucket) -> bool {
        self.rates.rate(bucket).is_some()
    }

    /// Takes requests from a bucket.
    ///
    /// # Errors
    ///
    /// `M_LIMIT_EXCEEDED`, when there are not as many in it.
    pub fn take(&self, bucket: Bucket, key: &str, requests: u32, now_ms: u64) -> Result<()> {
        let Some((mut table, rate)) = self.table(bucket) else { return Ok(()) };
        let taken = table.take(self.hasher.hash_one(key), rate, requests, now_ms);
        taken.map_err(|wait_ms| refused(bucket, wait_ms))
    }

    /// Refuses as [`Self::take`] does, and takes nothing.
    pub fn check(&self, bucket: Bucket, key: &str, now_ms: u64) -> Result<()> {
        self.take(bucket, key, 1, now_ms)?;
        self.give_back(bucket, key, 1, now_ms);
        Ok(())
    }

    /// Takes what was used from a bucket, whether it was there or not.
    pub fn charge(&self, bucket: Bucket, key: &str, used: u32, now_ms: u64) {
        if let Some((mut table, rate)) = self.table(bucket) {
            table.charge(self.hasher.hash_one(key), rate, used, now_ms);
        }
    }

    /// Gives back what was taken.
    pub fn give_back(&self, bucket: Bucket, key: &str, requests: u32, now_ms: u64) {
        if let Some((mut table, rate)) = self.table(bucket) {
            table.give_back(self.hasher.hash_one(key), rate, requests, now_ms);
        }
    }

    fn table(&self, bucket: Bucket) -> Option<(MutexGuard<'_, Table>, Rate)> {
        let rate = self.rates.rate(bucket)?;
        let table = self.tables.get(bucket.index())?;
        Some((table.lock().unwrap_or_else(PoisonError::into_inner), rate))
    }
}

/// What is answered where a bucket is empty.
pub fn refused(bucket: Bucket, wait_ms: u64) -> Error {
    let mut data = LimitExceededErrorData::new();
    data.retry_after = Some(RetryAfter::Delay(Duration::from_millis(wait_ms)));
    let message = format!("too many requests ({}): please wait", bucket.what());
    Error::api(ErrorKind::LimitExceeded(data), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(limits: &Limits, bucket: Bucket, key: &str) -> bool {
        limits.take(bucket, key, 1, 0).is_ok()
    }

    #[test]
    fn every_bucket_is_its_own() {
        let limits = Limits::new("all=1/m:1".parse().unwrap());
        for bucket in Bucket::ALL {
            for key in ["ann", "bob"] {
                limits.check(*bucket, key, 0).unwrap();
                assert!(is_taken(&limits, *bucket, key), "{bucket:?} {key}");
                assert!(!is_taken(&limits, *bucket, key), "{bucket:?} {key}");
            }
        }
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let limits = Limits::new("all=1/m:1".parse().unwrap());
        limits.take(Bucket::Joins, "ann", 1, 500).unwrap();
        let error = limits.take(Bucket::Joins, "ann", 1, 1_500).unwrap_err();
        assert_eq!(error.status(), http::StatusCode::TOO_MANY_REQUESTS);
        let json = error.to_json();
        assert_eq!(
            (&json["errcode"], &json["retry_after_ms"]),
            (&"M_LIMIT_EXCEEDED".into(), &59_000.into(),)
        );
        assert!(limits.check(Bucket::Joins, "ann", 1_500).is_err());
        limits.give_back(Bucket::Joins, "ann", 1, 1_500);
        limits.check(Bucket::Joins, "ann", 1_500).unwrap();
    }

    #[test]
    fn what_is_off_counts_nothing() {
        let limits = Limits::new(RateLimits::off());
        for bucket in Bucket::ALL {
            assert!(!limits.limits(*bucket));
            assert!((0..1_000).all(|_| is_taken(&limits, *bucket, "ann")));
        }
    }
}
