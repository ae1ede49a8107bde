//! What another server has sent that was not taken: how far it is to be trusted.

use serde::{Deserialize, Serialize};

/// Events of a server, by what was wrong with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// No events, or not by whom they say: a bad signature above all.
    pub dropped: u64,
    /// The room did not allow them.
    pub rejected: u64,
    /// The room did not allow them any more: they build on what is long past.
    pub soft_failed: u64,
}

impl Faults {
    /// Nothing was wrong.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.soft_failed = self.soft_failed.saturating_add(other.soft_failed);
    }
}

impl std::iter::Sum for Faults {
    fn sum<I: Iterator<Item = Self>>(faults: I) -> Self {
        let mut sum = Self::default();
        faults.for_each(|it| sum += it);
        sum
    }
}
