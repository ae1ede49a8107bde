//! What Skerry is meant to reach at full scale, with server and generator on two cores.

/// A bound for a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// By measurement and figure.
const TARGETS: [(&str, &str, Target); 36] = [
    ("cold_start", "p50", Target::AtMost(200.0)),
    ("cold_start", "first", Target::AtMost(200.0)),
    ("idle", "resident", Target::AtMost(40.0)),
    ("create_room", "p50", Target::AtMost(3.0)),
    ("sends_spread", "rate", Target::AtLeast(3_000.0)),
    ("sends_spread", "server_cpu", Target::AtMost(0.5)),
    ("sends_spread", "disk", Target::AtMost(20.0)),
    ("sends_shared", "rate", Target::AtLeast(1_500.0)),
    ("sends_shared", "p99", Target::AtMost(20.0)),
    ("sends_shared", "disk", Target::AtMost(20.0)),
    ("latency", "p50", Target::AtMost(4.0)),
    ("latency", "missed", Target::AtMost(0.0)),
    ("initial_sync", "p50", Target::AtMost(40.0)),
    ("messages", "rate", Target::AtLeast(30_000.0)),
    ("joins", "rate", Target::AtLeast(500.0)),
    // "No slower", with room for the noise of a fifth of a second's measurement.
    ("joins", "last_to_first", Target::AtLeast(0.9)),
    ("sends_big", "rate", Target::AtLeast(500.0)),
    ("members", "members_p50", Target::AtMost(5.0)),
    ("members", "joined_members_p50", Target::AtMost(5.0)),
    ("memory_after", "resident", Target::AtMost(120.0)),
    ("remote_join", "p50", Target::AtMost(100.0)),
    ("inbound", "rate", Target::AtLeast(5_000.0)),
    ("inbound", "server_cpu", Target::AtMost(0.15)),
    ("lag", "p50", Target::AtMost(15.0)),
    ("lag", "p99", Target::AtMost(40.0)),
    ("lag", "missed", Target::AtMost(0.0)),
    ("burst", "whole", Target::AtMost(2_000.0)),
    ("outages", "missed", Target::AtMost(0.0)),
    ("keys", "query_p50", Target::AtMost(25.0)),
    ("keys", "claim_p50", Target::AtMost(60.0)),
    ("keys", "send_p50", Target::AtMost(100.0)),
    ("soak", "send_p99", Target::AtMost(100.0)),
    ("soak", "heard_p99", Target::AtMost(100.0)),
    ("soak", "missed", Target::AtMost(0.0)),
    ("soak", "peak", Target::AtMost(200.0)),
    // What it began with is little: caches that were filled since are not growth.
    ("soak", "ended_to_began", Target::AtMost(1.25)),
];

impl Target {
    /// The target of a figure, if it has one.
    pub(crate) fn of(measurement: &str, figure: &str) -> Option<Self> {
        TARGETS
            .iter()
            .find(|(section, name, _)| *section == measurement && *name == figure)
            .map(|(_, _, target)| *target)
    }

    /// Whether a value reaches it.
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}
