//! What a room delivers to the users whose membership it changes: to whom their membership has
//! still to be delivered, to whom it was, who could not be reached, and what a crash leaves.
//!
//! The store says of each membership whether it was delivered; a *mark* is that it was, and is
//! written with the next batch. So a crash loses no membership, and what is kept in memory is
//! what the store does not say: which deliveries are under way, which marks are not written yet,
//! and when the store is to be read for undelivered memberships.
//!
//! A membership is delivered right after its commit. What a crash, a failure or the time limit has
//! kept from being delivered, the alarm reads from the store in *parts*, in the order of
//! positions. A *turn* is all parts from the first undelivered membership to the last. Within a
//! turn the parts follow soon; after a turn in which somebody could not be reached the next one is
//! left for later, each time for longer. A part ends after a time, whoever hangs; the next one
//! begins with the first user that this one had no time for.
//!
//! **Invariant:** while the store has an undelivered membership, an alarm is stored, or is coming
//! at this moment.
//!
//! Why it holds:
//! - A batch that changes a membership has an alarm. If nobody knows whether it was written, the
//!   store is read when that alarm comes.
//! - The memberships that come with a given state are in a batch with an alarm, which reads them.
//! - The alarm stores the next one before anything is sent, as if all that it is about to send
//!   would fail. If nothing does, that one finds nothing due, and reads and writes nothing.
//! - What is under way has a time limit, and the alarm comes again at its end.
//! - A mark is kept until a batch with it is committed, and an alarm that is to write marks counts
//!   as failed while it has not.
//!
//! A newer membership of a user takes the place of the older one, whose answer then counts for
//! nothing: its mark would not be the newer one's. That the older one may reach the user's object
//! later is for [`crate::user_stream`] to know, which keeps the newest position.
//!
//! # What the caller keeps
//!
//! Every method is called under the room's lock, but for [`Memberships::begin`],
//! [`Memberships::delivered`], [`Memberships::failed`] and [`Memberships::ended`].
//!
//! A batch: [`Memberships::alarm_for`] and [`Memberships::marks_for_batch`] go into it. When it is
//! committed, [`Memberships::marks_committed`], and [`Memberships::changed`] of each membership in
//! it, in the same lock; when it failed, its marks go into the next one by themselves.
//!
//! What is to be delivered, then, after the lock, in its order and a bounded number side by side:
//! `begin`, send, `delivered` or `failed`; after [`ANSWER_TIMEOUT_MS`] at the latest, `ended`.
//!
//! The alarm, under the lock: [`Memberships::alarm`]; what it asks for is read and given to
//! [`Memberships::listed`]; the alarm that [`Memberships::next_due`] names is stored; then, after
//! the lock, what `listed` gave is delivered; and at last, under the lock, `next_due` once more.

use std::collections::BTreeMap;

use super::{
    ANSWER_TIMEOUT_MS, DELIVERY_GRACE_MS, RETRY_MIN_MS, alarm::StoredAlarm, retry::Failures,
};

/// Memberships of one part; the next part goes on with the rest.
pub const MEMBERSHIPS_PER_PART: usize = 500;

/// When the next part of a turn follows, in milliseconds. How far a turn has come is kept in
/// memory alone, which an idle object leaves after 10 s: a part that comes later would be the
/// first one again, and whoever is behind it would never be tried.
pub const NEXT_PART_MS: u64 = 8_000;

/// Marks that one batch writes.
pub(super) const MARKS_PER_BATCH: usize = 500;

/// What is to be read of the store: the undelivered memberships after a position, in the order of
/// their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Those after this position.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
}

/// A delivery under way.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    position: u64,
    since_ms: u64,
    /// The user was asked; else others come before them.
    has_begun: bool,
    /// Part of a turn; else right after its commit.
    is_of_turn: bool,
}

/// A turn around all undelivered memberships.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// Up to here they were tried.
    after: u64,
    /// Its last part was read.
    is_at_end: bool,
    /// Somebody could not be reached, or there may be memberships that it has passed by.
    has_failed: bool,
}

/// The deliveries of memberships of one room. `R` is what a user is known by.
#[derive(Clone, Debug)]
pub struct Memberships<R> {
    under_way: BTreeMap<R, UnderWay>,
    /// To whom which membership was delivered, which the store does not say yet.
    marks: BTreeMap<R, u64>,
    turn: Turn,
    /// Turns in a row in which somebody could not be reached.
    failures: Failures,
    /// When the store is to be read for the next part. None: all that is undelivered is under way.
    due_ms: Option<u64>,
    alarm: StoredAlarm,
}

impl<R: Ord + Clone> Memberships<R> {
    /// The memberships of a room that comes into memory: the first alarm reads which are
    /// undelivered. `alarm_at_ms`: as in [`Delivery::load`](super::Delivery::load).
    pub fn load(alarm_at_ms: Option<u64>) -> Self {
        Self {
            under_way: BTreeMap::new(),
            marks: BTreeMap::new(),
            turn: Turn::default(),
            failures: Failures::default(),
            due_ms: Some(0),
            alarm: StoredAlarm::load(alarm_at_ms),
        }
    }

