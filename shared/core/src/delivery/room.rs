//! All that one room delivers: both kinds share the room's batches and its alarm.

use super::{Delivery, Memberships, Overdue};

/// What a room delivers. `R` is what readers are known by, `U` what users are.
#[derive(Clone, Debug)]
pub struct RoomDeliveries<R, U = R> {
    /// To whom that events wait is to be delivered.
    pub activity: Delivery<R>,
    /// To whom their own membership is to be delivered.
    pub memberships: Memberships<U>,
}

/// What is still to be written down, and goes into a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "what goes into a batch is committed or fails"]
pub struct Batch<R, U = R> {
    /// Readers whose row is removed.
    pub removals: Vec<R>,
    /// Users to whom their membership at this position was delivered.
    pub marks: Vec<(U, u64)>,
}

impl<R, U> Batch<R, U> {
    /// Whether there is nothing to be written down.
    pub fn is_empty(&self) -> bool {
        self.removals.is_empty() && self.marks.is_empty()
    }
}

impl<R: Ord + Clone, U: Ord + Clone> Default for RoomDeliveries<R, U> {
    fn default() -> Self {
        Self::load([], None)
    }
}

impl<R: Ord + Clone, U: Ord + Clone> RoomDeliveries<R, U> {
    /// The deliveries of a room that comes into memory: [`Delivery::load`].
    pub fn load(rows: impl IntoIterator<Item = R>, alarm_at_ms: Option<u64>) -> Self {
        Self {
            activity: Delivery::load(rows, alarm_at_ms),
            memberships: Memberships::load(alarm_at_ms),
        }
    }

    /// When an alarm must come that goes into the batch of an event, which may change memberships.
    /// None: an alarm that comes soon enough is stored, or nobody has to hear of it.
    pub fn alarm_for(&self, now_ms: u64, changes_memberships: bool) -> Option<u64> {
        let memberships = || self.memberships.alarm_for(now_ms).filter(|_| changes_memberships);
        self.activity.alarm_for(now_ms).or_else(memberships)
    }

    /// What is to be written with the batch that is about to be committed.
    pub fn batch(&mut self) -> Batch<R, U> {
        Batch {
            removals: self.activity.removals_for_batch(),
            marks: self.memberships.marks_for_batch(),
        }
    }

    /// The batch is committed, with this alarm.
    pub fn committed(&mut self, batch: &Batch<R, U>, alarm_ms: Option<u64>) {
        self.activity.removals_committed();
        self.memberships.marks_committed(&batch.marks);
        if let Some(alarm_ms) = alarm_ms {
            self.activity.alarm_set(alarm_ms);
            self.memberships.alarm_set(alarm_ms);
        }
    }

    /// The batch failed, or nobody knows: another one writes the same. Marks are kept for it in
    /// any case.
    pub fn batch_failed(&mut self) {
        self.activity.removals_failed();
    }

    /// Nobody knows whether a batch was committed that may have been one of events. If it was, so
    /// was its alarm.
    pub fn outcome_unknown(&mut self, now_ms: u64) {
        self.activity.outcome_unknown();
        self.memberships.outcome_unknown(now_ms);
    }

    /// The alarm has come: [`Delivery::alarm`] and [`Memberships::alarm`].
    pub fn alarm(&mut self, now_ms: u64, head: u64, limit: usize) -> Option<Overdue> {
        self.activity.alarm(now_ms, head);
        self.memberships.alarm(now_ms, limit)
    }

    /// When the alarm must come again, for whichever of both.
    pub fn next_due(&self, now_ms: u64) -> Option<u64> {
        let memberships = self.memberships.next_due(now_ms);
        self.activity.next_due(now_ms).into_iter().chain(memberships).min()
    }
}
