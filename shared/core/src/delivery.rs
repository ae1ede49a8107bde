//! What a room delivers to those who read it: who must hear that something waits, who has heard,
//! who could not be reached, and what a crash leaves behind. Plain data in, plain data out: the
//! `Room` object stores rows, sets alarms and sends what this module names.
//!
//! There are two kinds of deliveries: of activity ([`Delivery`], here), and of memberships to
//! those whose they are ([`Memberships`]). They share batches and one alarm ([`RoomDeliveries`]).
//!
//! A room does not send every event to everybody. It delivers to a reader *once* that something
//! waits up to a position, and again only after that reader has read the room. A reader is
//! whoever reads rooms: a local user, another server, an application service, a push gateway.
//! What a reader makes of a delivery is [`crate::user_stream`]'s half of the protocol.
//!
//! | a reader | means | kept |
//! |---|---|---|
//! | has a row | may have read everything, since the row was written | in the store |
//! | watches | has read everything; the next event is to be delivered | in memory |
//! | has a delivery outstanding | queued, sent without an answer yet, or failed | in memory |
//! | neither | was delivered to and has not read since | in memory |
//!
//! **Invariant:** whoever has read the room up to a position below its head has been delivered to
//! since (the reader's own store knows that something waits), or has a delivery outstanding, or
//! deliveries are in doubt; in the latter two cases an alarm is pending. No reader is delivered to
//! twice between two reads, save after a crash, an unknown outcome or a failed delivery.
//!
//! Why it holds:
//! - Rows are a *superset* of the readers who may have read everything: a row is written before
//!   the answer of a read goes out, and removed only after the reader has answered
//!   [`Answer::Unread`] to an event that is newer than every read of theirs. So after a crash all
//!   rows count as watching, and a row that stands there needlessly costs one delivery.
//! - An event takes those who watch under the room's lock, at a position that nobody has read yet.
//!   From that moment their deliveries are outstanding, whether or not anything was sent: nothing
//!   in between can find that everything is delivered.
//! - A read never ends an outstanding delivery, because the read may get lost on its way to the
//!   reader's store, while other clients of the same reader wait.
//! - Only an event makes a reader stop watching. A repetition (after a failure, or when deliveries
//!   are in doubt) does not: the reader may have read that very position already.
//!
//! # What the caller keeps
//!
//! Every method is called under the room's lock, [`Delivery::read`] and [`Delivery::row_written`]
//! under a shared one, and the lock is held while the store writes what a call asked for. Only
//! [`Delivery::next_round`], [`Delivery::answered`] and the sending between them need no lock.
//!
//! A read, before its answer goes out: `read`; if it asks for a row, write it, then `row_written`.
//!
//! An event: `alarm_for` and `removals_for_batch` go into its batch. When that is committed,
//! `alarm_set`, `removals_committed` and `advance`, in the same lock; when its outcome is unknown,
//! `outcome_unknown` and `removals_failed`; when it was refused, `removals_failed` alone. Then,
//! after the lock, `next_round`, send, `answered`, while `has_more` and the platform's bounds allow
//! it.
//!
//! The alarm, under the lock: `alarm`; the alarm that `next_due` names is stored *before* anything
//! is sent, then `alarm_set`. From then on nothing depends on the platform repeating an alarm. Then
//! rounds as above; what they leave is due with that next alarm. Rows to remove are removed by the
//! alarm, too, because a room with one event an hour has left memory before the next batch. An
//! alarm that finds none of them and nothing due writes nothing. The failure of a reader is never
//! the alarm's failure.

use std::collections::{BTreeMap, BTreeSet};

mod alarm;
mod memberships;
mod outstanding;
mod retry;
mod room;

use self::{alarm::StoredAlarm, outstanding::Outstanding};
pub use self::{
    memberships::{MEMBERSHIPS_PER_PART, Memberships, NEXT_PART_MS, Overdue},
    room::{Batch, RoomDeliveries},
};

#[cfg(test)]
mod tests;

