//! Whether what is in memory may differ from what is stored.

use std::sync::atomic::{AtomicBool, Ordering};

/// Set when a batch failed, or when whoever wrote it went away in between: then nobody knows
/// whether its rows are there, and the room is loaded anew before anything else is read of it. Also
/// as long as memory has what is not written yet: whoever was to write it may go away.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    has_failed: AtomicBool,
    is_ahead: AtomicBool,
}

/// A batch that is on its way. Dropped without [`UnderWay::committed`], it leaves doubt.
#[derive(Debug)]
#[must_use = "a batch that is not known to be committed leaves doubt"]
pub(crate) struct UnderWay<'a> {
    doubt: &'a Doubt,
    is_committed: bool,
}

impl Doubt {
    /// A batch is about to be written.
    pub(crate) fn begin(&self) -> UnderWay<'_> {
        UnderWay { doubt: self, is_committed: false }
    }

    /// Whether memory may differ from the store.
    pub(crate) fn is_set(&self) -> bool {
        self.has_failed() || self.is_ahead()
    }

    /// Whether memory has what is not written.
    pub(crate) fn is_ahead(&self) -> bool {
        self.is_ahead.load(Ordering::Acquire)
    }

    /// Whether a batch has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Whether memory has what is not written yet. Called by whoever holds the room's lock for
    /// writing.
    pub(crate) fn ahead(&self, is_ahead: bool) {
        self.is_ahead.store(is_ahead, Ordering::Release);
    }

    /// What was in memory is dropped, or the batch is known to have left nothing behind. Called
    /// by whoever holds the room's lock for writing.
    pub(crate) fn clear(&self) {
        self.has_failed.store(false, Ordering::Release);
        self.ahead(false);
    }
}

impl UnderWay<'_> {
    /// The batch is written.
    pub(crate) fn committed(mut self) {
        self.is_committed = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.is_committed {
            self.doubt.has_failed.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_batch_that_is_known_to_be_committed_leaves_no_doubt() {
        let doubt = Doubt::default();
        doubt.begin().committed();
        assert!(!doubt.is_set());
        let (first, second) = (doubt.begin(), doubt.begin());
        drop(first);
        second.committed();
        assert!(doubt.is_set(), "another batch does not take the doubt away");
        doubt.clear();
        assert!(!doubt.is_set());
    }

    #[test]
    fn memory_that_is_ahead_of_the_store_is_in_doubt_until_all_is_written() {
        let doubt = Doubt::default();
        doubt.ahead(true);
        assert!(doubt.is_set() && !doubt.has_failed());
        drop(doubt.begin());
        doubt.ahead(false);
        assert!(doubt.is_set() && doubt.has_failed(), "what is written takes no other doubt away");
        doubt.ahead(true);
        doubt.clear();
        assert!(!doubt.is_set() && !doubt.has_failed());
    }
}
