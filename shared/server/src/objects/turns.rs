//! Work that is done by one at a time.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;

/// Who does a piece of work. Whoever comes while it is done does not wait: it is done once more.
#[derive(Debug, Default)]
pub struct Turns {
    turn: Mutex<()>,
    /// There may be more to do than whoever does it has seen.
    is_wanted: AtomicBool,
}

impl Turns {
    /// Does the work, or has whoever does it do it once more.
    pub async fn run<F: Future<Output = ()>>(&self, work: impl Fn() -> F) {
        self.is_wanted.store(true, Ordering::SeqCst);
        while self.is_wanted.load(Ordering::SeqCst) {
            let Ok(_turn) = self.turn.try_lock() else { return };
            while self.is_wanted.swap(false, Ordering::SeqCst) {
                work().await;
            }
        }
    }
}
