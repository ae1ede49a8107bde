//! The harness of the black-box suite: it starts a host of Skerry on a free port with its own
//! data, and speaks the client-server API to it. It knows the command line of each host and nothing
//! of their insides.
//!
//! **Invariant**: a test never learns which host it runs against: no expectation depends on it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking, and indexing JSON cannot panic"
)]

mod authority;
mod client;
mod data_dir;
mod federated;
mod host;
pub mod identity;
pub mod keys;
pub mod names;
mod path;
pub mod peer;
mod ports;
mod process;
pub mod raw;
mod relay;
pub mod remote;
mod reply;
mod run;
pub mod secrets;
pub mod site;
mod synapse;
mod sync;
mod user;
pub mod zone;

pub use client::{Client, Request};
pub use federated::Federated;
pub use host::{Homeserver, Host, Options, Server};
pub use keys::Key;
pub use path::{encode, path};
pub use process::repository;
pub use reply::Reply;
pub use run::{after_all_others, on_federated, on_private, on_shared};
pub use serde_json::{Value, json};
pub use synapse::Synapse;
pub use sync::{Room, Sync, SyncRequest, Watch, events, ids};
pub use user::{PASSWORD, User, message, unique};

/// How long the suite waits for something that must happen. It bounds a failure, never a success:
/// what is awaited is asked for again as soon as the server answers.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
