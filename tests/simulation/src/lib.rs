//! Whole servers of Skerry in one thread: the API, the objects and the registry that the native
//! host has, on databases in memory, a virtual clock, seeded randomness, and a network that loses,
//! delays, repeats, alters and cuts. What happens in a run follows from one number.
//!
//! **Invariant:** nothing here waits for anything but virtual time, so that a seed is replayed as
//! it was.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod client;
mod events;
mod evil;
mod heal;
mod host;
mod inspect;
mod keys;
mod log;
mod network;
mod readers;
#[path = "../../../shared/core/tests/simulation/rng.rs"]
mod rng;
mod run;
mod server;
mod tally;
mod tell;
mod template;
mod users;
mod verdict;
mod weather;
mod wire;
mod world;

pub use self::{
    keys::{run_keys, run_keys_on},
    run::{run, run_on},
    tally::Tally,
};
