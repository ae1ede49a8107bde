//! When a long computation may begin, where one thread serves everybody: one after the other, with
//! a pause after each in which everybody else is served. Those of one address have a share of the
//! slots, so that who asks often does not make others wait long.

use std::collections::VecDeque;

/// How many slots there are, and how long each is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the beginning of one to the beginning of the next, in milliseconds.
    pub slot_ms: u64,
    /// Slots that are given at a time.
    pub all: usize,
    /// Of these, those of one address.
    pub per_address: usize,
}

/// The slots that are not over, in order.
#[derive(Debug)]
pub struct Slots {
    bounds: Bounds,
    given: VecDeque<Slot>,
}

#[derive(Debug)]
struct Slot {
    begins_ms: u64,
    address: String,
}

impl Slots {
    /// None is given.
    pub const fn new(bounds: Bounds) -> Self {
        Self { bounds, given: VecDeque::new() }
    }

    /// Gives a slot to somebody at this address: how long until it begins, in milliseconds. None:
    /// there are too many.
    pub fn take(&mut self, address: &str, now_ms: u64) -> Option<u64> {
        let Bounds { slot_ms, all, per_address } = self.bounds;
        while self.given.front().is_some_and(|it| it.begins_ms.saturating_add(slot_ms) <= now_ms) {
            self.given.pop_front();
        }
        let own = self.given.iter().filter(|it| it.address == address).count();
        if own >= per_address || self.given.len() >= all {
            return None;
        }
        let free_ms = self.given.back().map_or(0, |it| it.begins_ms.saturating_add(slot_ms));
        let begins_ms = free_ms.max(now_ms);
        self.given.push_back(Slot { begins_ms, address: address.to_owned() });
        Some(begins_ms - now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other_and_each_address_has_a_share() {
        let mut slots = Slots::new(Bounds { slot_ms: 100, all: 4, per_address: 2 });
        // Who asks and when; how long they wait.
        let story = [
            ("a", 1_000, Some(0)),
            ("a", 1_000, Some(100)),
            ("a", 1_010, None),
            ("b", 1_010, Some(190)),
            ("c", 1_020, Some(280)),
            ("d", 1_030, None),
            ("d", 1_100, Some(300)),
            ("a", 1_100, None),
            ("a", 1_200, Some(300)),
            ("e", 5_000, Some(0)),
            // A clock that was set back.
            ("f", 4_000, Some(1_100)),
        ];
        for (step, (address, now_ms, wait_ms)) in story.into_iter().enumerate() {
            assert_eq!(slots.take(address, now_ms), wait_ms, "step {step}");
        }
    }
}