/// How long after an event the alarm comes that repeats what a crash or a failure has kept from
/// being delivered, in milliseconds. An idle object leaves memory after 10 s: an alarm that comes
/// earlier finds that everything was delivered, and has nothing to read or to write.
pub const DELIVERY_GRACE_MS: u64 = 8_000;

/// Readers that one round delivers to; more wait for the next round.
pub const DELIVERIES_PER_ROUND: usize = 500;

/// How long an answer may take before its reader counts as unreachable, in milliseconds.
pub const ANSWER_TIMEOUT_MS: u64 = 30_000;

/// How long a reader who cannot be reached is left alone at first, in milliseconds. The time
/// doubles with each failure.
pub const RETRY_MIN_MS: u64 = 10_000;

/// How long a reader who cannot be reached is left alone at most, in milliseconds. A reader is
/// never given up.
pub const RETRY_MAX_MS: u64 = 15 * 60 * 1_000;

/// How long a user who was delivered weak news is spared more of it unless they read, in
/// milliseconds.
pub const WEAK_WINDOW_MS: u64 = 1_500;

/// How long another server that was delivered weak news is spared more of it unless it reads, in
/// milliseconds: it does so when it can.
pub const SERVER_WEAK_WINDOW_MS: u64 = 60_000;

/// Rows of readers that one batch removes.
pub const REMOVALS_PER_BATCH: usize = 500;

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reader has it: their store knows of that position.
    Noted,
    /// The room was unread for them already, or they are not in it: they wrote nothing.
    Unread,
    /// The reader could not be reached, failed, or answered something else.
    Unreachable,
}

/// What is known of a row that nobody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    /// It is stored, and the next batch removes it.
    Queued,
    /// A batch that is under way removes it.
    UnderWay,
    /// A batch failed that was to remove it: it may be stored or not.
    Doubtful,
}

/// The deliveries of activity of one room. `R` is what a reader is known by.
#[derive(Clone, Debug)]
pub struct Delivery<R> {
    /// Who has a row that is needed.
    rows: BTreeSet<R>,
    unneeded_rows: BTreeMap<R, Removal>,
    /// Who watches, and when they were last delivered weak news since they read.
    watching: BTreeMap<R, Option<u64>>,
    outstanding: Outstanding<R>,
    /// Whether those who watch may have missed an event up to the head: the alarm repeats it.
    in_doubt: bool,
    alarm: StoredAlarm,
}

impl<R: Ord + Clone> Default for Delivery<R> {
    fn default() -> Self {
        Self::load([], None)
    }
}

impl<R: Ord + Clone> Delivery<R> {
    /// The deliveries of a room that comes into memory: the readers with a row, and when the
    /// alarm is due if one is stored and has not come, or is coming at this moment
    /// ([`Self::alarm`] follows). However far away it is: it may wait for an answer, or for a
    /// reader who could not be reached. An alarm that also has other purposes counts, too.
    pub fn load(rows: impl IntoIterator<Item = R>, alarm_at_ms: Option<u64>) -> Self {
        let rows: BTreeSet<_> = rows.into_iter().collect();
        Self {
            watching: rows.iter().map(|reader| (reader.clone(), None)).collect(),
            rows,
            unneeded_rows: BTreeMap::new(),
            outstanding: Outstanding::default(),
            // An alarm is pending from the commit of an event until all has been delivered.
            in_doubt: alarm_at_ms.is_some(),
            alarm: StoredAlarm::load(alarm_at_ms),
        }
    }

    /// A reader was given everything up to the head: they watch. Whether a row must be written for
    /// them before the answer goes out; [`Self::row_written`] follows.
    #[must_use = "a reader without a row is forgotten by a crash"]
    pub fn read(&mut self, reader: &R) -> bool {
        match self.watching.get_mut(reader) {
            Some(weak_at_ms) => *weak_at_ms = None,
            None => _ = self.watching.insert(reader.clone(), None),
        }
        // A row whose removal is under way or in doubt counts as missing.
        if self.unneeded_rows.remove(reader) == Some(Removal::Queued) {
            self.rows.insert(reader.clone());
        }
        !self.rows.contains(reader)
    }

