//! What the server has sent that was not taken: counted in memory, and written down as a sum once
//! in a while, so that a flood of it costs next to nothing. The log says it to the operator.

use skerry_core::faults::Faults;

use super::Destination;
use crate::{Result, store::destination::faults as store};

/// How often the sum is written at most, in milliseconds. What came since is lost in a crash.
const WRITE_EVERY_MS: u64 = 60_000;

/// What is in memory of it.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// In all. None: the store has not been asked.
    sum: Option<Faults>,
    /// When it was written last.
    written_ms: u64,
}

impl Destination {
    /// The server has sent what was not taken.
    pub(super) async fn count_faults(&self, faults: Faults) -> Result<()> {
        let (sql, scope) = (self.host.sql(), self.host.scope());
        let now_ms = self.host.clock().now_ms();
        let mut counted = self.faults.lock().await;
        let mut sum = match counted.sum {
            Some(sum) => sum,
            None => store::find(sql, scope).await?,
        };
        sum += faults;
        counted.sum = Some(sum);
        if now_ms < counted.written_ms.saturating_add(WRITE_EVERY_MS) {
            return Ok(());
        }
        self.commit(vec![store::upsert(scope, sum)], None).await?;
        counted.written_ms = now_ms;
        let Faults { dropped, rejected, soft_failed } = sum;
        tracing::info!(server = %self.name, dropped, rejected, soft_failed, "it sends bad events");
        Ok(())
    }
}
