//! Counting around an operation: wait until nothing happens, count from zero, do it, wait again.

use std::time::Duration;

use serde::Deserialize;
use skerry_tests::{Client, Server};
use tokio::time::{Instant, sleep};

use crate::{clock::CpuClock, counts::Counts, report::Measured};

const PATH: &str = "/_skerry/test/costs";
/// Without any change for so long, an operation is over, but for its alarms. It is longer than
/// anything is held back to be done together with more of its kind.
const QUIET: Duration = Duration::from_millis(2_500);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Alarms that are due within this time are an operation's own; later ones are housekeeping.
const OWN_ALARMS_MS: u64 = 70_000;
/// An operation that goes on for longer has failed.
const PATIENCE: Duration = Duration::from_mins(5);
/// An object that is asked something so often does not leave memory.
const AWAKE: Duration = Duration::from_secs(3);
/// How long the CPU that looking costs is measured.
const CALIBRATION: Duration = Duration::from_secs(5);

/// Reads and resets the counters of one server.
#[derive(Debug)]
pub(crate) struct Meter {
    client: Client,
    clock: Option<CpuClock>,
    /// CPU seconds that workerd uses a second while it is only looked at.
    looking: f64,
    explains: bool,
}

#[derive(Debug, Deserialize)]
struct Reading {
    #[serde(flatten)]
    counts: Counts,
    alarms_due_in_ms: Vec<u64>,
}

impl Reading {
    /// How long it is until the first of the alarms that are an operation's own.
    fn next_own_alarm(&self) -> Option<Duration> {
        let due = self.alarms_due_in_ms.iter().filter(|it| **it <= OWN_ALARMS_MS).min();
        due.copied().map(Duration::from_millis)
    }
}

impl Meter {
    /// A meter of that server.
    pub(crate) async fn new(server: &Server, explains: bool) -> Self {
        let clock = CpuClock::of_workerd_below(server.pid());
        let mut meter = Self { client: Client::new(server.url()), clock, looking: 0.0, explains };
        meter.reset().await;
        let (started, cpu) = (Instant::now(), meter.cpu());
        while started.elapsed() < CALIBRATION {
            sleep(LOOK).await;
            meter.read().await;
        }
        meter.looking =
            meter.cpu().saturating_sub(cpu).as_secs_f64() / started.elapsed().as_secs_f64();
        meter
    }

    /// Waits until nothing happens and no alarm is due soon.
    pub(crate) async fn calm(&self) {
        self.quiet().await;
        self.alarms_over().await;
    }

    /// The same, while something is done again and again that keeps an object in memory.
    pub(crate) async fn calm_while(&self, keep_awake: impl AsyncFn()) {
        self.quiet().await;
        let started = Instant::now();
        while let Some(due) = self.read().await.next_own_alarm() {
            assert!(started.elapsed() < PATIENCE, "alarms do not come to an end");
            sleep(due.min(AWAKE)).await;
            keep_awake().await;
        }
        self.quiet().await;
    }

    /// Counts an operation, and apart from it what its alarms do.
    pub(crate) async fn measure(&self, operation: impl Future<Output = ()>) -> Measured {
        let own = self.measure_without_alarms(operation).await.operation;
        let before = self.cpu();
        let (counts, looked) = self.alarms_over().await;
        let alarms = Counts { cpu_ms: self.since(before, looked), ..(&counts - &own) };
        Measured { operation: own, alarms }
    }

    /// Counts an operation that comes so soon after another that its alarms are the other's.
    pub(crate) async fn measure_without_alarms(
        &self,
        operation: impl Future<Output = ()>,
    ) -> Measured {
        self.quiet().await;
        self.reset().await;
        let before = self.cpu();
        operation.await;
        let (counts, looked) = self.quiet().await;
        let cpu_ms = self.since(before, looked);
        Measured::without_alarms(Counts { cpu_ms, ..counts })
    }

    /// Waits until nothing changes. Tells what is counted by then and how long it was looked at.
    async fn quiet(&self) -> (Counts, Duration) {
        let started = Instant::now();
        let (mut last, mut changed_at) = (self.read().await.counts, Instant::now());
        while changed_at.elapsed() < QUIET {
            assert!(started.elapsed() < PATIENCE, "the server does not come to rest");
            sleep(LOOK).await;
            let counts = self.read().await.counts;
            if counts != last {
                (last, changed_at) = (counts, Instant::now());
            }
        }
        (last, started.elapsed())
    }

    /// Waits for the alarms that are due soon, and for what they start.
    async fn alarms_over(&self) -> (Counts, Duration) {
        let started = Instant::now();
        let mut looked = Duration::ZERO;
        loop {
            let reading = self.read().await;
            let Some(due) = reading.next_own_alarm() else { return (reading.counts, looked) };
            assert!(started.elapsed() < PATIENCE, "alarms do not come to an end");
            sleep(due).await;
            looked += self.quiet().await.1;
        }
    }

    async fn read(&self) -> Reading {
        serde_json::from_value(self.client.get(PATH).ok().await).expect("counts")
    }

    async fn reset(&self) {
        let request = self.client.post(PATH);
        match self.explains {
            true => request.query("explain", 1).ok().await,
            false => request.ok().await,
        };
    }

    fn cpu(&self) -> Duration {
        self.clock.map_or(Duration::ZERO, CpuClock::now)
    }

    /// Milliseconds of CPU since then, without what looking for so long has cost.
    fn since(&self, before: Duration, looked: Duration) -> f64 {
        let used =
            self.cpu().saturating_sub(before).as_secs_f64() - self.looking * looked.as_secs_f64();
        (used * 1e4).round().max(0.0) / 10.0
    }
}
