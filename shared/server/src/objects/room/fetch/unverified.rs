//! The keys of events that could not be verified are asked for again.

use std::sync::Arc;

use serde_json::value::RawValue as RawJsonValue;

use crate::{
    Error, Result,
    objects::room::{
        Room, limits,
        loaded::{effects::Due, in_memory, plan::Plan},
    },
    store::room::unverified,
};

impl Room {
    /// The alarm has come: keys are asked for, and the alarm comes again in case that ends in the
    /// middle. It does not wait: other servers may take long.
    pub(crate) async fn verify_by_alarm(self: &Arc<Self>) -> Result<()> {
        self.verify_at(Some(self.now_ms() + limits::VERIFY_MS)).await?;
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            match room.verify_all().await {
                Ok(()) | Err(Error::UnknownRoom) => {}
                Err(error) => {
                    tracing::warn!(?error, room_id = %room.id, "the alarm looks for keys again");
                }
            }
        }));
        Ok(())
    }

    async fn verify_all(self: &Arc<Self>) -> Result<()> {
        let mut after = None;
        let mut newest_ms = None;
        loop {
            let rows = {
                let _room = self.read().await?;
                let (limit, after) = (limits::UNVERIFIED_PAGE, after.as_deref());
                unverified::list(self.sql(), self.scope(), after, limit).await?
            };
            let Some(last) = rows.last() else { break };
            after = Some(last.event_id.clone());
            newest_ms = rows.iter().map(|it| it.received_ms).chain(newest_ms).max();
            let json = rows.iter().map(|it| RawJsonValue::from_string(it.json.clone()));
            let events = json.collect::<std::result::Result<Vec<_>, _>>()?;
            let keys = self.find_keys(&events).await;
            self.take_unverified(rows, &keys).await?;
        }
        let left = self.read().await?.unverified;
        let Some(newest_ms) = newest_ms.filter(|_| left > 0) else {
            return self.verify_at(None).await;
        };
        let now_ms = self.now_ms();
        let wait_ms = now_ms.saturating_sub(newest_ms) / 4;
        let wait_ms = wait_ms.clamp(limits::VERIFY_FIRST_MS, limits::VERIFY_LAST_MS);
        self.verify_at(Some(now_ms + wait_ms)).await
    }

    /// When the alarm comes for it; or not any more.
    async fn verify_at(self: &Arc<Self>, at_ms: Option<u64>) -> Result<()> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let mut plan = Plan::new(room);
        match at_ms {
            Some(at_ms) => plan.effects.agenda.set(Due::Unverified, at_ms),
            None => plan.effects.agenda.clear(Due::Unverified),
        }
        self.commit_quietly(room, &mut plan).await
    }
}
