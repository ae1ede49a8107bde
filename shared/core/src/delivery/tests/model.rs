//! A model of rooms, users and their clients, over a network that loses, repeats, delays and
//! reorders messages, run through random interleavings with a crash at any step.
//!
//! A room and a user keep what they have stored and the alarms that are set; a crash takes their
//! memory. A batch is atomic, and its outcome may be unknown. Alarms come late and come twice.
//! Users cannot be reached or do not answer for a while, leave and join again. Rounds and parts are
//! shorter than what is to be delivered, and whoever delivers may go away in the middle. What must
//! hold:
//!
//! - no client is ever given a room with a gap;
//! - no client waits while its room has more than it has read, unless the room will deliver that,
//!   also when it crashes at that very moment (no lost wake-up);
//! - when the network heals, every client that is joined comes to have every event, without ever
//!   asking before it is woken; also while one user still cannot be reached;
//! - a delivery to a room that is unread already writes nothing;
//! - while the store of a room has a membership that was not delivered, an alarm is stored; and
//!   none counts as delivered that its user does not know of;
//! - when the network heals, every user comes to know their newest membership, and the store that
//!   they do, also while one user still cannot be reached or hangs;
//! - in a calm world, without crashes and losses, nobody is delivered to twice between two reads,
//!   or told twice of a membership, and what is written down is written once.
//!
//! A seed that fails names itself; `SKERRY_SEED=123` replays it, `SKERRY_SEEDS=0..100000` runs
//! many, on all processors. Without them 300 seeds are run; if `SKERRY_SEED_BASE` is set (to any
//! text: the name of a commit), which ones depends on it, so that each commit tries others.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use self::{
    dice::{Dice, Outcome},
    room::{Room, RowRead, Told},
    user::{Changes, User},
};
use super::*;
use crate::sync_token::SyncToken;

mod checks;
mod dice;
mod room;
#[path = "../../../tests/simulation/seeds.rs"]
mod seeds;
mod user;

const DEFAULT_SEEDS: u64 = 300;
const STEPS: usize = 600;
const ROOMS: usize = 2;
const USERS: usize = 4;
const DEVICES_PER_USER: usize = 2;
const ROUND: usize = 2;
/// How much less often something goes wrong in a mild world.
const MILDER: usize = 6;

/// A message under way.
#[derive(Clone, Copy, Debug)]
enum Mail {
    Delivery { room: usize, user: usize, position: u64 },
    Answer { room: usize, user: usize, position: u64, answer: Answer },
    Membership { room: usize, told: Told },
    MembershipAnswer { room: usize, user: usize, position: u64, is_delivered: bool },
}

/// A `/sync` under way.
#[derive(Debug)]
struct Request {
    changes: Changes,
    /// How far the rooms were read, in order.
    to: Vec<u64>,
    /// The room that is being read.
    row: Option<RowRead>,
}

#[derive(Debug, Default)]
struct Device {
    token: Option<SyncToken>,
    /// How far it has every event of each room.
    seen: [u64; ROOMS],
    request: Option<Request>,
}

