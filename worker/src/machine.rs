//! The clock and the randomness of the platform.

use std::cell::RefCell;

use skerry::{
    Error, Result,
    ports::{Clock, Instants, Random},
};
use skerry_core::slots::{Bounds, Slots};
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

/// Computations that take long, such as hashing a password: what one leaves of its slot is for
/// everybody else, and who comes last waits four seconds.
const COMPUTATIONS: Bounds = Bounds { slot_ms: 100, all: 40, per_address: 16 };

thread_local! {
    /// Those of this isolate, whichever object they are in.
    static SLOTS: RefCell<Slots> = const { RefCell::new(Slots::new(COMPUTATIONS)) };
}

/// How long to wait before a computation that takes long, in milliseconds. None: too many wait.
pub(crate) fn slot_ms(address: &str) -> Option<u64> {
    SLOTS.with_borrow_mut(|it| it.take(address, EdgeClock.now_ms()))
}
