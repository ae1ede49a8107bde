//! The private store of a `Room` object.

pub mod events;
pub mod members;
pub mod meta;
pub mod receipts;
pub mod state;
pub mod typing;
