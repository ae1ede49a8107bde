//! The deliveries of a room that are not answered: queued, sent, or failed.

use std::collections::{BTreeMap, VecDeque};

use super::{ANSWER_TIMEOUT_MS, Answer, DELIVERY_GRACE_MS, retry::Failures};

/// The golden section of 2^64: the starts of successive turns around a circle of readers fall far
/// from each other, however many readers there are.
const TURN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One delivery.
#[derive(Clone, Copy, Debug)]
struct One {
    /// Up to where something waits.
    position: u64,
    failures: Failures,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It stands in the queue.
    Queued,
    /// It was handed out in a round.
    Sent { at_ms: u64 },
    /// It failed.
    Failed { due_ms: u64 },
}

/// Deliveries by their readers: at most one each.
#[derive(Clone, Debug)]
pub(super) struct Outstanding<R> {
    by_reader: BTreeMap<R, One>,
    /// Whose delivery is queued, in order; and some whose delivery has ended since.
    queue: VecDeque<R>,
    /// Where the next turn around the readers begins.
    turn: u64,
}

impl<R> Default for Outstanding<R> {
    fn default() -> Self {
        Self { by_reader: BTreeMap::new(), queue: VecDeque::new(), turn: TURN }
    }
}

impl<R: Ord + Clone> Outstanding<R> {
    pub(super) fn is_empty(&self) -> bool {
        self.by_reader.is_empty()
    }

    /// Readers in the order of their turn. Each turn begins elsewhere in the circle, so that
    /// nobody is the last for ever; and whoever waits in the queue already comes before a turn.
    pub(super) fn turned(&mut self, mut readers: Vec<R>) -> Vec<R> {
        let start = (u128::from(self.turn) * readers.len() as u128) >> 64;
        readers.rotate_left(usize::try_from(start).unwrap_or(0));
        self.turn = self.turn.wrapping_add(TURN);
        readers
    }

    /// A reader is to be delivered to, up to a position.
    pub(super) fn queue(&mut self, reader: R, position: u64) {
        let new = One { position, failures: Failures::default(), stage: Stage::Queued };
        match self.by_reader.get_mut(&reader) {
            Some(old) if old.position >= position => return,
            Some(old) if old.stage == Stage::Queued => {
                *old = new;
                return;
            }
            Some(old) => *old = new,
            None => _ = self.by_reader.insert(reader.clone(), new),
        }
        self.queue.push_back(reader);
    }

    /// Whether a reader has a delivery outstanding.
    #[cfg(test)]
    pub(super) fn contains(&self, reader: &R) -> bool {
        self.by_reader.contains_key(reader)
    }

    pub(super) fn remove(&mut self, reader: &R) {
        self.by_reader.remove(reader);
    }

    pub(super) fn next_round(&mut self, now_ms: u64, limit: usize) -> Vec<(R, u64)> {
        let mut round = Vec::new();
        while round.len() < limit {
            let Some(reader) = self.queue.pop_front() else { break };
            if let Some(delivery) = self.by_reader.get_mut(&reader)
                && delivery.stage == Stage::Queued
            {
                delivery.stage = Stage::Sent { at_ms: now_ms };
                round.push((reader, delivery.position));
            }
        }
        round
    }

    pub(super) fn has_queued(&self) -> bool {
        self.queue.iter().any(|reader| {
            let delivery = self.by_reader.get(reader);
            delivery.is_some_and(|delivery| delivery.stage == Stage::Queued)
        })
    }

    /// Takes an answer in. Whether it ends the reader's delivery: not, when it is a failure, or
    /// answers an earlier delivery while a newer one is outstanding.
    pub(super) fn answered(
        &mut self,
        reader: &R,
        position: u64,
        answer: Answer,
        now_ms: u64,
    ) -> bool {
        let Some(delivery) = self.by_reader.get_mut(reader) else { return false };
        if delivery.position > position {
            return false;
        }
        if answer == Answer::Unreachable {
            if matches!(delivery.stage, Stage::Sent { .. }) {
                delivery.fail(now_ms);
            }
            return false;
        }
        self.by_reader.remove(reader);
        true
    }

    /// Counts answers that take too long as failures, and queues the failed deliveries whose time
    /// has come, in the order of their time.
    pub(super) fn retry(&mut self, now_ms: u64) {
        let mut due = Vec::new();
        for (reader, delivery) in &mut self.by_reader {
            match delivery.stage {
                Stage::Sent { at_ms } if at_ms + ANSWER_TIMEOUT_MS <= now_ms => {
                    delivery.fail(now_ms);
                }
                Stage::Failed { due_ms } if due_ms <= now_ms => {
                    delivery.stage = Stage::Queued;
                    due.push((due_ms, reader.clone()));
                }
                Stage::Queued | Stage::Sent { .. } | Stage::Failed { .. } => {}
            }
        }
        due.sort_by_key(|(due_ms, _)| *due_ms);
        self.queue.extend(due.into_iter().map(|(_, reader)| reader));
    }

    /// When [`Self::retry`] is due next. Queued deliveries are due soon, because a crash may keep
    /// them from being sent.
    pub(super) fn next_due(&self, now_ms: u64) -> Option<u64> {
        let due = self.by_reader.values().map(|delivery| match delivery.stage {
            Stage::Queued => now_ms + DELIVERY_GRACE_MS,
            Stage::Sent { at_ms } => at_ms + ANSWER_TIMEOUT_MS,
            Stage::Failed { due_ms } => due_ms,
        });
        due.min()
    }
}

impl One {
    fn fail(&mut self, now_ms: u64) {
        self.stage = Stage::Failed { due_ms: now_ms + self.failures.delay_ms() };
        self.failures.add();
    }
}
