//! What only a soak reports: what the hostile clients were answered, and memory second by second.

use std::fmt::Write as _;

use serde::Serialize;

use super::{hostile::Line, memory::Memories};

/// Samples of memory are a second apart.
const SAMPLES_A_MINUTE: usize = 60;

/// Part of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Soaked {
    hostile: Vec<Line>,
    /// Resident memory, in MiB, from the beginning of the hostile clients to the end of the quiet.
    memory_by_second: Vec<f64>,
}

impl Soaked {
    /// Of all kinds of hostile clients.
    pub(super) fn new(hostile: Vec<Line>, memories: Memories) -> Self {
        Self { hostile, memory_by_second: memories.into_samples() }
    }

    /// As text.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "\n{:<14}{:>10}{:>10}{:>10}{:>10}{:>10}{:>14}\n",
            "hostile", "2xx", "4xx", "429", "5xx", "closed", "slowest (ms)"
        );
        self.hostile.iter().for_each(|it| text.push_str(&it.table()));
        text.push_str("\nhighest memory by minute (MiB):");
        for minute in self.memory_by_second.chunks(SAMPLES_A_MINUTE) {
            let _ = write!(text, " {:.0}", minute.iter().copied().fold(0.0, f64::max));
        }
        text.push('\n');
        text
    }
}
