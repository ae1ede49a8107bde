//! The private store of a `Destination` object.

pub mod device_lists;
pub mod devices;
pub mod edus;
pub mod failures;
pub mod faults;
pub mod rooms;
