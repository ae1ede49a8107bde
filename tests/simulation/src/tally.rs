//! What happened in runs, so that they show what they cover.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

/// How often what happened.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    /// It happened once more.
    pub fn count(&self, what: &'static str) {
        self.add(what, 1);
    }

    /// It happened so often.
    pub fn add(&self, what: &'static str, times: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what).or_default() += times;
    }

    /// How often it happened.
    pub fn of(&self, what: &str) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(what).copied().unwrap_or_default()
    }

    /// Takes in what happened elsewhere.
    pub fn sum(&self, other: &Self) {
        let counts = other.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (what, times) in counts {
            self.add(what, times);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<_> = counts.iter().map(|(what, times)| format!("{what}: {times}")).collect();
        formatter.write_str(&lines.join(", "))
    }
}
