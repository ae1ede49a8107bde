//! The clock and the randomness of the platform.

use skerry::{
    Error, Result,
    ports::{Clock, Instants, Random},
};
use worker::Date;

/// The wall clock. It stands still between I/O.
#[derive(Clone, Copy)]
pub(crate) struct EdgeClock;

/// Those of this isolate: another one has the same milliseconds, and no more than that.
static INSTANTS: Instants = Instants::new();

impl Clock for EdgeClock {
    fn now_ms(&self) -> u64 {
        Date::now().as_millis()
    }

    fn instant_us(&self) -> u64 {
        INSTANTS.next(self.now_ms().saturating_mul(1_000))
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
