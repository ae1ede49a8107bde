//! The global store: what must be found without knowing an object's name.
//!
//! It is never on the path of storing an event, save for the one read that knows who sends it.

pub mod accounts;
pub mod aliases;
pub mod directory;
pub mod profiles;
pub mod registration_tokens;
pub mod signing_keys;
pub mod tokens;
