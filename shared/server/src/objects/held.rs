//! What objects hold in memory, in bytes: about, and rather more than less.
//!
//! Whoever may create rooms can fill many of them, and each room and user keeps for a while what
//! was asked last. So what they hold is counted, each part of an object by itself ([`Held`]) and
//! all objects of a kind together ([`Total`]). Where all have too much, a part that grows keeps to
//! its share, and a host that can drops the objects that nobody has asked for longest.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What all objects of one kind in this process hold.
#[derive(Debug)]
pub struct Total {
    bytes: AtomicUsize,
    most: usize,
}

impl Total {
    /// Nothing, of which this many bytes are not too much.
    pub const fn new(most: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), most }
    }

    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether it is too much.
    pub fn is_too_much(&self) -> bool {
        self.bytes() > self.most
    }
}

/// How much one part of an object may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Bytes, as long as all objects together do not have too much.
    pub most: usize,
    /// Bytes, where they do.
    pub share: usize,
}

/// What one part of an object holds.
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    total: &'static Total,
}

impl Held {
    /// Nothing, counted with the others.
    pub fn of(total: &'static Total) -> Self {
        Self { bytes: 0, total }
    }

    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// It is so much now.
    pub fn set(&mut self, bytes: usize) {
        self.total.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.total.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// It is so much more.
    pub fn grow(&mut self, bytes: usize) {
        self.set(self.bytes.saturating_add(bytes));
    }

    /// It is so much less.
    pub fn shrink(&mut self, bytes: usize) {
        self.set(self.bytes.saturating_sub(bytes));
    }

    /// Whether it is more than it may be.
    pub fn exceeds(&self, bound: Bound) -> bool {
        self.bytes > if self.total.is_too_much() { bound.share } else { bound.most }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { most: 100, share: 10 };

    #[test]
    fn a_part_keeps_to_its_share_where_all_have_too_much() {
        static TOTAL: Total = Total::new(150);
        let (mut first, mut second) = (Held::of(&TOTAL), Held::of(&TOTAL));
        first.grow(100);
        assert!(!first.exceeds(BOUND));
        second.grow(50);
        assert!(!first.exceeds(BOUND) && !TOTAL.is_too_much());
        second.grow(1);
        assert!(first.exceeds(BOUND) && second.exceeds(BOUND) && TOTAL.is_too_much());
        second.shrink(41);
        assert!(!second.exceeds(BOUND) && !first.exceeds(BOUND));
        first.set(101);
        assert!(first.exceeds(BOUND), "whatever others have");
        drop(first);
        assert_eq!((second.bytes(), TOTAL.bytes()), (10, 10));
    }
}
