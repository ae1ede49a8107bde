//! A small model of rooms, one user's stream and several devices, run through random
//! interleavings: no device ever misses an event or is given one twice.

use std::collections::BTreeMap;

use super::super::*;

/// xorshift64*: the same run for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let it = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(it).unwrap() % limit
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A room tells the user once, then not again until it was read.
struct Room {
    head: u64,
    has_told: bool,
}

struct Stream {
    seq: u64,
    rooms: Vec<RoomEntry>,
    marks: Vec<BTreeMap<u64, u64>>,
    max_marks: usize,
}

struct Reading {
    room: usize,
    from: Option<u64>,
    to: Option<u64>,
}

#[derive(Default)]
struct Device {
    token: Option<SyncToken>,
    seen: BTreeMap<usize, u64>,
    /// The position of its `Changes`, and the rooms it is reading since.
    request: Option<(u64, Vec<Reading>)>,
}

struct World {
    dice: Dice,
    rooms: Vec<Room>,
    stream: Stream,
    devices: Vec<Device>,
    mail: Vec<(usize, u64)>,
}

impl Stream {
    fn furthest(&self, room: usize, token: SyncToken) -> Option<u64> {
        self.marks[room].iter().filter(|it| token.covers(*it.0)).map(|it| *it.1).max()
    }

    fn activity(&mut self, room: usize, position: u64) {
        if is_news(&self.rooms[room], position) {
            self.seq += 1;
            self.rooms[room].known_position = position;
            self.rooms[room].known_seq = self.seq;
        }
    }

    fn changes(&self, ask: &Ask) -> Vec<Reading> {
        let mut list = Vec::new();
        for (room, entry) in self.rooms.iter().enumerate() {
            // The candidates the store looks up: changed since, or read by nobody yet.
            let furthest = self.marks[room].values().max();
            let is_candidate = ask.since.is_none_or(|it| entry.known_seq > it.base)
                || furthest.is_none_or(|it| entry.known_position > *it);
            if !is_candidate {
                continue;
            }
            let seen = ask.since.and_then(|it| self.furthest(room, it));
            if let Some(Change::Joined { from, .. }) = change(entry, seen, false, ask) {
                list.push(Reading { room, from, to: None });
            }
        }
        list
    }

    fn read(&mut self, base: u64, list: &[Reading]) -> SyncToken {
        let seq = self.seq + 1;
        let mut has_written = false;
        for it in list {
            let to = it.to.unwrap();
            let entry = &mut self.rooms[it.room];
            let seen_at_base = self.marks[it.room].range(..=base).map(|it| *it.1).max();
            let plan =
                plan_read(&RoomRead { to, seen_at_base, known_position: entry.known_position });
            if plan.raises {
                entry.known_position = to;
                entry.known_seq = seq;
            }
            if plan.marks {
                has_written = true;
                self.marks[it.room].insert(seq, to);
            }
            if self.marks[it.room].len() > self.max_marks {
                let marks: Vec<_> = self.marks[it.room].keys().copied().collect();
                for mark in thin_out(&marks, seq) {
                    self.marks[it.room].remove(&mark);
                }
            }
            assert!(!plan.raises || plan.marks, "what raises is marked");
        }
        if !has_written {
            return SyncToken::at(base);
        }
        self.seq = seq;
        SyncToken::after_read(base, seq)
    }
}

impl World {
    fn new(seed: u64, max_marks: usize) -> Self {
        let entry = RoomEntry {
            membership: MembershipState::Join,
            membership_position: 1,
            membership_seq: 1,
            known_position: 1,
            known_seq: 1,
            forgotten: false,
        };
        Self {
            dice: Dice(seed),
            rooms: (0..3).map(|_| Room { head: 1, has_told: false }).collect(),
            stream: Stream {
                seq: 1,
                rooms: vec![entry; 3],
                marks: vec![BTreeMap::new(); 3],
                max_marks,
            },
            devices: (0..3).map(|_| Device::default()).collect(),
            mail: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.dice.below(8) {
            0..=2 => {
                let number = self.dice.below(self.rooms.len());
                let room = &mut self.rooms[number];
                room.head += 1;
                if !std::mem::replace(&mut room.has_told, true) {
                    self.mail.push((number, room.head));
                }
            }
            3 if !self.mail.is_empty() => {
                let number = self.dice.below(self.mail.len());
                let (room, position) = self.mail[number];
                self.stream.activity(room, position);
                // At least once: some messages come again.
                if !self.dice.once_in(5) {
                    self.mail.swap_remove(number);
                }
            }
            _ => {
                let number = self.dice.below(self.devices.len());
                let is_lost = self.dice.once_in(6);
                self.step_device(number, is_lost);
            }
        }
    }

    /// One step of a `/sync`: what changed; each room; the reads. The answer may get lost.
    fn step_device(&mut self, number: usize, is_lost: bool) {
        let device = &mut self.devices[number];
        let Some((base, list)) = &mut device.request else {
            let ask = Ask { since: device.token, ..Ask::default() };
            device.request = Some((self.stream.seq, self.stream.changes(&ask)));
            return;
        };
        if let Some(unread) = list.iter_mut().find(|it| it.to.is_none()) {
            let room = &mut self.rooms[unread.room];
            room.has_told = false;
            unread.to = Some(room.head);
            return;
        }
        let token = self.stream.read(*base, list);
        let list = std::mem::take(list);
        device.request = None;
        if is_lost {
            return;
        }
        device.token = Some(token);
        for it in list {
            let seen = device.seen.insert(it.room, it.to.unwrap());
            match self.stream.max_marks {
                // Thinned out, it may be given again what it has.
                0..1_000 => assert!(it.from <= seen, "a gap: {:?} over {seen:?}", it.from),
                _ => assert_eq!(it.from, seen, "a gap or a repetition"),
            }
        }
    }

    fn settle(&mut self) {
        for (room, position) in std::mem::take(&mut self.mail) {
            self.stream.activity(room, position);
        }
        for number in 0..self.devices.len() {
            // Finish what is under way, then one whole sync.
            while self.devices[number].request.is_some() {
                self.step_device(number, false);
            }
            self.step_device(number, false);
            while self.devices[number].request.is_some() {
                self.step_device(number, false);
            }
            for (room, it) in self.rooms.iter().enumerate() {
                assert_eq!(self.devices[number].seen.get(&room), Some(&it.head), "in the end");
            }
        }
    }
}

fn run(max_marks: usize) {
    for seed in 1..=300 {
        let mut world = World::new(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15), max_marks);
        for _ in 0..400 {
            world.step();
        }
        world.settle();
    }
}

#[test]
fn no_gap_and_no_repetition_in_any_interleaving() {
    run(usize::MAX);
}

#[test]
fn no_gap_when_marks_are_thinned_out() {
    run(MAX_MARKS_PER_ROOM);
    run(RECENT_MARKS_KEPT + 1);
}
