//! State resolution beside its definition: ruma's implementation over whole states and auth
//! chains, tables from the spec, and the scenarios it was changed for.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]
#![expect(clippy::cast_possible_truncation, reason = "rooms of tests are small")]

#[path = "state_resolution/differential.rs"]
mod differential;
#[path = "state_resolution/generate.rs"]
mod generate;
#[path = "state_resolution/lazy.rs"]
mod lazy;
#[path = "state_resolution/oracle.rs"]
mod oracle;
#[path = "state_resolution/room.rs"]
mod room;
#[path = "state_resolution/scenarios.rs"]
mod scenarios;
#[path = "simulation/seeds.rs"]
mod seeds;
#[path = "state_resolution/version_1.rs"]
mod version_1;
