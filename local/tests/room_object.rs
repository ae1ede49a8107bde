//! The `Room` object over SQLite: its effects outside, its members, and what a failure or a crash
//! leaves of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/host.rs"]
mod host;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/others.rs"]
mod others;
#[path = "support/room.rs"]
mod room;

mod room_object {
    mod commits;
    mod delivery;
    mod effects;
    mod join_attempts;
    mod peer_room;
    mod removal;
    mod repeats;
    mod restricted_joins;
    mod stand;
}
