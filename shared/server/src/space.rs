//! Memory for what is read whole, because no answer may leave any of it out: whoever needs much
//! waits for it.

use skerry_core::pdu::MAX_PDU_BYTES;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Error, Result};

/// Events of the largest size that there is space for at a time: 16 MiB of them as they are stored.
/// What they are made into for the answer is not counted.
const EVENTS: u32 = 256;

/// The space: natively that of the process, at the edge that of an object.
#[derive(Debug)]
pub struct Space(Semaphore);

impl Default for Space {
    fn default() -> Self {
        Self(Semaphore::new(EVENTS as usize))
    }
}

impl Space {
    /// Waits until there is space for so many bytes of events, which is kept until the answer is
    /// dropped. Who needs more than there is waits until nobody else has any.
    ///
    /// # Errors
    ///
    /// None: the space is never closed.
    pub async fn take(&self, bytes: u64) -> Result<SemaphorePermit<'_>> {
        let events = bytes.div_ceil(MAX_PDU_BYTES as u64).clamp(1, EVENTS.into());
        let events = u32::try_from(events).unwrap_or(EVENTS);
        self.0.acquire_many(events).await.map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn much_waits_for_all_and_little_for_nobody() {
        let space = Space::default();
        let take = |bytes| space.take(bytes).now_or_never().map(Result::unwrap);
        let little: Vec<_> = (0..EVENTS / 2).map(|_| take(1).unwrap()).collect();
        let half = take(u64::from(EVENTS / 2) * MAX_PDU_BYTES as u64).unwrap();
        assert!(take(1).is_none(), "nothing is left");
        drop(half);
        assert!(take(u64::MAX).is_none(), "it needs all there is");
        drop(little);
        assert!(take(u64::MAX).is_some());
    }
}
