//! In which order the events of a join are authorized: each after those that authorize it.
//!
//! An answer to a join has a room's state and auth chain in any order, hundreds of thousands of
//! events of a large room. [`JoinOrder`] is told of them one after the other and keeps integers
//! alone: of an event ID only a part of its hash, which nobody can make another ID have as well.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use ruma::EventId;
use sha2::{Digest as _, Sha256};

/// How much a [`JoinOrder`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events, those that are only named included: all of them must come.
    pub events: usize,
    /// How often events name others as those that authorize them, in all.
    pub citations: usize,
}

/// There are more events, or they name more others, than the [`Limits`] say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state and the auth chain are larger than {} events", .0.events)]
pub struct TooLarge(Limits);

/// The place of an event that is named and has not come.
const MISSING: u32 = u32::MAX;
/// The place of an event that need not come.
const KNOWN: u32 = u32::MAX - 1;

/// How many events a create event waits for: it is ready from the beginning, and once only.
const NEVER: u32 = u32::MAX;

/// Stands for an event ID.
type IdHash = [u8; 16];

/// The events of a join, as far as they have come.
///
/// At the limits it takes at most 60 bytes an event and 9 bytes a citation, its order included.
#[derive(Debug)]
pub struct JoinOrder {
    limits: Limits,
    /// The numbers of events, in the order in which they are met: as they come, or as others name
    /// them.
    numbers: HashMap<IdHash, u32>,
    /// By number: the caller's place of the event.
    places: Vec<u32>,
    /// Numbers of events that have come, and how many citations there were before theirs.
    events: Vec<(u32, u32)>,
    /// The numbers of the events that these name, one event's after the other's.
    cited: Vec<u32>,
    /// The numbers of create events.
    creates: Vec<u32>,
    missing: usize,
}

impl JoinOrder {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            numbers: HashMap::new(),
            places: Vec::new(),
            events: Vec::new(),
            cited: Vec::new(),
            creates: Vec::new(),
            missing: 0,
        }
    }

    /// An event comes. `place` is what the caller finds it by; an event that comes again keeps its
    /// first one. `auth_events` are those that it names, `is_create` says that it may begin the
    /// room.
    ///
    /// # Errors
    ///
    /// [`TooLarge`]: then the whole join is.
    pub fn add<'a>(
        &mut self,
        place: u32,
        event_id: &EventId,
        auth_events: impl IntoIterator<Item = &'a EventId>,
        is_create: bool,
    ) -> Result<(), TooLarge> {
        let own = self.number(event_id)?;
        match self.place_mut(own) {
            Some(it) if *it == MISSING => *it = place.min(KNOWN - 1),
            _ => return Ok(()),
        }
        self.missing -= 1;
        if is_create {
            self.creates.push(own);
        }
        let before = u32::try_from(self.cited.len()).map_err(|_| TooLarge(self.limits))?;
        self.events.push((own, before));
        for it in auth_events {
            if self.cited.len() >= self.limits.citations {
                return Err(TooLarge(self.limits));
            }
            let cited = self.number(it)?;
            self.cited.push(cited);
        }
        Ok(())
    }

    /// Whether every event has come that others name.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Whether this event is named and has not come.
    pub fn is_missing(&self, event_id: &EventId) -> bool {
        let number = self.numbers.get(&hash(event_id)).copied();
        number.and_then(|it| self.places.get(index(it))) == Some(&MISSING)
    }

    /// This event need not come: the room has it.
    pub fn set_known(&mut self, event_id: &EventId) {
        let Some(number) = self.numbers.get(&hash(event_id)).copied() else { return };
        if let Some(it) = self.place_mut(number).filter(|it| **it == MISSING) {
            *it = KNOWN;
            self.missing -= 1;
        }
    }

    /// Whether a create event has come.
    pub fn has_create(&self) -> bool {
        !self.creates.is_empty()
    }

    /// The places of the events, each after those that authorize it. Create events come first:
    /// they authorize all others, whether these name them or not. What names a missing event, or
    /// itself by way of others, as only made-up IDs make possible, is left out, and so is what
    /// names that.
    pub fn finish(self) -> Vec<u32> {
        let Self { numbers, places, events, cited, creates, .. } = self;
        // By far the largest part, and not needed any more.
        drop(numbers);
        let place = |number: u32| places.get(index(number)).copied().unwrap_or(MISSING);
        let citers = Citers::new(places.len(), &events, &cited);
        let mut waits = vec![0_u32; places.len()];
        for (own, named) in with_named(&events, &cited) {
            let unknown = named.iter().filter(|it| place(**it) != KNOWN).count();
            if let Some(it) = waits.get_mut(index(own)) {
                *it = u32::try_from(unknown).unwrap_or(NEVER);
            }
        }
        for own in &creates {
            if let Some(it) = waits.get_mut(index(*own)) {
                *it = NEVER;
            }
        }
        let is_ready = |it: &u32| waits.get(index(*it)) == Some(&0);
        let others = events.iter().map(|(own, _)| *own).filter(is_ready);
        let mut ready: VecDeque<u32> = creates.iter().copied().chain(others).collect();
        let mut order = Vec::with_capacity(events.len());
        while let Some(own) = ready.pop_front() {
            order.push(place(own));
            for citer in citers.of(own) {
                if let Some(waits) = waits.get_mut(index(*citer)).filter(|it| **it > 0) {
                    *waits -= 1;
                    if *waits == 0 {
                        ready.push_back(*citer);
                    }
                }
            }
        }
        order
    }

    /// The number of an event, which is met for the first time or once more.
    fn number(&mut self, event_id: &EventId) -> Result<u32, TooLarge> {
        let met = self.places.len();
        let hash = hash(event_id);
        if let Some(it) = self.numbers.get(&hash) {
            return Ok(*it);
        }
        let number = u32::try_from(met).map_err(|_| TooLarge(self.limits))?;
        if met >= self.limits.events {
            return Err(TooLarge(self.limits));
        }
        self.numbers.insert(hash, number);
        self.places.push(MISSING);
        self.missing += 1;
        Ok(number)
    }

    fn place_mut(&mut self, number: u32) -> Option<&mut u32> {
        self.places.get_mut(index(number))
    }

    /// Bytes that it takes, and [`JoinOrder::finish`] with it: as many as are reserved.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        // A table's capacity is seven eighths of its buckets, each with one byte beside the entry.
        let table = self.numbers.capacity() / 7 * 8 * (size_of::<(IdHash, u32)>() + 1);
        let numbers = size_of::<u32>() * (self.places.capacity() + self.cited.capacity());
        let growing = table + numbers + size_of::<(u32, u32)>() * self.events.capacity();
        let finishing = growing - table
            + size_of::<u32>() * (self.cited.len() + 4 * self.places.len() + self.events.len());
        growing.max(finishing)
    }
}

