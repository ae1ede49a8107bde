//! The instances of one kind of object, by name.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skerry::{
    Error, Result,
    objects::{Context as _, Object},
    ports::ObjectHost,
};
use tokio::{sync::OnceCell, time::Instant};

use super::{Registry, host::LocalHost};
use crate::store;

/// An instance and what it stands on.
pub(super) struct Live<O> {
    pub(super) object: Arc<O>,
    pub(super) host: Arc<LocalHost>,
}

/// The place of one instance. Who holds it keeps the instance from being dropped.
pub(super) struct Slot<O> {
    live: OnceCell<Live<O>>,
    /// Milliseconds since the registry began.
    last_used_ms: AtomicU64,
}

impl<O> Slot<O> {
    /// The instance.
    pub(super) fn object(&self) -> Result<Arc<O>> {
        let live = self.live.get().ok_or_else(|| Error::internal("the object is not there yet"))?;
        Ok(live.object.clone())
    }

    /// The alarm that was set for this time is going off: it is none that is yet to come.
    pub(super) fn goes_off(&self, at_ms: u64) {
        if let Some(live) = self.live.get() {
            live.host.alarm_goes_off(at_ms);
        }
    }

    /// Whether nobody but the registry holds it.
    fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
            && self.live.get().is_none_or(|it| Arc::strong_count(&it.object) == 1)
    }

    /// From now on this instance cannot write: another one may take its place.
    fn retire(&self) {
        if let Some(live) = self.live.get() {
            live.host.retire();
        }
    }
}

/// The instances of one kind.
pub(super) struct Slots<O: Object> {
    by_name: Mutex<BTreeMap<O::Id, Arc<Slot<O>>>>,
    max: usize,
    began: Instant,
}

impl<O: Object> Slots<O> {
    pub(super) fn new(max: usize) -> Self {
        Self { by_name: Mutex::default(), max, began: Instant::now() }
    }

    /// The slot of this name, with its instance.
    pub(super) async fn find(&self, registry: &Arc<Registry>, id: O::Id) -> Result<Arc<Slot<O>>> {
        let slot = self.slot(&id);
        slot.live
            .get_or_try_init(async || {
                let sql = &*registry.sql;
                let found = store::find_scope(sql, O::KIND, id.as_ref()).await?;
                let host = Arc::new(LocalHost::new(registry, O::KIND, id.as_ref(), found));
                let as_port: Arc<dyn ObjectHost> = host.clone();
                let context = O::Context::load(&*as_port).await?;
                let object = O::new(id.clone(), context, as_port);
                Ok::<_, Error>(Live { object, host })
            })
            .await?;
        Ok(slot)
    }

    fn slot(&self, id: &O::Id) -> Arc<Slot<O>> {
        let now_ms = self.now_ms();
        let mut slots = self.lock();
        if let Some(slot) = slots.get(id) {
            slot.last_used_ms.store(now_ms, Ordering::Relaxed);
            return slot.clone();
        }
        if slots.len() >= self.max || O::HELD.is_too_much() {
            let some = slots.len().div_ceil(8);
            drop_longest_idle(&mut slots, some);
        }
        let slot = Arc::new(Slot { live: OnceCell::new(), last_used_ms: AtomicU64::new(now_ms) });
        slots.insert(id.clone(), slot.clone());
        slot
    }

    /// Drops those that nobody asked for so long.
    pub(super) fn drop_idle(&self, for_: Duration) {
        let for_ms = u64::try_from(for_.as_millis()).unwrap_or(u64::MAX);
        let Some(before_ms) = self.now_ms().checked_sub(for_ms) else { return };
        self.lock().retain(|_, slot| {
            let keep = slot.last_used_ms.load(Ordering::Relaxed) >= before_ms || !slot.is_idle();
            if !keep {
                slot.retire();
            }
            keep
        });
    }

    /// Drops an instance that nobody uses: there is nothing behind its name.
    pub(super) fn drop_unused(&self, id: &O::Id) {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(id).filter(|it| it.is_idle()) {
            slot.retire();
            slots.remove(id);
        }
    }

    /// Takes this instance out, unless another one is in its place already.
    pub(super) fn remove(&self, id: &O::Id, slot: &Arc<Slot<O>>) {
        slot.retire();
        let mut slots = self.lock();
        if slots.get(id).is_some_and(|it| Arc::ptr_eq(it, slot)) {
            slots.remove(id);
        }
    }

    /// Drops all: the server has stopped.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<O::Id, Arc<Slot<O>>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Makes room. Those in use stay, so the limit may be passed for as long as they are.
fn drop_longest_idle<I: Ord + Clone, O>(slots: &mut BTreeMap<I, Arc<Slot<O>>>, count: usize) {
    let mut idle: Vec<_> = slots
        .iter()
        .filter(|(_, slot)| slot.is_idle())
        .map(|(id, slot)| (slot.last_used_ms.load(Ordering::Relaxed), id.clone()))
        .collect();
    idle.sort_unstable();
    for (_, id) in idle.into_iter().take(count) {
        if let Some(slot) = slots.remove(&id) {
            slot.retire();
        }
    }
}
