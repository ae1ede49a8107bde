//! The time that is up.

use std::time::Duration;

use futures_util::future::select;
use tokio::sync::oneshot;
use worker::{Delay, wasm_bindgen_futures::spawn_local};

/// The platform counts in 32 bits.
const MAX: Duration = Duration::from_hours(24);

/// Ends after so long, whoever waits for it: a `Delay` wakes only the task that asked it first, and
/// the body of an answer may be read by another one.
pub(super) fn timer(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
    let (mut up, is_up) = oneshot::channel::<()>();
    spawn_local(async move {
        let nobody_waits = Box::pin(up.closed());
        select(Delay::from(duration.min(MAX)), nobody_waits).await;
        // Nobody may be waiting.
        let _ = up.send(());
    });
    async {
        // It ends in either case.
        let _ = is_up.await;
    }
}
