//! A room of the model: what it stores, what it remembers, and how it uses [`Delivery`].

use std::collections::BTreeSet;

use super::{super::super::*, dice::Outcome};

#[derive(Debug)]
pub(super) struct Room {
    /// Stored: the newest position; whoever has a row; when the alarm comes.
    pub(super) head: u64,
    pub(super) rows: BTreeSet<usize>,
    pub(super) alarm: Option<u64>,
    /// Stored: whether each user is joined, and where in the room that was set.
    pub(super) memberships: Vec<(bool, u64)>,
    memory: Option<Delivery<usize>>,
    /// Reads that hold the lock together: no event and no alarm comes between.
    pub(super) shared_locks: usize,
    /// How often the memory was lost: a read that began before fails.
    pub(super) epoch: u64,
    /// The last position that was delivered to each user, and where they have read the room.
    delivered: Vec<u64>,
    reads: Vec<BTreeSet<u64>>,
    is_calm: bool,
}

/// A read that holds the lock while its row is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowRead {
    pub(super) epoch: u64,
    pub(super) to: u64,
    needs_row: bool,
}

impl Room {
    pub(super) fn new(users: usize, is_calm: bool) -> Self {
        Self {
            head: users as u64,
            rows: BTreeSet::new(),
            alarm: None,
            memberships: (1..=users as u64).map(|position| (true, position)).collect(),
            memory: None,
            shared_locks: 0,
            epoch: 0,
            delivered: vec![0; users],
            reads: vec![BTreeSet::from([0]); users],
            is_calm,
        }
    }

    fn memory(&mut self) -> &mut Delivery<usize> {
        let (rows, alarm) = (&self.rows, self.alarm);
        self.memory.get_or_insert_with(|| Delivery::load(rows.iter().copied(), alarm))
    }

    pub(super) fn crash(&mut self) {
        self.memory = None;
        self.shared_locks = 0;
        self.epoch += 1;
    }

    /// An event, and whose membership it changes, to what. Its position, if it was written.
    pub(super) fn event(
        &mut self,
        change: Option<(usize, bool)>,
        now_ms: u64,
        outcome: Outcome,
        reloads: bool,
    ) -> Option<u64> {
        let delivery = self.memory();
        let alarm = delivery.alarm_for(now_ms);
        let removals = delivery.removals_for_batch();
        if outcome.is_written() {
            self.head += 1;
            self.alarm = alarm.or(self.alarm);
            self.rows.retain(|user| !removals.contains(user));
            if let Some((user, is_joined)) = change {
                self.memberships[user] = (is_joined, self.head);
            }
        }
        let head = self.head;
        let delivery = self.memory();
        match outcome {
            Outcome::Committed => {
                if let Some(due_ms) = alarm {
                    delivery.alarm_set(due_ms);
                }
                delivery.removals_committed();
                if let Some((user, false)) = change {
                    delivery.gone(&user);
                }
                delivery.advance(head);
            }
            Outcome::Refused => delivery.removals_failed(),
            // A room may also begin anew then.
            Outcome::UnknownWritten | Outcome::UnknownLost if reloads => self.crash(),
            Outcome::UnknownWritten | Outcome::UnknownLost => {
                delivery.removals_failed();
                delivery.outcome_unknown();
            }
            Outcome::CrashBefore | Outcome::CrashAfter => self.crash(),
        }
        outcome.is_written().then_some(head)
    }

    /// A round of deliveries, if the room is in memory and has any.
    pub(super) fn round(&mut self, now_ms: u64, limit: usize) -> Vec<(usize, u64)> {
        let Some(delivery) = &mut self.memory else { return Vec::new() };
        let had_more = delivery.has_more();
        let round = delivery.next_round(now_ms, limit);
        assert_eq!(had_more, !round.is_empty());
        assert!(round.len() <= limit);
        for (user, position) in &round {
            assert!(*position <= self.head, "beyond the head");
            let before = std::mem::replace(&mut self.delivered[*user], *position);
            let has_read = self.reads[*user].range(before.min(*position)..*position).count() > 0;
            assert!(has_read || !self.is_calm, "user {user} is delivered to twice between reads");
        }
        round
    }

    pub(super) fn answered(&mut self, user: usize, position: u64, answer: Answer, now_ms: u64) {
        if let Some(delivery) = &mut self.memory {
            delivery.answered(&user, position, answer, now_ms);
        }
    }

    /// The alarm comes, for the first time or again. Whether the platform has to repeat it.
    pub(super) fn alarm(&mut self, now_ms: u64, is_again: bool, outcome: Outcome) -> bool {
        let head = self.head;
        let delivery = self.memory();
        delivery.alarm(now_ms, head);
        let due = delivery.next_due(now_ms);
        let removals = delivery.removals_for_batch();
        if due.is_none() && removals.is_empty() {
            if !is_again {
                self.alarm = None;
            }
            return false;
        }
        if outcome.is_written() {
            self.alarm = due;
            self.rows.retain(|user| !removals.contains(user));
        }
        let delivery = self.memory();
        match outcome {
            Outcome::Committed => {
                delivery.removals_committed();
                if let Some(due_ms) = due {
                    delivery.alarm_set(due_ms);
                }
            }
            _ if outcome.is_crash() => self.crash(),
            _ => delivery.removals_failed(),
        }
        outcome == Outcome::UnknownWritten
    }

    /// A client of a user reads the room. The answer goes out when a row is written.
    pub(super) fn begin_read(&mut self, user: usize) -> RowRead {
        let (is_joined, position) = self.memberships[user];
        let epoch = self.epoch;
        if !is_joined {
            return RowRead { epoch, to: position, needs_row: false };
        }
        self.reads[user].insert(self.head);
        let needs_row = self.memory().read(&user);
        self.shared_locks += usize::from(needs_row);
        RowRead { epoch, to: self.head, needs_row }
    }

    /// Writes the row of a read. Whether the answer goes out.
    pub(super) fn end_read(&mut self, user: usize, read: RowRead, outcome: Outcome) -> bool {
        if read.epoch != self.epoch {
            return false;
        }
        if !read.needs_row {
            return true;
        }
        self.shared_locks -= 1;
        if outcome.is_written() {
            self.rows.insert(user);
        }
        if outcome.is_crash() {
            self.crash();
        }
        if outcome == Outcome::Committed {
            self.memory().row_written(&user);
        }
        outcome == Outcome::Committed
    }

    pub(super) fn weak(&mut self, now_ms: u64) {
        let first = self.memory().advance_weak(now_ms);
        assert!(first.iter().all(|user| !self.memory().advance_weak_to(user, now_ms)));
    }

    /// Whether a user who waits will hear of the head, also when the room crashes here and now.
    pub(super) fn will_deliver_to(&self, user: usize) -> bool {
        let remembers = self.memory.as_ref().is_none_or(|delivery| {
            delivery.in_doubt && delivery.watching.contains_key(&user)
                || delivery.outstanding.contains(&user)
        });
        remembers && self.alarm.is_some() && self.rows.contains(&user)
    }

    /// Whether everything was delivered, to all but one user.
    pub(super) fn is_at_rest(&self, without: Option<usize>) -> bool {
        let Some(delivery) = &self.memory else { return self.alarm.is_none() };
        let is_delivered =
            |user: usize| Some(user) == without || !delivery.outstanding.contains(&user);
        let is_in_doubt = delivery.in_doubt && self.alarm.is_some();
        !is_in_doubt && (0..self.memberships.len()).all(is_delivered)
    }
}
