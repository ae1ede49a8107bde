//! What other servers may read of a room (T15a, T15b).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/alone.rs"]
mod alone;
#[path = "join_attempts/world.rs"]
#[expect(dead_code, reason = "the world is shared with other tests")]
mod world;

mod server_reads {
    mod forks;
    mod linear;
    mod stand;
}
