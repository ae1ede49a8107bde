//! A room of the model: what it stores, what it remembers, and how it uses [`RoomDeliveries`].

use std::collections::BTreeSet;

use super::{super::super::*, dice::Outcome};

/// Memberships that one alarm reads.
const PART: usize = 2;
/// Memberships that are delivered side by side.
const AT_ONCE: usize = 2;

/// A membership, as it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) is_joined: bool,
    /// Where in the room it was set.
    pub(super) position: u64,
    /// Up to where it was delivered.
    pub(super) delivered: u64,
}

/// A membership that a user is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) user: usize,
    pub(super) is_joined: bool,
    pub(super) position: u64,
}

/// Memberships that are being delivered. A crash takes whoever does it.
#[derive(Debug)]
struct Round {
    all: Vec<(usize, u64)>,
    /// Those whose turn has not come.
    waiting: Vec<Told>,
    sent: Vec<(usize, u64)>,
    until_ms: u64,
    /// An alarm delivers them, and sets the next one at the end.
    is_of_alarm: bool,
}

#[derive(Debug)]
pub(super) struct Room {
    /// Stored: the newest position; whoever has a row; when the alarm comes.
    pub(super) head: u64,
    pub(super) rows: BTreeSet<usize>,
    pub(super) alarm: Option<u64>,
    /// Stored: of each user.
    pub(super) memberships: Vec<Member>,
    memory: Option<RoomDeliveries<usize>>,
    rounds: Vec<Round>,
    /// Reads that hold the lock together: no event and no alarm comes between.
    pub(super) shared_locks: usize,
    /// How often the memory was lost: a read that began before fails.
    pub(super) epoch: u64,
    /// The last position that was delivered to each user, and where they have read the room.
    delivered: Vec<u64>,
    reads: Vec<BTreeSet<u64>>,
    /// The last membership that each user was told.
    told: Vec<u64>,
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
    /// Everybody is joined, and nobody was told. The alarm is due.
    pub(super) fn new(users: usize, is_calm: bool) -> Self {
        let joined = |position| Member { is_joined: true, position, delivered: 0 };
        Self {
            head: users as u64,
            rows: BTreeSet::new(),
            alarm: Some(0),
            memberships: (1..=users as u64).map(joined).collect(),
            memory: None,
            rounds: Vec::new(),
            shared_locks: 0,
            epoch: 0,
            delivered: vec![0; users],
            reads: vec![BTreeSet::from([0]); users],
            told: vec![0; users],
            is_calm,
        }
    }

    fn memory(&mut self) -> &mut RoomDeliveries<usize> {
        let (rows, alarm) = (&self.rows, self.alarm);
        self.memory.get_or_insert_with(|| RoomDeliveries::load(rows.iter().copied(), alarm))
    }

    pub(super) fn crash(&mut self) {
        self.memory = None;
        self.rounds.clear();
        self.shared_locks = 0;
        self.epoch += 1;
    }

    /// What is written of a batch, with the alarm: it can be brought forward, never put off.
    fn write(&mut self, batch: &Batch<usize>, alarm: Option<u64>) {
        self.alarm = self.alarm.into_iter().chain(alarm).min();
        self.rows.retain(|user| !batch.removals.contains(user));
        for (user, position) in &batch.marks {
            let member = &mut self.memberships[*user];
            if member.position == *position {
                let is_news = member.delivered < *position;
                assert!(is_news || !self.is_calm, "user {user} is marked twice");
                member.delivered = *position;
            }
        }
    }

    /// An event, and whose membership it changes, to what.
    pub(super) fn event(
        &mut self,
        change: Option<(usize, bool)>,
        now_ms: u64,
        outcome: Outcome,
        reloads: bool,
    ) {
        let delivery = self.memory();
        let alarm = delivery.alarm_for(now_ms, change.is_some());
        let batch = delivery.batch();
        if outcome.is_written() {
            self.head += 1;
            self.write(&batch, alarm);
            if let Some((user, is_joined)) = change {
                self.memberships[user] = Member { is_joined, position: self.head, delivered: 0 };
            }
        }
        let head = self.head;
        let delivery = self.memory();
        match outcome {
            Outcome::Committed => {
                delivery.committed(&batch, alarm);
                if let Some((user, is_joined)) = change {
                    delivery.memberships.changed(&user, head, now_ms);
                    if !is_joined {
                        delivery.activity.gone(&user);
                    }
                }
                delivery.activity.advance(head);
                if let Some((user, _)) = change {
                    self.begin_round(&[(user, head)], now_ms, false);
                }
            }
            Outcome::Refused => delivery.batch_failed(),
            // A room may also begin anew then.
            Outcome::UnknownWritten | Outcome::UnknownLost if reloads => self.crash(),
            Outcome::UnknownWritten | Outcome::UnknownLost => {
                delivery.batch_failed();
                delivery.outcome_unknown(now_ms);
            }
            Outcome::CrashBefore | Outcome::CrashAfter => self.crash(),
        }
    }

