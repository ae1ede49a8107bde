//! The `Room` object over SQLite: its effects outside, its members, and what a failure or a crash
//! leaves of it; what other servers may read (T15a, T15b).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/host.rs"]
mod host;
#[path = "support/only.rs"]
mod only;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/others.rs"]
mod others;
#[path = "support/own_room.rs"]
mod own_room;
#[path = "support/room.rs"]
mod room;

mod room_object {
    mod batches;
    mod commits;
    mod conflict_cost;
    mod delivery;
    mod devices;
    mod dummy_events;
    mod edus;
    mod effects;
    mod join_attempts;
    mod late_rejections;
    mod locks;
    mod long_life;
    mod peer_room;
    mod removal;
    mod repeats;
    mod restricted_joins;
    mod server_reads;
    mod stand;
    mod together;
    mod unverified;
    mod waiting;
}
