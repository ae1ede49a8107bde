//! The `User` object over SQLite: its account, its stream, its limits and its outbox.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/host.rs"]
mod host;
#[path = "support/only.rs"]
mod only;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/others.rs"]
mod others;

mod user_object {
    mod account;
    mod backups;
    mod dehydrated;
    mod kept;
    mod keys;
    mod operations;
    mod outbox;
    mod remote_rooms;
    mod sessions;
    mod stand;
    mod stores;
    mod stream;
    mod to_device;
}
