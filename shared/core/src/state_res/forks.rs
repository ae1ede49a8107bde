//! Sets of forks, one for each event that a walk meets, packed side by side.

/// The sets of the events `0..n`.
pub(super) struct ForkSets {
    forks: usize,
    words: usize,
    bits: Vec<u64>,
}

impl ForkSets {
    pub(super) fn new(forks: usize) -> Self {
        Self { forks, words: forks.div_ceil(64).max(1), bits: Vec::new() }
    }

    /// Adds an event in no fork.
    pub(super) fn push(&mut self) {
        self.bits.resize(self.bits.len() + self.words, 0);
    }

    /// Puts an event into a fork.
    pub(super) fn insert(&mut self, event: usize, fork: usize) {
        if let Some(word) = self.bits.get_mut(event * self.words + fork / 64) {
            *word |= 1 << (fork % 64);
        }
    }

    /// Takes an event out of a fork.
    pub(super) fn remove(&mut self, event: usize, fork: usize) {
        if let Some(word) = self.bits.get_mut(event * self.words + fork / 64) {
            *word &= !(1 << (fork % 64));
        }
    }

    /// Puts an event into all forks.
    pub(super) fn fill(&mut self, event: usize) {
        let forks = self.forks;
        for (index, word) in self.set_mut(event).iter_mut().enumerate() {
            *word = all_of_word(forks, index);
        }
    }

    /// Puts `event` into every fork that `other` is in.
    pub(super) fn extend(&mut self, event: usize, other: usize) {
        for index in 0..self.words {
            let from = self.bits.get(other * self.words + index).copied().unwrap_or_default();
            if let Some(word) = self.bits.get_mut(event * self.words + index) {
                *word |= from;
            }
        }
    }

    /// Whether an event is in all forks.
    pub(super) fn is_full(&self, event: usize) -> bool {
        let start = event * self.words;
        let set = self.bits.get(start..start + self.words).unwrap_or_default();
        set.iter().enumerate().all(|(index, word)| *word == all_of_word(self.forks, index))
    }

    fn set_mut(&mut self, event: usize) -> &mut [u64] {
        let start = event * self.words;
        self.bits.get_mut(start..start + self.words).unwrap_or_default()
    }
}

/// The bits of the forks that this word stands for.
fn all_of_word(forks: usize, index: usize) -> u64 {
    match forks.saturating_sub(index * 64) {
        0 => 0,
        left if left < 64 => (1 << left) - 1,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_full_with_every_fork_in_it_and_not_before() {
        for forks in [1, 2, 63, 64, 65, 128, 1000] {
            let mut sets = ForkSets::new(forks);
            sets.push();
            sets.push();
            for fork in 0..forks {
                assert!(!sets.is_full(1), "{forks}");
                sets.insert(1, fork);
            }
            assert!(sets.is_full(1), "{forks}");
            sets.remove(1, forks - 1);
            assert!(!sets.is_full(1), "{forks}");
            sets.fill(1);
            assert!(!sets.is_full(0), "{forks}");
            sets.extend(0, 1);
            assert!(sets.is_full(0), "{forks}");
        }
    }
}
