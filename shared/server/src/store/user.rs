//! The private store of a `User` object.

pub mod account;
pub mod account_data;
pub mod devices;
pub mod filters;
pub mod meta;
pub mod outbox;
pub mod profile;
pub mod rooms;
pub mod tokens;