    fn begin_round(&mut self, part: &[(usize, u64)], now_ms: u64, is_of_alarm: bool) {
        let told = |(user, position): &(usize, u64)| {
            let member = self.memberships[*user];
            assert_eq!(member.position, *position, "what is delivered is what is stored");
            Told { user: *user, is_joined: member.is_joined, position: *position }
        };
        self.rounds.push(Round {
            all: part.to_vec(),
            waiting: part.iter().map(told).collect(),
            sent: Vec::new(),
            until_ms: now_ms + ANSWER_TIMEOUT_MS,
            is_of_alarm,
        });
    }

    /// How many rounds deliver memberships.
    pub(super) fn membership_rounds(&self) -> usize {
        self.rounds.len()
    }

    /// Whether a user is to be told of their membership without anybody waiting for an answer.
    pub(super) fn has_memberships_to_send(&self) -> bool {
        let has_room = |it: &Round| !it.waiting.is_empty() && it.sent.len() < AT_ONCE;
        self.rounds.iter().any(|it| has_room(it) || it.sent.is_empty())
    }

    /// One step of a round: whoever is to be told, or its end.
    pub(super) fn membership_round(
        &mut self,
        number: usize,
        now_ms: u64,
        outcome: Outcome,
    ) -> Option<Told> {
        let round = &mut self.rounds[number];
        let is_over = now_ms >= round.until_ms;
        if !is_over && !round.waiting.is_empty() && round.sent.len() < AT_ONCE {
            let told = round.waiting.remove(0);
            let Told { user, position, .. } = told;
            let memberships = &mut self.memory.as_mut().unwrap().memberships;
            if !memberships.begin(&user, position) {
                return None;
            }
            round.sent.push((user, position));
            let before = std::mem::replace(&mut self.told[user], position);
            assert!(before < position || !self.is_calm, "user {user} is told twice of {position}");
            return Some(told);
        }
        if is_over || (round.waiting.is_empty() && round.sent.is_empty()) {
            let round = self.rounds.swap_remove(number);
            self.memory().memberships.ended(&round.all, now_ms);
            if round.is_of_alarm {
                self.end_alarm(now_ms, outcome);
            }
        }
        None
    }

    /// Whoever delivered goes away in the middle.
    pub(super) fn drop_round(&mut self, number: usize) {
        if number < self.rounds.len() {
            self.rounds.swap_remove(number);
        }
    }

    /// A user has answered what they were told, or could not be reached.
    pub(super) fn membership_answered(
        &mut self,
        (user, position): (usize, u64),
        is_delivered: bool,
        now_ms: u64,
    ) {
        let Some(delivery) = &mut self.memory else { return };
        match is_delivered {
            true => delivery.memberships.delivered(&user, position),
            false => delivery.memberships.failed(&user, position, now_ms),
        }
        for round in &mut self.rounds {
            round.sent.retain(|it| *it != (user, position));
        }
    }

