//! How long what has failed is left alone.

use super::{RETRY_MAX_MS, RETRY_MIN_MS};

/// Doublings after which [`RETRY_MAX_MS`] is reached for certain.
const MAX_DOUBLINGS: u32 = 16;

/// How often something has failed in a row, before it is tried this time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures(u32);

impl Failures {
    /// How long it is left alone if it fails this time, in milliseconds.
    pub(super) fn delay_ms(self) -> u64 {
        (RETRY_MIN_MS << self.0.min(MAX_DOUBLINGS)).min(RETRY_MAX_MS)
    }

    /// It has failed this time.
    pub(super) fn add(&mut self) {
        self.0 = self.0.saturating_add(1);
    }
}
