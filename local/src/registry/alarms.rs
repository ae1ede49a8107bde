//! Alarms: the store keeps them, one task sets them off, also those of before a restart.
//!
//! An alarm stays in the store until its object has dealt with it: after a crash it goes off
//! again.

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use skerry::{
    Error, Result,
    objects::{ALARM_RETRY_MS, Object as _, destination::Destination, room::Room, user::User},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use super::{Kept, Registry};
use crate::store::{self, Alarm};

/// Alarms read at a time, beside those that are passed over.
const PAGE: usize = 64;
/// Alarms that are dealt with at the same time.
const AT_ONCE: usize = 16;
/// How long an alarm may keep its place among them. One that takes longer mostly waits for others.
const PLACE_TIME: Duration = Duration::from_millis(100);
/// The same for alarms of objects whose alarm has taken longer the last time.
const SLOW_AT_ONCE: usize = 256;
/// Objects of which this is remembered.
const MAX_SLOW: usize = 4_096;
/// The longest sleep: no alarm is missed for longer, even if the clock is set.
const MAX_SLEEP_MS: u64 = 60_000;
/// How long an alarm may take before it counts as failed.
const MAX_DURATION: Duration = Duration::from_secs(30);

/// Tells the task that sets alarms off when to look again.
pub(super) struct Alarms {
    next: Mutex<Next>,
    sooner: Notify,
    going_off: Mutex<GoingOff>,
    places: Arc<Semaphore>,
    slow_places: Arc<Semaphore>,
}

/// Objects by their scopes.
#[derive(Clone, Default)]
struct GoingOff {
    /// Their alarm is going off at this moment.
    now: BTreeSet<i64>,
    /// Their alarm takes long, or did the last time.
    slow: BTreeSet<i64>,
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            next: Mutex::default(),
            sooner: Notify::new(),
            going_off: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            slow_places: Arc::new(Semaphore::new(SLOW_AT_ONCE)),
        }
    }
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

    fn going_off(&self) -> MutexGuard<'_, GoingOff> {
        self.going_off.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An alarm that is going off, until it is dropped.
struct Ringing {
    registry: Arc<Registry>,
    scope: i64,
    place: Option<OwnedSemaphorePermit>,
}

impl Ringing {
    fn new(registry: &Arc<Registry>, scope: i64, place: OwnedSemaphorePermit) -> Self {
        registry.alarms.going_off().now.insert(scope);
        Self { registry: registry.clone(), scope, place: Some(place) }
    }

    /// It was dealt with before it lost its place.
    fn is_quick(&self) {
        self.registry.alarms.going_off().slow.remove(&self.scope);
    }

    /// Others are not to wait for it. An object that is known to be slow has a place that no other
    /// one waits for.
    fn is_slow(&mut self) {
        let slow = &mut self.registry.alarms.going_off().slow;
        if !slow.contains(&self.scope) {
            self.place = None;
            if slow.len() < MAX_SLOW {
                slow.insert(self.scope);
            }
        }
    }
}

impl Drop for Ringing {
    fn drop(&mut self) {
        self.registry.alarms.going_off().now.remove(&self.scope);
        // The object may have set its next alarm, which was passed over until here.
        self.registry.alarms.set(0);
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
                registry.clock.now_ms() + ALARM_RETRY_MS
            }
        };
        registry.alarms.sleep_until(next_ms, registry.clock.now_ms()).await;
    }
}

/// Sets off those that are due, and says when to look again. It waits for places, but for no alarm.
async fn set_off_due(registry: &Arc<Registry>) -> Result<u64> {
    let alarms = &registry.alarms;
    let GoingOff { now, slow } = alarms.going_off().clone();
    // However many are passed over, there is a page of others.
    let limit = PAGE + now.len() + slow.len();
    let found =
        store::list_alarms(&*registry.sql, u64::try_from(limit).unwrap_or(u64::MAX)).await?;
    let is_all = found.len() < limit;
    let now_ms = registry.clock.now_ms();
    for alarm in found.into_iter().filter(|it| !now.contains(&it.scope)) {
        if alarm.at_ms > now_ms {
            return Ok(alarm.at_ms);
        }
        let place = if slow.contains(&alarm.scope) {
            // One that ends makes the task look again.
            let Ok(place) = alarms.slow_places.clone().try_acquire_owned() else { continue };
            place
        } else {
            alarms.places.clone().acquire_owned().await.map_err(Error::internal)?
        };
        let ringing = Ringing::new(registry, alarm.scope, place);
        let stopping = registry.stopping.clone();
        registry.tasks.spawn(stopping.run_until_cancelled_owned(set_off(ringing, alarm)));
    }
    Ok(if is_all { u64::MAX } else { now_ms })
}

async fn set_off(mut ringing: Ringing, alarm: Alarm) {
    let registry = ringing.registry.clone();
    let ring = AssertUnwindSafe(ring(&registry, &alarm)).catch_unwind();
    let mut ring = pin!(timeout(MAX_DURATION, ring));
    let in_place = timeout(PLACE_TIME, ring.as_mut()).await;
    let result = if let Ok(result) = in_place {
        ringing.is_quick();
        result
    } else {
        ringing.is_slow();
        ring.await
    };
    let result = match result {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::internal("the alarm panicked")),
        Err(_) => Err(Error::internal("the alarm took too long")),
    };
    let write = match result {
        Ok(()) => store::remove_alarm(alarm.scope, alarm.at_ms),
        Err(error) => {
            tracing::warn!(?error, kind = alarm.kind, "an alarm failed and goes off again later");
            let until_ms = registry.clock.now_ms() + ALARM_RETRY_MS;
            store::delay_alarm(alarm.scope, alarm.at_ms, until_ms)
        }
    };
    if let Err(error) = registry.sql.batch(vec![write]).await {
        tracing::error!(?error, "an alarm cannot be written");
        // It is due still, and would go off at once.
        sleep(Duration::from_millis(ALARM_RETRY_MS)).await;
    }
}

/// Calls the object.
async fn ring(registry: &Arc<Registry>, alarm: &Alarm) -> Result<()> {
    match alarm.kind.as_str() {
        Room::KIND => ring_object::<Room>(registry, alarm).await,
        User::KIND => ring_object::<User>(registry, alarm).await,
        Destination::KIND => ring_object::<Destination>(registry, alarm).await,
        other => Err(Error::internal(format!("an alarm for an unknown kind: {other}"))),
    }
}

async fn ring_object<O: Kept>(registry: &Arc<Registry>, alarm: &Alarm) -> Result<()> {
    let id = O::Id::try_from(alarm.name.clone()).map_err(Error::internal)?;
    let slot = O::slots(registry).find(registry, id.clone()).await?;
    slot.goes_off(alarm.at_ms);
    registry.call(id, |object: Arc<O>| async move { object.alarm().await }).await
}
