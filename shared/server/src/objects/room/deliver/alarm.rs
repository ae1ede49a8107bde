//! The alarm: what was not delivered is delivered again.

use std::sync::Arc;

use skerry_core::delivery::{RETRY_MAX_MS, RETRY_MIN_MS};

use crate::{
    Result,
    objects::room::{Room, deliver::memberships::Overdue},
};

/// Doublings after which [`RETRY_MAX_MS`] is reached for certain.
const MAX_DOUBLINGS: u32 = 16;

impl Room {
    /// Delivers what is due, and sets the next alarm before it begins.
    pub(crate) async fn on_alarm(self: &Arc<Self>) -> Result<()> {
        let guard = self.write().await?;
        let head = guard.as_ref().map_or(0, |room| room.head);
        let now_ms = self.now_ms();
        self.deliveries().activity.alarm(now_ms, head);
        let next_ms = self.deliveries().activity.next_due(now_ms);
        self.commit_batch(Vec::new(), next_ms).await?;
        drop(guard);
        self.deliver().await;
        let overdue = self.deliver_overdue_memberships().await?;
        let retry_ms = self.membership_retry(overdue, self.now_ms());
        // Under the lock: the batch may remove the row of a reader who reads at this moment.
        let _guard = self.write().await?;
        let next_ms = self.deliveries().activity.next_due(self.now_ms());
        self.commit_batch(Vec::new(), next_ms.into_iter().chain(retry_ms).min()).await
    }

    /// When memberships are delivered again that could not be delivered.
    fn membership_retry(&self, overdue: Overdue, now_ms: u64) -> Option<u64> {
        let mut deliveries = self.deliveries();
        match overdue {
            Overdue::None => {
                deliveries.failed_alarms = 0;
                None
            }
            Overdue::NextPart => Some(now_ms + RETRY_MIN_MS),
            Overdue::Again => {
                let doubled = RETRY_MIN_MS << deliveries.failed_alarms.min(MAX_DOUBLINGS);
                deliveries.failed_alarms = deliveries.failed_alarms.saturating_add(1);
                Some(now_ms + doubled.min(RETRY_MAX_MS))
            }
        }
    }
}