    /// A reader was given everything up to the head, and has a row: [`Self::read`] of somebody
    /// whose row was written in another way.
    pub fn reads_with_row(&mut self, reader: &R) {
        if self.read(reader) {
            self.row_written(reader);
        }
    }

    /// The row of a reader is stored.
    pub fn row_written(&mut self, reader: &R) {
        self.rows.insert(reader.clone());
    }

    /// A reader has left the room, or may not read it any more: called before the
    /// [`Self::advance`] of the event that says so.
    pub fn gone(&mut self, reader: &R) {
        self.watching.remove(reader);
        self.outstanding.remove(reader);
        self.remove_row(reader);
    }

    fn remove_row(&mut self, reader: &R) {
        if let Some(reader) = self.rows.take(reader) {
            self.unneeded_rows.insert(reader, Removal::Queued);
        }
    }

    /// Rows to remove in the batch that is about to be committed, which need not be the batch of
    /// an event. At most [`REMOVALS_PER_BATCH`].
    pub fn removals_for_batch(&mut self) -> Vec<R> {
        let rows = self.unneeded_rows.iter_mut().take(REMOVALS_PER_BATCH);
        rows.map(|(reader, removal)| {
            *removal = Removal::UnderWay;
            reader.clone()
        })
        .collect()
    }

    /// The batch with the removals is committed.
    pub fn removals_committed(&mut self) {
        self.unneeded_rows.retain(|_, removal| *removal != Removal::UnderWay);
    }

