//! What the machine itself provides: its clock and its randomness.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skerry::{
    Error, Result,
    ports::{Clock, Instants, Random},
};

/// The system's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

/// Those of this process, whichever of its threads asks.
static INSTANTS: Instants = Instants::new();

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
    }

    fn instant_us(&self) -> u64 {
        INSTANTS.next(u64::try_from(since_epoch().as_micros()).unwrap_or(u64::MAX))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the Clock port")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The system's random numbers.
#[derive(Clone, Copy, Debug)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        getrandom::fill(buffer).map_err(Error::internal)
    }
}
