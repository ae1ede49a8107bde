//! A user of the model: the stream as [`crate::user_stream`] has it, stored and in memory.

use ruma::events::room::member::MembershipState;

use super::{super::super::Answer, dice::Outcome};
use crate::{
    sync_token::SyncToken,
    user_stream::{
        Ask, Change, ChangedRooms, Heard, HeardRooms, Instance, Marks, RoomEntry, RoomRead, change,
        plan_membership, plan_read,
    },
};

#[derive(Debug)]
struct Memory {
    heard: HeardRooms<usize>,
    changed: ChangedRooms<usize>,
}

#[derive(Debug, Default)]
struct StoredRoom {
    entry: Option<RoomEntry>,
    marks: Marks,
    last_seq: u64,
}

#[derive(Debug)]
pub(super) struct User {
    seq: u64,
    rooms: Vec<StoredRoom>,
    memory: Option<Memory>,
    instances: u64,
    /// Nobody reaches this user.
    pub(super) is_unreachable: bool,
    /// This user never answers, whether or not they have heard.
    pub(super) is_hanging: bool,
}

/// What a client may read, and the answer it stands in.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    pub(super) base: u64,
    pub(super) instance: Instance,
    pub(super) rooms: Vec<Given>,
}

/// A room that a client is given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) room: usize,
    /// From where it is to be read.
    pub(super) from: Option<u64>,
    /// Else it was left: a client that began since has never been given it before.
    pub(super) is_joined: bool,
}

impl User {
    pub(super) fn new(rooms: usize) -> Self {
        Self {
            seq: 0,
            rooms: (0..rooms).map(|_| StoredRoom::default()).collect(),
            memory: None,
            instances: 0,
            is_unreachable: false,
            is_hanging: false,
        }
    }

    pub(super) fn crash(&mut self) {
        self.memory = None;
    }

    fn memory(&mut self) -> &mut Memory {
        let (rooms, instances) = (&self.rooms, &mut self.instances);
        self.memory.get_or_insert_with(|| {
            *instances += 1;
            let rooms = rooms.iter().enumerate().filter_map(|(number, room)| {
                Some((number, room.last_seq, room.entry.as_ref()?.is_unread()))
            });
            Memory {
                heard: HeardRooms::new(Instance::new(*instances)),
                changed: ChangedRooms::load(rooms),
            }
        })
    }

    /// What is left to do after a batch: nothing, when the object begins anew. Whether it is known
    /// to be committed.
    fn is_committed(&mut self, outcome: Outcome) -> bool {
        if !matches!(outcome, Outcome::Committed | Outcome::Refused) {
            self.crash();
        }
        outcome == Outcome::Committed
    }

    /// A delivery. None: nothing is answered.
    pub(super) fn hear(&mut self, room: usize, position: u64, outcome: Outcome) -> Option<Answer> {
        let stored = self.rooms[room].entry.clone();
        let memory = self.memory();
        let heard = memory.heard.hear_from_memory(&room, position);
        let heard = heard.unwrap_or_else(|| memory.heard.hear(&room, stored.as_ref(), position));
        if heard != Heard::News {
            if outcome.is_crash() {
                self.crash();
                return None;
            }
            return Some(heard.answer());
        }
        let mut entry = stored.unwrap();
        let furthest = self.rooms[room].marks.furthest();
        assert!(furthest.is_some_and(|it| it >= entry.known_position), "written, though unread");
        let seq = self.seq + 1;
        if outcome.is_written() {
            (entry.known_position, entry.known_seq) = (position, seq);
            self.store(room, entry, seq);
        }
        if !self.is_committed(outcome) {
            return (!outcome.is_crash()).then_some(Answer::Unreachable);
        }
        let memory = self.memory();
        memory.heard.noted(&room, position);
        memory.changed.changed(&room, seq, true);
        Some(heard.answer())
    }

    fn store(&mut self, room: usize, entry: RoomEntry, seq: u64) {
        self.seq = seq;
        self.rooms[room].entry = Some(entry);
        self.rooms[room].last_seq = seq;
    }

    /// A membership is delivered. Whether the room need not repeat it.
    pub(super) fn membership(
        &mut self,
        room: usize,
        (is_joined, position): (bool, u64),
        outcome: Outcome,
    ) -> bool {
        self.memory();
        let membership = if is_joined { MembershipState::Join } else { MembershipState::Leave };
        let seq = self.seq + 1;
        let entry = self.rooms[room].entry.as_ref();
        let Some(plan) = plan_membership(entry, membership, position, seq) else { return true };
        let is_unread = plan.entry.is_unread();
        if outcome.is_written() {
            if plan.drops_marks {
                self.rooms[room].marks = Marks::default();
            }
            self.store(room, plan.entry, seq);
        }
        let is_committed = self.is_committed(outcome);
        if is_committed {
            self.memory().changed.changed(&room, seq, is_unread);
        }
        is_committed
    }

    /// Up to where this user knows of their membership in a room.
    pub(super) fn membership_position(&self, room: usize) -> u64 {
        self.rooms[room].entry.as_ref().map_or(0, |it| it.membership_position)
    }

    /// What a client with a token is given.
    pub(super) fn changes(&mut self, since: Option<SyncToken>) -> Changes {
        let ask = Ask { since, ..Ask::default() };
        let memory = self.memory();
        let candidates = since.and_then(|token| memory.changed.since(token));
        let instance = memory.heard.instance();
        let mut rooms = Vec::new();
        for (room, stored) in self.rooms.iter().enumerate() {
            let Some(entry) = &stored.entry else { continue };
            let seen = since.and_then(|token| stored.marks.seen_by(token.seen()));
            let (from, is_joined) = match change(entry, seen, false, &ask) {
                Some(Change::Joined { from, .. }) => (from, true),
                Some(Change::Left { from }) => (from, false),
                Some(Change::Invited | Change::Knocked) | None => continue,
            };
            let is_candidate = candidates.as_ref().is_none_or(|it| it.contains(&room));
            assert!(is_candidate, "the index of changed rooms lacks room {room}");
            rooms.push(Given { room, from, is_joined });
        }
        Changes { base: self.seq, instance, rooms }
    }

    /// The rooms were read up to these positions. None: the client gets no answer.
    pub(super) fn read(
        &mut self,
        changes: &Changes,
        to: &[u64],
        outcome: Outcome,
    ) -> Option<SyncToken> {
        let seq = self.seq + 1;
        let memory = self.memory();
        let is_same_instance = memory.heard.instance() == changes.instance;
        let mut plans = Vec::new();
        for (given, to) in changes.rooms.iter().zip(to) {
            let room = &given.room;
            let dropped = self.memory().heard.dropped(room);
            let read = RoomRead { to: *to, base: changes.base, dropped, is_same_instance };
            let Some(entry) = &self.rooms[*room].entry else { continue };
            let plan = plan_read(entry, &self.rooms[*room].marks, &read, seq);
            plans.extend(plan.map(|plan| (*room, plan)));
        }
        if plans.is_empty() {
            return Some(SyncToken::at(changes.base));
        }
        if outcome.is_written() {
            for (room, plan) in &plans {
                self.store(*room, plan.entry.clone(), seq);
                self.rooms[*room].marks = plan.marks.clone();
            }
        }
        if !self.is_committed(outcome) {
            return None;
        }
        let memory = self.memory();
        for (room, plan) in &plans {
            memory.heard.recorded(room, plan);
            memory.changed.changed(room, seq, plan.entry.is_unread());
        }
        Some(SyncToken::after_read(changes.base, seq))
    }
}
