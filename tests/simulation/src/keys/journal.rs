//! What was done with keys and messages, as far as clients were answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

/// See the module.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<Entries>);

/// A message to devices that was acknowledged.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Who sent it.
    pub from: String,
    /// The devices that have to get it: users and IDs.
    pub to: Vec<(String, String)>,
    /// When it was begun to be sent, and when that was acknowledged.
    pub began: Instant,
    /// See `began`.
    pub acknowledged: Instant,
}

/// See [`Secrets`].
#[derive(Debug, Default)]
pub struct Entries {
    /// Messages so far.
    pub messages: u64,
    /// By their numbers.
    pub sent: BTreeMap<u64, Sent>,
    /// One-time keys that somebody was given: user, device, name.
    pub claimed: BTreeSet<(String, String, String)>,
    /// The dehydrated device of each user, as long as it is certain that it is there.
    pub dehydrated: BTreeMap<String, String>,
}

impl Secrets {
    /// Reads and writes it.
    pub fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
