//! Limiters that any host may have.

use std::sync::Arc;

use async_trait::async_trait;
use skerry_core::rate_limits::Bucket;

use crate::{
    Result,
    limits::Limits,
    ports::{Clock, Limiter},
};

/// The limiter of a host whose requests all come through this process.
pub struct OneProcess {
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
}

impl OneProcess {
    /// Counts in these.
    pub fn new(limits: Arc<Limits>, clock: Arc<dyn Clock>) -> Self {
        Self { limits, clock }
    }
}

#[async_trait]
impl Limiter for OneProcess {
    async fn take(&self, bucket: Bucket, key: &str, requests: u32) -> Result<()> {
        self.limits.take(bucket, key, requests, self.clock.now_ms())
    }

    fn check(&self, bucket: Bucket, key: &str) -> Result<()> {
        self.limits.check(bucket, key, self.clock.now_ms())
    }

    fn charge(&self, bucket: Bucket, key: &str, used: u32) {
        self.limits.charge(bucket, key, used, self.clock.now_ms());
    }
}

/// The limiter of those who are not limited.
pub struct Unlimited;

#[async_trait]
impl Limiter for Unlimited {
    async fn take(&self, _: Bucket, _: &str, _: u32) -> Result<()> {
        Ok(())
    }

    fn check(&self, _: Bucket, _: &str) -> Result<()> {
        Ok(())
    }

    fn charge(&self, _: Bucket, _: &str, _: u32) {}
}
