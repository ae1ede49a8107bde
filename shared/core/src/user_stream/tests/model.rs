//! A small model of rooms, one user's stream and several devices, run through random
//! interleavings: no device ever misses an event or is given one twice. Answers come in pages, and
//! a device that begins is given some of its rooms only after others. The memory of the stream is
//! lost now and then; then a device may be given again what it has.

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

/// A room delivers to the user once, then not again until it was read.
struct Room {
    head: u64,
    has_delivered: bool,
}

struct Stream {
    seq: u64,
    rooms: Vec<RoomEntry>,
    marks: Vec<Marks>,
    heard: HeardRooms<usize>,
    changed: ChangedRooms<usize>,
    /// Rows that were written for deliveries to rooms that were unread already.
    needless_rows: usize,
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
    /// The position of its `Changes`, the page, and the rooms it is reading since.
    request: Option<(u64, Page, Instance, Vec<Reading>)>,
    /// Rooms it had been given already have fallen back among the rest.
    fell_back: bool,
}

struct World {
    dice: Dice,
    rooms: Vec<Room>,
    stream: Stream,
    devices: Vec<Device>,
    mail: Vec<(usize, u64)>,
    loses_memory: bool,
    /// Where memory is lost or marks are thinned out, a device may be given again what it has.
    gives_again: bool,
}

impl Stream {
    fn hear(&mut self, room: usize, position: u64) {
        let entry = &self.rooms[room];
        let heard = self.heard.hear_from_memory(&room, position);
        let heard = heard.unwrap_or_else(|| self.heard.hear(&room, Some(entry), position));
        if heard == Heard::News {
            self.needless_rows += usize::from(entry.is_unread());
            self.seq += 1;
            self.rooms[room].known_position = position;
            self.rooms[room].known_seq = self.seq;
            self.heard.noted(&room, position);
            self.changed.changed(&room, self.seq, true);
        }
    }

    fn changes(&self, ask: &Ask, limit: usize) -> (Page, Vec<Reading>) {
        let changed = ask.since.and_then(|it| self.changed.since(it));
        let mut list = Vec::new();
        for (room, entry) in self.rooms.iter().enumerate() {
            if changed.as_ref().is_some_and(|it| !it.contains(&room)) {
                continue;
            }
            let read = ask.read_position(entry, &self.marks[room]);
            let Some(change) = change(entry, read, false, ask) else { continue };
            let Change::Joined { from, .. } = change else { panic!("{change:?}") };
            let candidate = Candidate { change, membership_seq: entry.membership_seq };
            list.push((candidate, Reading { room, from, to: None }));
        }
        let candidates: Vec<_> = list.iter().map(|it| it.0).collect();
        let page = Page::cut(&candidates, ask, limit);
        list.retain(|(candidate, _)| page.gives(candidate));
        assert_eq!(list.len(), candidates.len().min(limit), "the page is full");
        (page, list.into_iter().map(|it| it.1).collect())
    }

    fn last_seq(&self, room: usize) -> u64 {
        let marks = serde_json::to_string(&self.marks[room]).unwrap();
        let marks: Vec<(u64, u64)> = serde_json::from_str(&marks).unwrap();
        let entry = &self.rooms[room];
        marks.last().map_or(0, |it| it.0).max(entry.known_seq).max(entry.membership_seq)
    }

    fn read(&mut self, base: u64, instance: Instance, list: &[Reading]) -> SyncToken {
        let seq = self.seq + 1;
        let is_same_instance = instance == self.heard.instance();
        for it in list {
            let dropped = self.heard.dropped(&it.room);
            let read = RoomRead { to: it.to.unwrap(), base, dropped, is_same_instance };
            let plan = plan_read(&self.rooms[it.room], &self.marks[it.room], &read, seq);
            let Some(plan) = plan else { continue };
            self.seq = seq;
            self.changed.changed(&it.room, seq, plan.entry.is_unread());
            self.heard.recorded(&it.room, &plan);
            self.rooms[it.room] = plan.entry;
            self.marks[it.room] = plan.marks;
        }
        if self.seq == seq { SyncToken::after_read(base, seq) } else { SyncToken::at(base) }
    }

    fn lose_memory(&mut self, random: usize) {
        self.heard = HeardRooms::new(Instance::new(random as u64));
        let rooms = self.rooms.iter().enumerate();
        let rooms = rooms.map(|(room, entry)| (room, self.last_seq(room), entry.is_unread()));
        self.changed = ChangedRooms::load(rooms);
    }
}

/// The rooms of the user; a page has fewer.
const ROOMS: usize = 5;

fn joined_at(seq: u64) -> RoomEntry {
    RoomEntry {
        membership: MembershipState::Join,
        membership_position: 1,
        membership_seq: seq,
        known_position: 1,
        known_seq: seq,
        read_position: None,
        forgotten: false,
    }
}

