//! What a process remembers of stored filters: a client names its filter with every poll, and a
//! filter never changes.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use ruma::{OwnedUserId, UserId, api::client::filter::FilterDefinition};

/// Filters that are remembered: those that were used last.
const MAX_FILTERS: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();

/// Bytes of a filter that is remembered, as JSON; what known clients have is smaller. A larger one
/// is asked for with every poll.
const MAX_FILTER_BYTES: usize = 2 * 1024;

/// The memory.
#[derive(Debug)]
pub struct Filters(Mutex<LruCache<(OwnedUserId, String), FilterDefinition>>);

impl Default for Filters {
    fn default() -> Self {
        Self(Mutex::new(LruCache::sparse(MAX_FILTERS)))
    }
}

impl Filters {
    /// A user's filter, if it is remembered.
    pub fn find(&self, user_id: &UserId, filter_id: &str) -> Option<FilterDefinition> {
        self.lock().get(&(user_id.to_owned(), filter_id.to_owned())).cloned()
    }

    /// Remembers a user's filter, of so many bytes.
    pub fn insert(
        &self,
        user_id: &UserId,
        filter_id: &str,
        filter: FilterDefinition,
        bytes: usize,
    ) {
        if bytes > MAX_FILTER_BYTES {
            return;
        }
        self.lock().put((user_id.to_owned(), filter_id.to_owned()), filter);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<(OwnedUserId, String), FilterDefinition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
