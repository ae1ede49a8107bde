//! The part of a measurement that counts, and what it cost server and generator.

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    probe::{Probe, client_cpu, machine_cpu},
    target::Target,
    world::World,
};

/// An open window.
#[derive(Debug)]
pub(crate) struct Window {
    started: Instant,
    server_cpu: Option<f64>,
    client_cpu: f64,
    machine_cpu: Option<f64>,
    disk: Option<u64>,
    limited: u64,
}

/// What was used while a window was open.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    pub(crate) server_cpu_seconds: Option<f64>,
    pub(crate) client_cpu_seconds: f64,
    /// Of everything else on the machine: much of it, and the figures are too low.
    pub(crate) other_cpu_seconds: Option<f64>,
    /// By how much the data directory grew; negative if the server compacted it.
    pub(crate) disk_growth_bytes: Option<f64>,
    /// Requests answered with 429. The figures mean nothing unless this is 0.
    pub(crate) rate_limited: u64,
}

impl Window {
    /// Opens a window; its time starts last.
    pub(crate) fn open(world: &World) -> Self {
        Self::over(&world.probe, &world.target)
    }

    /// The same over servers that are no world's.
    pub(crate) fn over(probe: &Probe, target: &Target) -> Self {
        Self {
            disk: probe.disk(),
            server_cpu: probe.server_cpu(),
            client_cpu: client_cpu(),
            machine_cpu: machine_cpu(),
            limited: target.limited(),
            started: Instant::now(),
        }
    }

    /// Closes it; its time ends first.
    pub(crate) fn close(self, world: &World) -> Usage {
        self.close_over(&world.probe, &world.target)
    }

    /// Closes one that was opened over these.
    pub(crate) fn close_over(self, probe: &Probe, target: &Target) -> Usage {
        let seconds = self.started.elapsed().as_secs_f64();
        let client_cpu_seconds = client_cpu() - self.client_cpu;
        let growth = |after: Option<f64>, before: Option<f64>| Some(after? - before?);
        let server_cpu_seconds = growth(probe.server_cpu(), self.server_cpu);
        let machine_cpu_seconds = growth(machine_cpu(), self.machine_cpu);
        Usage {
            seconds,
            server_cpu_seconds,
            client_cpu_seconds,
            other_cpu_seconds: growth(machine_cpu_seconds, server_cpu_seconds)
                .map(|it| (it - client_cpu_seconds).max(0.0)),
            disk_growth_bytes: growth(
                probe.disk().map(|it| it as f64),
                self.disk.map(|it| it as f64),
            ),
            rate_limited: target.limited() - self.limited,
        }
    }
}