impl World {
    fn new(seed: u64, loses_memory: bool, gives_again: bool) -> Self {
        Self {
            dice: Dice(seed),
            rooms: (0..ROOMS).map(|_| Room { head: 1, has_delivered: false }).collect(),
            stream: Stream {
                seq: ROOMS as u64,
                rooms: (1..=ROOMS as u64).map(joined_at).collect(),
                marks: vec![Marks::default(); ROOMS],
                heard: HeardRooms::new(Instance::new(seed)),
                changed: ChangedRooms::load((0..ROOMS).map(|room| (room, room as u64 + 1, true))),
                needless_rows: 0,
            },
            devices: (0..3).map(|_| Device::default()).collect(),
            mail: Vec::new(),
            loses_memory,
            gives_again,
        }
    }

    fn step(&mut self) {
        if self.loses_memory && self.dice.once_in(30) {
            let random = self.dice.below(1 << 30);
            self.stream.lose_memory(random);
        }
        match self.dice.below(8) {
            0..=2 => {
                let number = self.dice.below(self.rooms.len());
                let room = &mut self.rooms[number];
                room.head += 1;
                if !std::mem::replace(&mut room.has_delivered, true) {
                    self.mail.push((number, room.head));
                }
            }
            3 if !self.mail.is_empty() => {
                let number = self.dice.below(self.mail.len());
                let (room, position) = self.mail[number];
                self.stream.hear(room, position);
                // At least once: some messages come again.
                if !self.dice.once_in(5) {
                    self.mail.swap_remove(number);
                }
            }
            _ => {
                let number = self.dice.below(self.devices.len());
                if self.dice.once_in(200) {
                    // The user logs in anew.
                    self.devices[number] = Device::default();
                }
                let is_lost = self.dice.once_in(6);
                self.step_device(number, is_lost);
            }
        }
    }

    /// One step of a `/sync`: what changed; each room; the reads. The answer may get lost.
    fn step_device(&mut self, number: usize, is_lost: bool) {
        let limit = 1 + self.dice.below(ROOMS);
        let device = &mut self.devices[number];
        let Some((base, page, instance, list)) = &mut device.request else {
            let ask = Ask { since: device.token, ..Ask::default() };
            let instance = self.stream.heard.instance();
            let (page, list) = self.stream.changes(&ask, limit);
            device.request = Some((self.stream.seq, page, instance, list));
            return;
        };
        if let Some(unread) = list.iter_mut().find(|it| it.to.is_none()) {
            let room = &mut self.rooms[unread.room];
            room.has_delivered = false;
            unread.to = Some(room.head);
            return;
        }
        let rest = page.rest;
        let token = self.stream.read(*base, *instance, list).with_rest(rest);
        let list = std::mem::take(list);
        device.request = None;
        if is_lost {
            return;
        }
        let before = device.token.and_then(|it| it.rest);
        let grows = before.is_some_and(|it| rest.is_some_and(|rest| rest.before > it.before));
        let fell_back = std::mem::replace(&mut device.fell_back, false);
        device.fell_back = grows || (fell_back && rest.is_some());
        device.token = Some(token);
        for it in list {
            let seen = device.seen.insert(it.room, it.to.unwrap());
            if self.gives_again || fell_back {
                assert!(it.from <= seen, "a gap: {:?} over {seen:?}", it.from);
            } else {
                assert_eq!(it.from, seen, "a gap or a repetition");
            }
        }
    }

    /// Finishes the request that is under way, or makes a whole one.
    fn sync(&mut self, number: usize) {
        self.step_device(number, false);
        while self.devices[number].request.is_some() {
            self.step_device(number, false);
        }
    }

    fn finish(&mut self) {
        for (room, position) in std::mem::take(&mut self.mail) {
            self.stream.hear(room, position);
        }
        for number in 0..self.devices.len() {
            // Finish what is under way, then one whole sync, which has at most a page a room.
            for _ in 0..ROOMS + 2 {
                self.sync(number);
            }
            for (room, it) in self.rooms.iter().enumerate() {
                assert_eq!(self.devices[number].seen.get(&room), Some(&it.head), "in the end");
            }
        }
    }
}

fn run(steps: usize, loses_memory: bool, gives_again: bool) {
    for seed in 1..=300 {
        let seed = u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15);
        let mut world = World::new(seed, loses_memory, gives_again);
        for _ in 0..steps {
            world.step();
        }
        world.finish();
        assert_eq!(world.stream.needless_rows, 0);
    }
}

#[test]
fn no_gap_and_no_repetition_in_any_interleaving() {
    run(200, false, false);
}

#[test]
fn no_gap_when_memory_is_lost() {
    run(400, true, true);
}

#[test]
fn no_gap_when_marks_are_thinned_out() {
    run(2_000, false, true);
}
