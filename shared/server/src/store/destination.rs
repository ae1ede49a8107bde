//! The private store of a `Destination` object.

pub mod failures;
pub mod rooms;