    /// A round of deliveries, if the room is in memory and has any.
    pub(super) fn round(&mut self, now_ms: u64, limit: usize) -> Vec<(usize, u64)> {
        let Some(delivery) = &mut self.memory else { return Vec::new() };
        let had_more = delivery.activity.has_more();
        let round = delivery.activity.next_round(now_ms, limit);
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
            delivery.activity.answered(&user, position, answer, now_ms);
        }
    }

    /// The alarm comes, for the first time or again; the store may not be readable. Whether the
    /// platform has to repeat it.
    pub(super) fn alarm(
        &mut self,
        now_ms: u64,
        is_again: bool,
        is_readable: bool,
        outcome: Outcome,
    ) -> bool {
        let head = self.head;
        let overdue = self.memory().alarm(now_ms, head, PART);
        let mut part = Vec::new();
        if let Some(overdue) = overdue.filter(|_| is_readable) {
            let rows = self.undelivered(overdue.after, overdue.limit);
            part = self.memory().memberships.listed(overdue, &rows, now_ms);
            assert!(part.len() <= PART);
        }
        let due = self.memory().next_due(now_ms);
        let batch = self.memory().batch();
        if due.is_none() && batch.is_empty() {
            assert_eq!(part, [], "an alarm is stored before anything is sent");
            if !is_again {
                self.alarm = None;
            }
            return false;
        }
        if outcome.is_written() {
            self.alarm = self.alarm.filter(|_| is_again);
            self.write(&batch, due);
        }
        self.batch_ended(&batch, due, outcome);
        if outcome == Outcome::Committed {
            self.begin_round(&part, now_ms, true);
        }
        outcome == Outcome::UnknownWritten
    }

    /// What an alarm has delivered is written down, and when it comes again.
    fn end_alarm(&mut self, now_ms: u64, outcome: Outcome) {
        let due = self.memory().next_due(now_ms);
        let batch = self.memory().batch();
        if due.is_none() && batch.is_empty() {
            return;
        }
        if outcome.is_written() {
            self.write(&batch, due);
        }
        self.batch_ended(&batch, due, outcome);
    }

    fn batch_ended(&mut self, batch: &Batch<usize>, due: Option<u64>, outcome: Outcome) {
        match outcome {
            Outcome::Committed => self.memory().committed(batch, due),
            _ if outcome.is_crash() => self.crash(),
            _ => self.memory().batch_failed(),
        }
    }

    /// The undelivered memberships after a position.
    fn undelivered(&self, after: u64, limit: usize) -> Vec<(usize, u64)> {
        let members = self.memberships.iter().enumerate();
        let rows = members.filter(|(_, it)| it.delivered < it.position && it.position > after);
        let mut rows: Vec<_> = rows.map(|(user, it)| (user, it.position)).collect();
        rows.sort_unstable_by_key(|(_, position)| *position);
        rows.truncate(limit);
        rows
    }

    /// A client of a user reads the room. The answer goes out when a row is written.
    pub(super) fn begin_read(&mut self, user: usize) -> RowRead {
        let Member { is_joined, position, .. } = self.memberships[user];
        let epoch = self.epoch;
        if !is_joined {
            return RowRead { epoch, to: position, needs_row: false };
        }
        self.reads[user].insert(self.head);
        let needs_row = self.memory().activity.read(&user);
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
            self.memory().activity.row_written(&user);
        }
        outcome == Outcome::Committed
    }

    pub(super) fn weak(&mut self, now_ms: u64) {
        let activity = &mut self.memory().activity;
        let first = activity.advance_weak(now_ms, WEAK_WINDOW_MS, |_| true);
        assert!(first.iter().all(|user| !activity.advance_weak_to(user, now_ms)));
    }

    /// Whether a user who waits will hear of the head, also when the room crashes here and now.
    pub(super) fn will_deliver_to(&self, user: usize) -> bool {
        let activity = self.memory.as_ref().map(|delivery| &delivery.activity);
        let remembers = activity.is_none_or(|delivery| {
            delivery.in_doubt && delivery.watching.contains_key(&user)
                || delivery.outstanding.contains(&user)
        });
        remembers && self.alarm.is_some() && self.rows.contains(&user)
    }

    /// Whether everything was delivered, to all but one user.
    pub(super) fn is_at_rest(&self, without: Option<usize>) -> bool {
        let is_written =
            |(user, it): (usize, &Member)| Some(user) == without || it.delivered == it.position;
        if !self.memberships.iter().enumerate().all(is_written) {
            return false;
        }
        let Some(delivery) = &self.memory else { return self.alarm.is_none() };
        let activity = &delivery.activity;
        let is_delivered =
            |user: usize| Some(user) == without || !activity.outstanding.contains(&user);
        let is_in_doubt = activity.in_doubt && self.alarm.is_some();
        !is_in_doubt && (0..self.memberships.len()).all(is_delivered)
    }

    /// Whether no membership is waited for. Of a batch that was not written, though nobody knows
    /// that, something is left to be looked for when an alarm comes.
    pub(super) fn memberships_are_at_rest(&self) -> bool {
        self.memory.as_ref().is_none_or(|it| it.memberships.has_nothing_under_way())
    }

    /// Somebody whose membership is undelivered, though no alarm will deliver it.
    pub(super) fn is_forgotten(&self) -> Option<usize> {
        let is_undelivered = |it: &Member| it.delivered < it.position;
        self.memberships.iter().position(is_undelivered).filter(|_| self.alarm.is_none())
    }
}
