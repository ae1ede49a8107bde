//! When lists are fetched again that could not be fetched.

use skerry_core::destination::retry_after_ms;

/// How often the server is asked at most because it shows that it is there, in milliseconds.
const LEAST_PAUSE_MS: u64 = 10_000;

/// When that is.
#[derive(Debug, Default)]
pub(in super::super) struct Retry {
    /// How often in a row not all could be fetched.
    failures: u32,
    tried_ms: u64,
    /// Not before this time.
    next_ms: u64,
}

impl Retry {
    /// Whether it is not the time.
    pub(in super::super) fn is_waiting(&self, now_ms: u64) -> bool {
        self.next_ms > now_ms
    }

    /// When it is.
    pub(in super::super) fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// All were fetched.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Some could not be fetched.
    pub(super) fn failed(&mut self, now_ms: u64, random: u64) {
        self.failures = self.failures.saturating_add(1);
        self.tried_ms = now_ms;
        self.next_ms = now_ms + retry_after_ms(self.failures, random);
    }

    /// The server has shown that it is there. Whether it is to be asked.
    pub(in super::super) fn take_sign_of_life(&mut self, now_ms: u64) -> bool {
        let is_time = self.failures > 0 && self.tried_ms + LEAST_PAUSE_MS <= now_ms;
        if is_time {
            self.next_ms = 0;
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_has_it_tried_at_once_and_not_all_the_time() {
        let mut retry = Retry::default();
        assert!(!retry.take_sign_of_life(5), "there is nothing to be tried");
        for _ in 0..9 {
            retry.failed(1_000_000, 0);
        }
        assert!(retry.next_ms() > 1_000_000 + LEAST_PAUSE_MS);
        assert!(!retry.take_sign_of_life(1_000_000 + LEAST_PAUSE_MS - 1));
        assert!(retry.is_waiting(1_000_000 + LEAST_PAUSE_MS));
        assert!(retry.take_sign_of_life(1_000_000 + LEAST_PAUSE_MS));
        assert!(!retry.is_waiting(1_000_000 + LEAST_PAUSE_MS));
        retry.succeeded();
        assert!(!retry.take_sign_of_life(9_000_000));
    }
}
