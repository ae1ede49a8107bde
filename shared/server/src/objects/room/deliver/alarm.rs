//! The alarm: what was not delivered is delivered again.

use std::sync::Arc;

use futures_util::future::join;
use ruma::OwnedUserId;
use skerry_core::delivery::{MEMBERSHIPS_PER_PART, Overdue};

use crate::{
    Result,
    messages::room::Position,
    objects::room::Room,
    store::room::members::{self, Member},
};

impl Room {
    /// Delivers what is due, and sets the next alarm before it begins.
    pub(crate) async fn on_alarm(self: &Arc<Self>) -> Result<()> {
        let guard = self.write().await?;
        let head = guard.as_ref().map_or(0, |room| room.head);
        let overdue = self.deliveries().alarm(self.now_ms(), head, MEMBERSHIPS_PER_PART);
        let part = self.list_overdue(overdue).await;
        self.commit_next_alarm().await?;
        drop(guard);
        let (part, read) = match part {
            Ok(part) => (part, Ok(())),
            // What else is due does not depend on it.
            Err(error) => (Vec::new(), Err(error)),
        };
        let ((), delivered) = join(self.deliver(), self.deliver_overdue_memberships(part)).await;
        // Under the lock: the batch may remove the row of a reader who reads at this moment.
        let _guard = self.write().await?;
        self.commit_next_alarm().await?;
        read.and(delivered)
    }

    async fn commit_next_alarm(&self) -> Result<()> {
        let next_ms = self.deliveries().next_due(self.now_ms());
        self.commit_batch(Vec::new(), next_ms).await
    }

    /// The memberships that are to be delivered again.
    async fn list_overdue(&self, overdue: Option<Overdue>) -> Result<Vec<Member>> {
        let Some(overdue) = overdue else { return Ok(Vec::new()) };
        let Overdue { after, limit } = overdue;
        let mut listed =
            members::list_undelivered(self.sql(), self.scope(), after, limit as u64).await?;
        let rows: Vec<(OwnedUserId, Position)> =
            listed.iter().map(|it| (it.user_id.clone(), it.position)).collect();
        let part = self.deliveries().memberships.listed(overdue, &rows, self.now_ms());
        // Both are in the same order.
        let mut part = part.into_iter().peekable();
        listed.retain(|it| part.next_if(|(user_id, _)| *user_id == it.user_id).is_some());
        Ok(listed)
    }
}
