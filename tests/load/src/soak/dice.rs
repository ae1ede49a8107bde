//! Numbers that need be neither secret nor good, and are the same in every run.

/// A generator by Marsaglia ("Xorshift RNGs", 2003).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// One of many: each number has a course of its own.
    pub(super) fn new(number: u64) -> Self {
        // Neither zero, where it would stay, nor close to its neighbor.
        Self((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`, which is not 0.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Dice;

    #[test]
    fn all_sides_come_up_and_neighbors_differ() {
        let rolls = |number| {
            let mut dice = Dice::new(number);
            (0..100).map(|_| dice.roll(6)).collect::<Vec<_>>()
        };
        assert_eq!(rolls(0).into_iter().collect::<BTreeSet<_>>().len(), 6);
        assert_ne!(rolls(0), rolls(1));
        assert_eq!(rolls(2), rolls(2));
    }
}
