//! The private store of a `Room` object.

pub mod device_changes;
pub mod events;
pub mod expiry;
pub mod gaps;
pub mod given;
pub mod graph;
pub mod members;
pub mod meta;
pub mod outgoing;
pub mod pending;
pub mod readers;
pub mod receipts;
pub mod redactions;
pub mod removal;
pub mod served;
pub mod servers;
pub mod sizes;
pub mod staged;
pub mod state;
pub mod steps;
pub mod stored_us;
pub mod timestamps;
pub mod unread;
pub mod unverified;