    /// The batch with the removals failed, or nobody knows: another batch removes these rows.
    pub fn removals_failed(&mut self) {
        for removal in self.unneeded_rows.values_mut() {
            if *removal == Removal::UnderWay {
                *removal = Removal::Doubtful;
            }
        }
    }

    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        !self.watching.is_empty()
    }

    /// When an alarm must come that goes into the batch of an event. None: nobody has to hear of
    /// the event, or an alarm that comes soon enough is stored.
    pub fn alarm_for(&self, now_ms: u64) -> Option<u64> {
        let concerns_somebody = self.is_watched() || !self.outstanding.is_empty();
        let due_ms = concerns_somebody.then_some(now_ms + DELIVERY_GRACE_MS)?;
        self.alarm.needed(now_ms, due_ms)
    }

    /// An alarm is stored for this time, in place of any other.
    pub fn alarm_set(&mut self, due_ms: u64) {
        self.alarm.set(due_ms);
    }

    /// An event was committed at a position that nobody has read yet: whoever watches is to be
    /// delivered to, and watches again when they have read.
    pub fn advance(&mut self, position: u64) {
        let watching = std::mem::take(&mut self.watching);
        for reader in self.outstanding.turned(watching.into_keys().collect()) {
            self.outstanding.queue(reader, position);
        }
        // Whoever may have missed an earlier event hears of this one.
        self.in_doubt = false;
    }

    /// Nobody knows whether the batch of an event was committed. If it was, so was its alarm,
    /// which repeats the delivery to everybody whom the event concerns.
    pub fn outcome_unknown(&mut self) {
        self.in_doubt = true;
    }

    /// Whom to deliver to next, and the position up to which something waits: at most `limit`,
    /// which is [`DELIVERIES_PER_ROUND`] where the platform allows it. Each is to be answered.
    pub fn next_round(&mut self, now_ms: u64, limit: usize) -> Vec<(R, u64)> {
        self.outstanding.next_round(now_ms, limit)
    }

    /// Whether another round has somebody to deliver to.
    pub fn has_more(&self) -> bool {
        self.outstanding.has_queued()
    }

    /// A reader has answered a delivery, or could not be reached. Answers may come late, twice, or
    /// from before a crash.
    pub fn answered(&mut self, reader: &R, position: u64, answer: Answer, now_ms: u64) {
        let has_ended = self.outstanding.answered(reader, position, answer, now_ms);
        // Whoever has read since needs the row again.
        if has_ended && answer == Answer::Unread && !self.watching.contains_key(reader) {
            self.remove_row(reader);
        }
    }

    /// The alarm has come, maybe late, maybe twice; `head` is the room's newest position. Queues
    /// what is due: failed deliveries whose time has come, and the head for everybody who watches
    /// when deliveries are in doubt. An answer that took too long counts as a failure.
    pub fn alarm(&mut self, now_ms: u64, head: u64) {
        self.alarm.came();
        if std::mem::take(&mut self.in_doubt) {
            // They go on watching: they may have read the head already.
            let watching = self.watching.keys().cloned().collect();
            for reader in self.outstanding.turned(watching) {
                self.outstanding.queue(reader, head);
            }
        }
        self.outstanding.retry(now_ms);
    }

    /// When the alarm must come again. None: everything was delivered, or an alarm is stored that
    /// comes soon enough.
    pub fn next_due(&self, now_ms: u64) -> Option<u64> {
        let in_doubt = self.in_doubt.then_some(now_ms + DELIVERY_GRACE_MS);
        let due_ms = self.outstanding.next_due(now_ms).into_iter().chain(in_doubt).min();
        self.alarm.needed(now_ms, due_ms?)
    }

    /// Whether weak news was for a reader who watches, and who has not read since.
    pub fn is_told_weak(&self, reader: &R) -> bool {
        self.watching.get(reader).is_some_and(Option::is_some)
    }

    /// Whether some reader has read everything, or may have.
    pub fn has_reader(&self, is_meant: impl Fn(&R) -> bool) -> bool {
        self.rows.iter().chain(self.watching.keys()).any(is_meant)
    }

    /// Readers who have read everything, or may have not long ago: those whom it concerns what
    /// happens beside the room.
    pub fn readers(&self) -> impl Iterator<Item = &R> {
        let others = self.watching.keys().filter(|it| !self.rows.contains(it));
        self.rows.iter().chain(others)
    }

    /// Something changed that nobody has to hear of and that has no position: a receipt, who is
    /// typing. Whom of some readers to deliver the weak news to: those who watch, unless they were
    /// delivered some within `window_ms` and have not read since (they will see all of it when they
    /// do). At most [`DELIVERIES_PER_ROUND`]; beyond that, others come first the next time.
    ///
    /// They go on watching. Weak news is not answered, not repeated, sets no alarm and is lost in
    /// a crash.
    pub fn advance_weak(
        &mut self,
        now_ms: u64,
        window_ms: u64,
        is_meant: impl Fn(&R) -> bool,
    ) -> Vec<R> {
        let watching = self.watching.iter().filter(|(reader, _)| is_meant(reader));
        let unspared =
            watching.filter(|(_, weak_at_ms)| !is_spared(**weak_at_ms, now_ms, window_ms));
        let unspared = unspared.map(|(reader, _)| reader.clone()).collect();
        let mut round = self.outstanding.turned(unspared);
        round.truncate(DELIVERIES_PER_ROUND);
        for reader in &round {
            self.watching.insert(reader.clone(), Some(now_ms));
        }
        round
    }

    /// As [`Self::advance_weak`], for what concerns one reader alone: a private receipt. Whether
    /// they are to be delivered to.
    pub fn advance_weak_to(&mut self, reader: &R, now_ms: u64) -> bool {
        let Some(weak_at_ms) = self.watching.get_mut(reader) else { return false };
        if is_spared(*weak_at_ms, now_ms, WEAK_WINDOW_MS) {
            return false;
        }
        *weak_at_ms = Some(now_ms);
        true
    }
}

fn is_spared(weak_at_ms: Option<u64>, now_ms: u64, window_ms: u64) -> bool {
    weak_at_ms.is_some_and(|at_ms| now_ms < at_ms + window_ms)
}
