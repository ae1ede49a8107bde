//! What this isolate remembers of valid access tokens and of stored filters.

use std::sync::Arc;

use skerry::{filters::Filters, sessions::Sessions};

thread_local! {
    static SESSIONS: Arc<Sessions> = Arc::default();
    static FILTERS: Arc<Filters> = Arc::default();
}

/// The memory of this isolate. Others have their own: what ends a token in one of them is heard
/// of in the others when the time is over for which an answer is remembered.
pub(crate) fn of_this_isolate() -> Arc<Sessions> {
    SESSIONS.with(Clone::clone)
}

/// The filters that this isolate remembers.
pub(crate) fn filters_of_this_isolate() -> Arc<Filters> {
    FILTERS.with(Clone::clone)
}
