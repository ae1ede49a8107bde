//! What a process remembers of stored filters: a client names its filter with every poll, and a
//! filter never changes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use ruma::{OwnedUserId, UserId, api::client::filter::FilterDefinition};

/// Filters that are remembered; beyond that all are forgotten.
const MAX_FILTERS: usize = 2_000;

/// The memory.
#[derive(Debug, Default)]
pub struct Filters(Mutex<BTreeMap<(OwnedUserId, String), FilterDefinition>>);

impl Filters {
    /// A user's filter, if it is remembered.
    pub fn find(&self, user_id: &UserId, filter_id: &str) -> Option<FilterDefinition> {
        let filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        filters.get(&(user_id.to_owned(), filter_id.to_owned())).cloned()
    }

    /// Remembers a user's filter.
    pub fn insert(&self, user_id: &UserId, filter_id: &str, filter: FilterDefinition) {
        let mut filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if filters.len() >= MAX_FILTERS {
            filters.clear();
        }
        filters.insert((user_id.to_owned(), filter_id.to_owned()), filter);
    }
}
