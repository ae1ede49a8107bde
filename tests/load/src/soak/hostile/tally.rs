//! What hostile clients were answered.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::Serialize;

/// Counts of one kind of clients.
#[derive(Debug, Default)]
pub(super) struct Tally {
    accepted: AtomicU64,
    refused: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
    closed: AtomicU64,
    slowest_us: AtomicU64,
}

/// The counts when it is over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    kind: &'static str,
    accepted: u64,
    /// 4xx, without 429. What is neither this nor anything else is counted here as well.
    refused: u64,
    limited: u64,
    /// 5xx.
    failed: u64,
    /// By the server, with no answer or in the middle of one.
    closed: u64,
    slowest_ms: f64,
    error: Option<String>,
}

impl Tally {
    /// An answer came, and took so long.
    pub(super) fn answered(&self, status: u16, took: Duration) {
        let counter = match status {
            200..=299 => &self.accepted,
            429 => &self.limited,
            500.. => &self.failed,
            _ => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.slowest_us.fetch_max(us, Ordering::Relaxed);
    }

    /// A connection was closed.
    pub(super) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// What it came to.
    pub(super) fn line(&self, kind: &'static str, error: Option<String>) -> Line {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Line {
            kind,
            accepted: get(&self.accepted),
            refused: get(&self.refused),
            limited: get(&self.limited),
            failed: get(&self.failed),
            closed: get(&self.closed),
            slowest_ms: get(&self.slowest_us) as f64 / 1e3,
            error,
        }
    }
}

impl Line {
    /// Why the clients could not do what they meant to.
    pub(crate) fn error(&self) -> Option<String> {
        self.error.clone()
    }

    /// As a line of text.
    pub(crate) fn table(&self) -> String {
        let Self { kind, accepted, refused, limited, failed, closed, slowest_ms, error: _ } = self;
        format!(
            "{kind:<14}{accepted:>10}{refused:>10}{limited:>10}{failed:>10}{closed:>10}\
             {slowest_ms:>14.0}\n"
        )
    }
}
