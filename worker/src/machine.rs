//! The clock and the randomness of the platform.

use skerry::{
    Error, Result,
    ports::{Clock, Random},
};
use worker::Date;

/// The wall clock. It stands still between I/O.
#[derive(Clone, Copy)]
pub(crate) struct EdgeClock;

impl Clock for EdgeClock {
    fn now_ms(&self) -> u64 {
        Date::now().as_millis()
    }
}

/// Web Crypto.
#[derive(Clone, Copy)]
pub(crate) struct EdgeRandom;

impl Random for EdgeRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        getrandom::fill(buffer).map_err(|error| Error::internal(error.to_string()))
    }
}
