//! Alarms: the store keeps them, one task sets them off, also those of before a restart.
//!
//! An alarm stays in the store until its object has dealt with it: after a crash it goes off
//! again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use skerry::{
    Error, Result,
    objects::{Object as _, room::Room, user::User},
};
use tokio::{sync::Notify, time::timeout};

use super::{Kept, Registry};
use crate::store::{self, Alarm};

/// Alarms read at a time.
const PAGE: u64 = 64;
/// Alarms that are dealt with at the same time.
const AT_ONCE: usize = 16;
/// When an alarm that failed goes off again.
const RETRY_MS: u64 = 10_000;
/// The longest sleep: no alarm is missed for longer, even if the clock is set.
const MAX_SLEEP_MS: u64 = 60_000;
/// How long one alarm may hold up the next page.
const MAX_DURATION: Duration = Duration::from_secs(30);

/// Tells the task that sets alarms off when to look again.
#[derive(Default)]
pub(super) struct Alarms {
    next: Mutex<Next>,
    sooner: Notify,
}

#[derive(Default)]
struct Next {
    /// The earliest alarm known of.
    at_ms: u64,
    /// The task sleeps until then; before that it will look by itself.
    asleep: bool,
}

impl Alarms {
    /// An alarm has been written.
    pub(super) fn set(&self, at_ms: u64) {
        let mut next = self.lock();
        if at_ms < next.at_ms {
            next.at_ms = at_ms;
            if next.asleep {
                self.sooner.notify_one();
            }
        }
    }

    /// Notes every alarm that is written from now on.
    fn awake(&self) {
        *self.lock() = Next { at_ms: u64::MAX, asleep: false };
    }

    /// Sleeps until this time or the earliest alarm written since [`Alarms::awake`].
    async fn sleep_until(&self, at_ms: u64, now_ms: u64) {
        let wake_at_ms = {
            let mut next = self.lock();
            next.at_ms = at_ms.min(next.at_ms).min(now_ms + MAX_SLEEP_MS);
            next.asleep = true;
            next.at_ms
        };
        let left = Duration::from_millis(wake_at_ms.saturating_sub(now_ms));
        // Either way it is time to look.
        let _ = timeout(left, self.sooner.notified()).await;
    }

    fn lock(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets alarms off, for ever.
pub(super) async fn work(registry: Arc<Registry>) {
    loop {
        registry.alarms.awake();
        let next_ms = match set_off_due(&registry).await {
            Ok(next_ms) => next_ms,
            Err(error) => {
                tracing::error!(?error, "the alarms cannot be read");
                registry.clock.now_ms() + RETRY_MS
            }
        };
        registry.alarms.sleep_until(next_ms, registry.clock.now_ms()).await;
    }
}

/// Sets off one page of those that are due, and says when to look again.
async fn set_off_due(registry: &Arc<Registry>) -> Result<u64> {
    let now_ms = registry.clock.now_ms();
    let mut alarms = store::list_alarms(&*registry.sql, PAGE).await?;
    let due = alarms.iter().take_while(|it| it.at_ms <= now_ms).count();
    let next_ms = alarms.get(due).map_or(u64::MAX, |it| it.at_ms);
    let is_last_page = alarms.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
    alarms.truncate(due);
    let any = !alarms.is_empty();
    stream::iter(alarms).for_each_concurrent(AT_ONCE, |it| set_off(registry, it)).await;
    Ok(if any && !is_last_page { now_ms } else { next_ms })
}

async fn set_off(registry: &Arc<Registry>, alarm: Alarm) {
    let result = match timeout(MAX_DURATION, ring(registry, &alarm)).await {
        Ok(result) => result,
        Err(_) => Err(Error::internal("the alarm took too long")),
    };
    let write = match result {
        Ok(()) => store::remove_alarm(alarm.scope, alarm.at_ms),
        Err(error) => {
            tracing::warn!(?error, kind = alarm.kind, "an alarm failed and goes off again later");
            let until_ms = registry.clock.now_ms() + RETRY_MS;
            store::delay_alarm(alarm.scope, alarm.at_ms, until_ms)
        }
    };
    if let Err(error) = registry.sql.batch(vec![write]).await {
        tracing::error!(?error, "an alarm cannot be written");
    }
}

/// Calls the object.
async fn ring(registry: &Arc<Registry>, alarm: &Alarm) -> Result<()> {
    match alarm.kind.as_str() {
        Room::KIND => ring_object::<Room>(registry, alarm).await,
        User::KIND => ring_object::<User>(registry, alarm).await,
        other => Err(Error::internal(format!("an alarm for an unknown kind: {other}"))),
    }
}

async fn ring_object<O: Kept>(registry: &Arc<Registry>, alarm: &Alarm) -> Result<()> {
    let id = O::Id::try_from(alarm.name.clone()).map_err(Error::internal)?;
    let slot = O::slots(registry).find(registry, id.clone()).await?;
    slot.goes_off(alarm.at_ms);
    registry.call(id, |object: Arc<O>| async move { object.alarm().await }).await
}
