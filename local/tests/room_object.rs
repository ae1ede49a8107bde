//! The `Room` object over SQLite: its effects outside, and what a failure or a crash leaves of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod room_object {
    mod commits;
    mod effects;
    mod removal;
    mod stand;
}