    /// When an alarm must come that goes into a batch which changes memberships. None: one is
    /// stored that comes soon enough.
    pub fn alarm_for(&self, now_ms: u64) -> Option<u64> {
        self.alarm.needed(now_ms, now_ms + DELIVERY_GRACE_MS)
    }

    /// An alarm is stored for this time, in place of any other.
    pub fn alarm_set(&mut self, due_ms: u64) {
        self.alarm.set(due_ms);
    }

    /// A membership was committed, and is to be delivered right away.
    pub fn changed(&mut self, user: &R, position: u64, now_ms: u64) {
        self.marks.remove(user);
        self.queue(user, position, now_ms, false);
    }

    /// The store has this membership as undelivered, and somebody waits for it to be. Whether it is
    /// to be delivered right away: not, if this or a newer one was, or is under way.
    #[must_use = "what is under way already is not delivered twice"]
    pub fn wanted(&mut self, user: &R, position: u64, now_ms: u64) -> bool {
        let is_known = self.marks.get(user).is_some_and(|it| *it >= position)
            || self.under_way.get(user).is_some_and(|it| it.position >= position);
        if !is_known {
            self.queue(user, position, now_ms, false);
        }
        !is_known
    }

    fn queue(&mut self, user: &R, position: u64, since_ms: u64, is_of_turn: bool) {
        let delivery = UnderWay { position, since_ms, has_begun: false, is_of_turn };
        self.under_way.insert(user.clone(), delivery);
    }

    /// Nobody knows whether memberships were committed. If they were, so was their alarm.
    pub fn outcome_unknown(&mut self, now_ms: u64) {
        self.read_soon(now_ms);
    }

    /// A state that another server gave has become the current one, and with it the store has
    /// memberships that nobody has listed: the alarm of that batch reads them.
    pub fn came_with_state(&mut self, now_ms: u64) {
        self.read_soon(now_ms);
    }

    /// The store may have undelivered memberships that this turn has passed by: the next alarm
    /// reads.
    fn read_soon(&mut self, now_ms: u64) {
        self.turn.has_failed = true;
        self.due_ms = Some(self.due_ms.map_or(now_ms, |due_ms| due_ms.min(now_ms)));
    }

    /// Which memberships were delivered: to be written with the batch that is about to be
    /// committed. At most [`MARKS_PER_BATCH`].
    pub fn marks_for_batch(&self) -> Vec<(R, u64)> {
        let marks = self.marks.iter().take(MARKS_PER_BATCH);
        marks.map(|(user, position)| (user.clone(), *position)).collect()
    }

    /// The batch with these marks is committed.
    pub fn marks_committed(&mut self, marks: &[(R, u64)]) {
        for (user, position) in marks {
            if self.marks.get(user) == Some(position) {
                self.marks.remove(user);
            }
        }
    }

    /// A user is about to be asked. Whether they are to be: not, where a newer membership has
    /// taken the place of this one, or the time is up.
    #[must_use = "what has ended is not delivered"]
    pub fn begin(&mut self, user: &R, position: u64) -> bool {
        let delivery = self.under_way.get_mut(user).filter(|it| it.position == position);
        delivery.map(|it| it.has_begun = true).is_some()
    }

    /// A user has their membership.
    pub fn delivered(&mut self, user: &R, position: u64) {
        let Some(delivery) = self.take(user, position) else { return };
        self.marks.insert(user.clone(), position);
        if delivery.is_of_turn {
            self.end_turn();
        }
    }

    /// A user could not be reached, failed, or refused; or could not even be asked.
    pub fn failed(&mut self, user: &R, position: u64, now_ms: u64) {
        if let Some(delivery) = self.take(user, position) {
            self.leave(UnderWay { has_begun: true, ..delivery }, now_ms);
        }
    }

    /// These are not waited for any longer. Those that are under way still have failed, or are
    /// left for the next part if they have not begun.
    pub fn ended(&mut self, deliveries: &[(R, u64)], now_ms: u64) {
        for (user, position) in deliveries {
            if let Some(delivery) = self.take(user, *position) {
                self.leave(delivery, now_ms);
            }
        }
    }

    fn take(&mut self, user: &R, position: u64) -> Option<UnderWay> {
        self.under_way.get(user).filter(|it| it.position == position)?;
        self.under_way.remove(user)
    }

    /// What becomes of a delivery that has ended, and not well.
    fn leave(&mut self, delivery: UnderWay, now_ms: u64) {
        let UnderWay { position, has_begun, is_of_turn, .. } = delivery;
        if !is_of_turn {
            return self.read_soon(now_ms);
        }
        let turn = &mut self.turn;
        if !has_begun {
            let before = position.saturating_sub(1);
            turn.after = if turn.is_at_end { before } else { turn.after.min(before) };
            turn.is_at_end = false;
            self.due_ms = Some(now_ms + NEXT_PART_MS);
            return;
        }
        turn.has_failed = true;
        if turn.is_at_end && self.due_ms.is_none_or(|due_ms| due_ms <= now_ms) {
            // They hung for longer than they are to be left alone.
            self.due_ms = Some(now_ms + RETRY_MIN_MS);
        }
    }

