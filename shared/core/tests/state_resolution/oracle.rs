//! ruma's state resolution, with auth chains and the conflicted state subgraph from their
//! definitions.

use std::{borrow::Borrow, collections::HashMap};

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
    state_res::{self, StateMap, utils::event_id_set::EventIdSet},
};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    engine::{Event, Num, Verdict},
    state_res::Column,
};

use crate::room::{Room, State, split};

/// The auth chain of each event: those of a room's events that it builds on.
pub(crate) struct Chains(Vec<Vec<bool>>);

impl Chains {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Learns about the events that the room has got since.
    pub(crate) fn update(&mut self, room: &Room) {
        for event in &room.events[self.0.len()..] {
            let mut chain = vec![false; event.num as usize];
            for auth in &event.auth {
                chain[*auth as usize] = true;
                for (num, is_in) in self.0[*auth as usize].iter().enumerate() {
                    chain[num] |= is_in;
                }
            }
            self.0.push(chain);
        }
    }

    /// Whether the auth chain of `event` has `auth`.
    fn leads(&self, event: Num, auth: Num) -> bool {
        self.0[event as usize].get(auth as usize) == Some(&true)
    }

    fn of_state(&self, room: &Room, state: &State) -> EventIdSet<OwnedEventId> {
        let mut chain = vec![false; room.events.len()];
        for event in state.values() {
            chain[*event as usize] = true;
            for (num, is_in) in self.0[*event as usize].iter().enumerate() {
                chain[num] |= is_in;
            }
        }
        ids(room, &chain)
    }

    /// The conflicted state subgraph.
    fn between(&self, room: &Room, conflicted: &[Num]) -> EventIdSet<OwnedEventId> {
        let is_between = |it: Num| {
            conflicted.contains(&it)
                || (conflicted.iter().any(|event| self.leads(*event, it))
                    && conflicted.iter().any(|event| self.leads(it, *event)))
        };
        let between: Vec<_> = (0..room.events.len() as Num).map(is_between).collect();
        ids(room, &between)
    }
}

/// Resolves by ruma's algorithm.
pub(crate) fn resolve(room: &Room, chains: &mut Chains, states: &[State]) -> State {
    chains.update(room);
    let conflicted = conflicted(states);
    let prepared = Prepared {
        numbers: numbers(room),
        maps: maps(room, states),
        chains: states.iter().map(|it| chains.of_state(room, it)).collect(),
        subgraph: chains.between(room, &conflicted),
    };
    let resolved = prepared.resolve(room, prepared.chains.clone());
    prepared.state(room, &resolved)
}

/// What ruma needs to resolve.
pub(crate) struct Prepared {
    numbers: HashMap<OwnedEventId, Num>,
    maps: Vec<StateMap<OwnedEventId>>,
    pub(crate) chains: Vec<EventIdSet<OwnedEventId>>,
    subgraph: EventIdSet<OwnedEventId>,
}

impl Prepared {
    /// For large rooms: in one pass over all events each.
    pub(crate) fn new(room: &Room, states: &[State]) -> Self {
        let down = |from: &[Num]| {
            let mut starts = vec![false; room.events.len()];
            mark(&mut starts, from);
            let mut chain = vec![false; room.events.len()];
            for event in room.events.iter().rev() {
                let num = event.num as usize;
                if starts[num] || chain[num] {
                    mark(&mut chain, &event.auth);
                }
            }
            chain
        };
        let conflicted = conflicted(states);
        let mut between = vec![false; room.events.len()];
        mark(&mut between, &conflicted);
        for event in &room.events {
            between[event.num as usize] |= event.auth.iter().any(|it| between[*it as usize]);
        }
        let below = down(&conflicted);
        between.iter_mut().zip(&below).for_each(|(between, below)| *between &= below);
        mark(&mut between, &conflicted);
        Self {
            numbers: numbers(room),
            maps: maps(room, states),
            chains: states
                .iter()
                .map(|it| ids(room, &down(&it.values().copied().collect::<Vec<_>>())))
                .collect(),
            subgraph: ids(room, &between),
        }
    }

    pub(crate) fn resolve(
        &self,
        room: &Room,
        chains: Vec<EventIdSet<OwnedEventId>>,
    ) -> StateMap<OwnedEventId> {
        state_res::resolve(
            &room.rules.authorization,
            room.rules.state_res.v2_rules().unwrap(),
            &self.maps,
            chains,
            |id| self.numbers.get(id).map(|num| Judged(&room.events[*num as usize])),
            |_| Some(self.subgraph.clone()),
        )
        .unwrap()
    }

    pub(crate) fn state(&self, room: &Room, map: &StateMap<OwnedEventId>) -> State {
        map.values().map(|id| self.numbers[id]).map(|num| (room.key(num), num)).collect()
    }
}

fn mark(set: &mut [bool], nums: &[Num]) {
    for num in nums {
        set[*num as usize] = true;
    }
}

fn conflicted(states: &[State]) -> Vec<Num> {
    let conflict = split(states).1;
    let mut nums: Vec<_> = conflict.keys.values().flat_map(Column::events).collect();
    nums.sort_unstable();
    nums.dedup();
    nums
}

fn numbers(room: &Room) -> HashMap<OwnedEventId, Num> {
    room.events.iter().map(|it| (it.pdu.event_id.clone(), it.num)).collect()
}

fn maps(room: &Room, states: &[State]) -> Vec<StateMap<OwnedEventId>> {
    let entry = |num: &Num| (state_key(room, *num), room.id_of(*num));
    states.iter().map(|state| state.values().map(entry).collect()).collect()
}

fn ids(room: &Room, these: &[bool]) -> EventIdSet<OwnedEventId> {
    let nums = these.iter().enumerate().filter(|it| *it.1);
    nums.map(|(num, _)| room.id_of(num as Num)).collect()
}

fn state_key(room: &Room, num: Num) -> (StateEventType, String) {
    let key = room.keys.get(room.key(num)).unwrap();
    (key.0.as_str().into(), key.1.clone())
}

/// An event with what became of it.
#[derive(Clone, Copy)]
struct Judged<'a>(&'a Event);

impl state_res::Event for Judged<'_> {
    type Id = OwnedEventId;

    fn event_id(&self) -> &Self::Id {
        &self.0.pdu.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        Some(&self.0.pdu.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.0.pdu.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.0.pdu.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.0.pdu.event_type
    }

    fn content(&self) -> &RawJsonValue {
        self.0.pdu.content.borrow()
    }

    fn state_key(&self) -> Option<&str> {
        self.0.pdu.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.0.pdu.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.0.pdu.auth_events.iter())
    }

    fn redacts(&self) -> Option<&Self::Id> {
        None
    }

    fn rejected(&self) -> bool {
        self.0.verdict == Verdict::Rejected
    }
}
