//! Latencies and their percentiles.

use std::time::Duration;

/// Every latency of a measurement: exact percentiles, a few bytes each.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Adds all of another set.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time they took one after the other.
    pub(crate) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    /// The first that was added, in milliseconds, as long as no percentile was asked for; 0 if
    /// there are none.
    pub(crate) fn first_ms(&self) -> f64 {
        self.0.first().map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
    }

    /// The latency in milliseconds that `percent` of them do not exceed; 0 if there are none.
    pub(crate) fn percentile_ms(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latencies;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let cases = [
            (vec![], 50, 0.0),
            (vec![7], 99, 7.0),
            (vec![3, 1, 2], 50, 2.0),
            ((1..=100).collect(), 99, 99.0),
            ((1..=100).collect(), 100, 100.0),
            ((1..=200).collect(), 99, 198.0),
        ];
        for (millis, percent, expected) in cases {
            let mut latencies = Latencies(millis.into_iter().map(Duration::from_millis).collect());
            let found = latencies.percentile_ms(percent);
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }
}