    /// Ends the turn when everything was delivered.
    fn end_turn(&mut self) {
        let Turn { is_at_end, has_failed, .. } = self.turn;
        if is_at_end && !has_failed && !self.is_part_under_way() {
            self.turn = Turn::default();
            self.failures = Failures::default();
            self.due_ms = None;
        }
    }

    fn is_part_under_way(&self) -> bool {
        self.under_way.values().any(|it| it.is_of_turn)
    }

    /// The alarm has come, maybe late, maybe twice. What is to be read of the store for the next
    /// part, if it is due: [`Self::listed`] follows, or nothing if the store could not be read. The
    /// part has at most `limit` memberships, which is [`MEMBERSHIPS_PER_PART`] where the platform
    /// allows it.
    pub fn alarm(&mut self, now_ms: u64, limit: usize) -> Option<Overdue> {
        self.alarm.came();
        self.expire(now_ms);
        let is_due = self.due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        if !is_due || self.is_part_under_way() {
            return None;
        }
        if self.turn.is_at_end {
            self.failures.add();
            self.turn = Turn::default();
        }
        // Until it is known what was read.
        self.due_ms = Some(now_ms + RETRY_MIN_MS);
        Some(Overdue { after: self.turn.after, limit })
    }

    /// Whoever was to end these has died over it.
    fn expire(&mut self, now_ms: u64) {
        let is_over = |it: &UnderWay| it.since_ms + ANSWER_TIMEOUT_MS <= now_ms;
        let over = self.under_way.iter().filter(|(_, it)| is_over(it));
        let over: Vec<_> = over.map(|(user, it)| (user.clone(), it.position)).collect();
        self.ended(&over, now_ms);
    }

    /// The store has these undelivered memberships. Which of them are to be delivered: not those
    /// of which it is known already that they were, or that are under way. The alarm that
    /// [`Self::next_due`] names is stored before anything is sent.
    pub fn listed(&mut self, overdue: Overdue, rows: &[(R, u64)], now_ms: u64) -> Vec<(R, u64)> {
        let part: Vec<_> = rows.iter().filter(|row| self.is_undelivered(row)).cloned().collect();
        for (user, position) in &part {
            self.queue(user, *position, now_ms, true);
        }
        if overdue.after == 0 {
            self.turn.has_failed = false;
        }
        match rows.last().filter(|_| rows.len() >= overdue.limit) {
            Some((_, last)) => {
                self.turn.after = *last;
                self.due_ms = Some(now_ms + NEXT_PART_MS);
            }
            None => {
                self.turn.is_at_end = true;
                self.due_ms = Some(now_ms + self.failures.delay_ms());
                self.end_turn();
            }
        }
        part
    }

    fn is_undelivered(&self, (user, position): &(R, u64)) -> bool {
        let under_way = self.under_way.get(user).map(|it| it.position);
        self.marks.get(user) != Some(position) && under_way.is_none_or(|it| it < *position)
    }

    /// When the alarm must come again, besides what [`Self::marks_for_batch`] gives for the same
    /// batch. None: everything was delivered, or an alarm is stored that comes soon enough.
    pub fn next_due(&self, now_ms: u64) -> Option<u64> {
        let has_more_marks = self.marks.len() > MARKS_PER_BATCH;
        let marks = has_more_marks.then_some(now_ms + DELIVERY_GRACE_MS);
        let answers = self.answers_due(false).into_iter();
        let due_ms = answers.chain(self.part_due(now_ms)).chain(marks).min()?;
        self.alarm.needed(now_ms, due_ms)
    }

    /// Whether there is nothing to be read, to be waited for or to be written down.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        self.due_ms.is_none() && self.marks.is_empty() && self.has_nothing_under_way()
    }

    /// Whether nothing is to be waited for.
    #[cfg(test)]
    pub(super) fn has_nothing_under_way(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Until when the first of the deliveries that are under way is waited for.
    fn answers_due(&self, are_of_turn: bool) -> Option<u64> {
        let under_way = self.under_way.values().filter(|it| it.is_of_turn == are_of_turn);
        under_way.map(|it| it.since_ms + ANSWER_TIMEOUT_MS).min()
    }

    /// When the next part is to be read. One that is under way may last until after it was due.
    fn part_due(&self, now_ms: u64) -> Option<u64> {
        let due_ms = self.due_ms?;
        Some(match self.answers_due(true) {
            _ if due_ms > now_ms => due_ms,
            Some(answers_ms) => answers_ms,
            None => now_ms + NEXT_PART_MS,
        })
    }
}
