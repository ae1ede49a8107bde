//! Skerry, a Matrix homeserver: everything but the host.
//!
//! Layers, each of which may name only what stands left of it:
//! `messages ← ports ← store ← peers ← objects ← api`. See `ARCHITECTURE.md`.

pub mod api;
pub mod bootstrap;
pub mod error;
pub mod filters;
pub mod known_keys;
pub mod limiters;
pub mod limits;
pub mod messages;
pub mod objects;
pub mod peers;
pub mod ports;
pub mod server;
pub mod sessions;
pub mod signers;
pub mod space;
pub mod store;

pub use self::error::{Error, Result};
