//! The global store: what must be found without knowing an object's name.
//!
//! No message, sync or check of a token waits for it.

pub mod accounts;
pub mod aliases;
pub mod directory;
pub mod registration_tokens;
pub mod server_keys;
pub mod signing_keys;
