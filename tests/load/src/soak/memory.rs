//! The server's memory, once a second.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{probe::Probe, report::Sheet};

const EVERY: Duration = Duration::from_secs(1);
const MIB: f64 = 1_048_576.0;

/// Resident memory over time, in MiB; nothing where the process is not known.
#[derive(Debug, Default)]
pub(super) struct Memories {
    began: Option<f64>,
    ended: Option<f64>,
    /// One a second from the beginning of the hostile clients to the end of the quiet.
    samples: Vec<f64>,
}

impl Memories {
    /// Takes what the server has before there are hostile clients.
    pub(super) fn begin(&mut self, probe: &Probe) {
        self.began = resident(probe);
    }

    /// Takes what it has in the end.
    pub(super) fn end(&mut self, probe: &Probe) {
        self.ended = resident(probe);
    }

    /// Samples until then.
    pub(super) async fn watch(&mut self, probe: &Probe, until: Instant) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < until {
            ticks.tick().await;
            self.samples.extend(resident(probe));
        }
    }

    /// Puts beginning, peak and end onto a sheet.
    pub(super) fn figures(&self, sheet: &mut Sheet) {
        let (Some(began), Some(ended)) = (self.began, self.ended) else { return };
        sheet.figure("began", began, "MiB");
        sheet.figure("peak", self.samples.iter().copied().fold(began, f64::max), "MiB");
        sheet.figure("ended", ended, "MiB");
        sheet.figure("ended_to_began", ended / began.max(1.0), "ratio");
    }

    /// All samples.
    pub(super) fn into_samples(self) -> Vec<f64> {
        self.samples
    }
}

fn resident(probe: &Probe) -> Option<f64> {
    probe.memory().map(|it| it.resident as f64 / MIB)
}