#[derive(Debug)]
struct World {
    dice: Dice,
    is_calm: bool,
    /// Not much goes wrong: most is over before the next misfortune.
    is_mild: bool,
    /// No client reads before the end.
    are_asleep: bool,
    now_ms: u64,
    rooms: Vec<Room>,
    users: Vec<User>,
    devices: Vec<Device>,
    mail: Vec<Mail>,
    /// Rooms whose alarm the platform repeats.
    alarms_again: Vec<usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let is_calm = dice.once_in(4);
        let (is_mild, are_asleep) = (dice.once_in(2), dice.once_in(4));
        Self {
            dice,
            is_calm,
            is_mild,
            are_asleep,
            now_ms: 1_000_000,
            rooms: (0..ROOMS).map(|_| Room::new(USERS, is_calm)).collect(),
            users: (0..USERS).map(|_| User::new(ROOMS)).collect(),
            devices: (0..USERS * DEVICES_PER_USER).map(|_| Device::default()).collect(),
            mail: Vec::new(),
            alarms_again: Vec::new(),
        }
    }

    fn outcome(&mut self) -> Outcome {
        let is_spared = self.is_calm || (self.is_mild && !self.dice.once_in(MILDER));
        self.dice.outcome(is_spared)
    }

    /// Something that happens in a world that is not calm.
    fn misfortune(&mut self, once_in: usize) -> bool {
        let once_in = if self.is_mild { once_in * MILDER } else { once_in };
        !self.is_calm && self.dice.once_in(once_in)
    }

    fn step(&mut self) {
        let room = self.dice.below(ROOMS);
        match self.dice.below(22) {
            20..=21 => self.step_memberships(room),
            0..=1 => self.step_event(room),
            2..=3 => self.step_round(room),
            4..=6 => self.step_mail(),
            7..=8 => self.step_time(),
            9 => self.step_alarm(room),
            10 if self.misfortune(1) => self.step_misfortune(room),
            11 if self.dice.once_in(4) => {
                let now_ms = self.now_ms;
                self.rooms[room].weak(now_ms);
            }
            _ if self.are_asleep => {}
            _ => {
                let number = self.dice.below(self.devices.len());
                self.step_device(number);
            }
        }
    }

    fn step_event(&mut self, room: usize) {
        if self.rooms[room].shared_locks > 0 {
            return;
        }
        let user = self.dice.below(USERS);
        let was_joined = self.rooms[room].memberships[user].is_joined;
        // A new profile is a membership, too. Who left comes back soon.
        let is_joined = !was_joined || self.dice.once_in(2);
        let changes = self.dice.once_in(if was_joined { 8 } else { 3 });
        let change = changes.then_some((user, is_joined));
        let (outcome, reloads) = (self.outcome(), self.dice.once_in(2));
        self.rooms[room].event(change, self.now_ms, outcome, reloads);
    }

    /// One step of one of the rounds in which a room delivers memberships.
    fn step_memberships(&mut self, room: usize) {
        let rounds = self.rooms[room].membership_rounds();
        // The end of an alarm commits.
        if rounds == 0 || self.rooms[room].shared_locks > 0 {
            return;
        }
        let number = self.dice.below(rounds);
        if self.misfortune(20) {
            return self.rooms[room].drop_round(number);
        }
        let outcome = self.outcome();
        let told = self.rooms[room].membership_round(number, self.now_ms, outcome);
        self.mail.extend(told.map(|told| Mail::Membership { room, told }));
    }

    fn step_round(&mut self, room: usize) {
        for (user, position) in self.rooms[room].round(self.now_ms, ROUND) {
            self.mail.push(Mail::Delivery { room, user, position });
        }
    }

    fn step_time(&mut self) {
        // In a calm world every answer comes in time.
        let is_quiet =
            self.mail.is_empty() && !self.rooms.iter().any(Room::has_memberships_to_send);
        let most_ms = match (self.is_calm, is_quiet) {
            (true, false) => 100,
            (true, true) => 20_000,
            (false, _) if self.dice.once_in(10) => 100_000,
            (false, _) => 4_000,
        };
        self.now_ms += self.dice.below(most_ms) as u64;
    }

    fn step_alarm(&mut self, room: usize) {
        if self.rooms[room].shared_locks > 0 {
            return;
        }
        let again = self.alarms_again.iter().position(|it| *it == room);
        let is_due = self.rooms[room].alarm.is_some_and(|due_ms| due_ms <= self.now_ms);
        if !is_due && again.is_none() {
            return;
        }
        if let Some(number) = again {
            self.alarms_again.swap_remove(number);
        }
        let outcome = self.outcome();
        let is_readable = !self.misfortune(10);
        let repeats = self.rooms[room].alarm(self.now_ms, !is_due, is_readable, outcome);
        if repeats || self.misfortune(5) {
            self.alarms_again.push(room);
        }
    }

    fn step_misfortune(&mut self, room: usize) {
        let user = self.dice.below(USERS);
        match self.dice.below(6) {
            0 | 1 => self.rooms[room].crash(),
            2 | 3 => self.users[user].crash(),
            4 => self.users[user].is_unreachable = self.dice.once_in(2),
            _ => self.users[user].is_hanging = self.dice.once_in(2),
        }
    }

    fn step_mail(&mut self) {
        if self.mail.is_empty() {
            return;
        }
        let number = self.dice.below(self.mail.len());
        let mail = self.mail[number];
        if !self.misfortune(6) {
            self.mail.swap_remove(number);
        }
        match mail {
            Mail::Delivery { room, user, position } => {
                if self.misfortune(12) {
                    return;
                }
                let outcome = self.outcome();
                let mut answer = match self.users[user].is_unreachable {
                    true => Some(Answer::Unreachable),
                    false => self.users[user].hear(room, position, outcome),
                };
                // The user has heard of it, and the room does not know.
                if self.misfortune(12) {
                    answer = self.dice.once_in(2).then_some(Answer::Unreachable);
                }
                let answer = answer.filter(|_| !self.users[user].is_hanging);
                let answer = answer.map(|answer| Mail::Answer { room, user, position, answer });
                self.mail.extend(answer);
            }
            Mail::Answer { room, user, position, answer } => {
                if !self.misfortune(12) {
                    self.rooms[room].answered(user, position, answer, self.now_ms);
                }
            }
            Mail::Membership { room, told } => self.step_membership(room, told),
            Mail::MembershipAnswer { room, user, position, is_delivered } => {
                if !self.misfortune(12) {
                    let at = (user, position);
                    self.rooms[room].membership_answered(at, is_delivered, self.now_ms);
                }
            }
        }
    }

    /// A user is told of their membership; or what they were told is lost, or their answer.
    fn step_membership(&mut self, room: usize, told: Told) {
        let Told { user, is_joined, position } = told;
        if self.misfortune(12) {
            return;
        }
        let outcome = self.outcome();
        let mut is_delivered = !self.users[user].is_unreachable
            && self.users[user].membership(room, (is_joined, position), outcome);
        if self.misfortune(12) {
            if self.dice.once_in(2) {
                return;
            }
            is_delivered = false;
        }
        if !self.users[user].is_hanging && !outcome.is_crash() {
            self.mail.push(Mail::MembershipAnswer { room, user, position, is_delivered });
        }
    }

    /// One step of a `/sync`: what changed; each room; the reads.
    fn step_device(&mut self, number: usize) {
        let user = number / DEVICES_PER_USER;
        let is_given_up = self.misfortune(40);
        let device = &mut self.devices[number];
        let Some(mut request) = device.request.take() else {
            let changes = self.users[user].changes(device.token);
            // A client that has nothing to read waits.
            if !changes.rooms.is_empty() || device.token.is_none() {
                device.request = Some(Request { changes, to: Vec::new(), row: None });
            }
            return;
        };
        let outcome = self.outcome();
        if let Some(given) = request.changes.rooms.get(request.to.len()) {
            let room = given.room;
            if let Some(read) = request.row.take() {
                // A client that gives up leaves its row written or not, and the room unaware.
                let outcome = match is_given_up {
                    true if outcome.is_written() => Outcome::UnknownWritten,
                    true => Outcome::UnknownLost,
                    false => outcome,
                };
                if !self.rooms[room].end_read(user, read, outcome) {
                    return;
                }
                request.to.push(read.to);
            } else if is_given_up {
                return;
            } else {
                request.row = Some(self.rooms[room].begin_read(user));
            }
            self.devices[number].request = Some(request);
            return;
        }
        let token = self.users[user].read(&request.changes, &request.to, outcome);
        if let Some(token) = token.filter(|_| !is_given_up) {
            self.devices[number].is_answered(token, &request);
        }
    }
}

impl Device {
    fn is_answered(&mut self, token: SyncToken, request: &Request) {
        self.token = Some(token);
        for (given, to) in request.changes.rooms.iter().zip(&request.to) {
            let seen = &mut self.seen[given.room];
            let is_gapless = given.from.is_none_or(|from| from <= *seen);
            assert!(is_gapless || !given.is_joined, "a gap: {given:?} over {seen}");
            if is_gapless {
                *seen = (*seen).max(*to);
            }
        }
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
        world.check();
    }
    world.finish();
}

#[test]
fn nobody_misses_an_event_whatever_crashes_and_whatever_is_lost() {
    let seeds = seeds::of_run("model of the deliveries", DEFAULT_SEEDS);
    let (from, to) = (seeds.start, seeds.end);
    let (next, failed) = (AtomicU64::new(from), AtomicU64::new(0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= to || failed.load(Ordering::Relaxed) > 0 {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
                eprintln!("seed {seed} failed: SKERRY_SEED={seed} replays it");
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    assert_eq!(failed.into_inner(), 0, "failed seeds");
}
