//! The alarm of a room, as far as its deliveries know of it.

/// When the alarm is due that is known to be stored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoredAlarm(Option<u64>);

impl StoredAlarm {
    /// What the store said when the room came into memory.
    pub(super) fn load(at_ms: Option<u64>) -> Self {
        Self(at_ms)
    }

    /// An alarm is stored for this time, in place of any other.
    pub(super) fn set(&mut self, at_ms: u64) {
        self.0 = Some(at_ms);
    }

    /// It has come: none is stored any more.
    pub(super) fn came(&mut self) {
        self.0 = None;
    }

    /// When an alarm must be stored, for something that is due at this time. None: one is stored
    /// that comes soon enough. One that is late is not counted on.
    pub(super) fn needed(&self, now_ms: u64, due_ms: u64) -> Option<u64> {
        let is_stored = self.0.is_some_and(|at_ms| (now_ms..=due_ms).contains(&at_ms));
        (!is_stored).then_some(due_ms)
    }
}
