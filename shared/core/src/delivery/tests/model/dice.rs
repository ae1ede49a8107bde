//! Chance that can be had again, and how batches end.

/// xorshift64*: the same run for the same seed.
#[derive(Debug)]
pub(super) struct Dice(u64);

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    /// It was not written, and that is known.
    Refused,
    /// It was written, and nobody knows.
    UnknownWritten,
    /// It was not written, and nobody knows.
    UnknownLost,
    /// The object dies before it is written.
    CrashBefore,
    /// The object dies after it was written.
    CrashAfter,
}

impl Outcome {
    pub(super) fn is_written(self) -> bool {
        matches!(self, Self::Committed | Self::UnknownWritten | Self::CrashAfter)
    }

    pub(super) fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter)
    }
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self((seed ^ 0x00D3_11CE).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let it = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(it).unwrap() % limit
    }

    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Most batches are committed; in a calm world all are.
    pub(super) fn outcome(&mut self, is_calm: bool) -> Outcome {
        let one_of_five = match self.below(25) {
            0 => Outcome::Refused,
            1 => Outcome::UnknownWritten,
            2 => Outcome::UnknownLost,
            3 => Outcome::CrashBefore,
            4 => Outcome::CrashAfter,
            _ => Outcome::Committed,
        };
        if is_calm { Outcome::Committed } else { one_of_five }
    }
}