/// By number of an event: those that name it.
struct Citers {
    /// Where those of each event begin.
    first: Vec<u32>,
    all: Vec<u32>,
}

impl Citers {
    fn new(numbers: usize, events: &[(u32, u32)], cited: &[u32]) -> Self {
        let mut first = vec![0_u32; numbers + 1];
        for it in cited {
            if let Some(count) = first.get_mut(index(*it)) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for it in &mut first {
            sum += mem::replace(it, sum);
        }
        let mut next = first.clone();
        let mut all = vec![0_u32; cited.len()];
        for (own, named) in with_named(events, cited) {
            for it in named {
                let Some(at) = next.get_mut(index(*it)) else { continue };
                if let Some(slot) = all.get_mut(index(*at)) {
                    *slot = own;
                }
                *at += 1;
            }
        }
        Self { first, all }
    }

    fn of(&self, number: u32) -> &[u32] {
        let at = |it: usize| self.first.get(it).map(|it| index(*it)).unwrap_or_default();
        let number = index(number);
        self.all.get(at(number)..at(number + 1)).unwrap_or_default()
    }
}

/// Events, and those that each of them names.
fn with_named<'a>(
    events: &'a [(u32, u32)],
    cited: &'a [u32],
) -> impl Iterator<Item = (u32, &'a [u32])> {
    let ends = events.iter().skip(1).map(|(_, before)| index(*before)).chain([cited.len()]);
    events
        .iter()
        .zip(ends)
        .map(|((own, before), end)| (*own, cited.get(index(*before)..end).unwrap_or_default()))
}

/// Half of the SHA-256 of an event ID: to find two IDs that share it takes 2^64 tries.
fn hash(event_id: &EventId) -> IdHash {
    let mut half = IdHash::default();
    for (to, from) in half.iter_mut().zip(Sha256::digest(event_id.as_str())) {
        *to = from;
    }
    half
}

/// An integer of this module as an index.
fn index(it: u32) -> usize {
    usize::try_from(it).unwrap_or(usize::MAX)
}
