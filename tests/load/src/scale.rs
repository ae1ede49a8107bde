//! How much each measurement does at most, in number and in time.

use std::time::Duration;

/// Clients that send at the same time.
pub(crate) const SENDERS: usize = 16;
/// Clients that long-poll while send-to-sync latency is measured.
pub(crate) const RECEIVERS: usize = 10;
/// Joins under way at the same time.
pub(crate) const JOINERS: usize = 8;
/// Registrations under way at the same time: password hashing fills a core each.
pub(crate) const REGISTRARS: usize = 4;
/// Events in a page of `/messages`.
pub(crate) const PAGE: usize = 100;
/// Time between two messages while latency is measured.
pub(crate) const LATENCY_INTERVAL: Duration = Duration::from_millis(250);
/// No measurement, with the preparation it needs, lasts longer.
pub(crate) const MEASURE_LIMIT: Duration = Duration::from_mins(15);

/// The size of a run. The time limits end a measurement early, not in failure.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) name: &'static str,
    /// Members of the big room besides its creator. At least 16 senders, one latency sender and
    /// 10 receivers are among them.
    pub(crate) joiners: usize,
    /// Rooms of the user whose initial sync is measured.
    pub(crate) rooms: usize,
    /// Of those, the ones that the spread sends go to.
    pub(crate) spread_rooms: usize,
    pub(crate) spread_sends: usize,
    pub(crate) shared_sends: usize,
    pub(crate) big_sends: usize,
    pub(crate) latency_messages: usize,
    /// Events the paged room holds at least, if `fill_time` suffices.
    pub(crate) page_events: usize,
    /// Joins that count as the first and as the last.
    pub(crate) join_window: usize,
    /// Answers per endpoint where the median of a few is reported.
    pub(crate) repeats: usize,
    pub(crate) send_time: Duration,
    pub(crate) fill_time: Duration,
    pub(crate) join_time: Duration,
    pub(crate) register_time: Duration,
}

impl Scale {
    /// The size that the project's targets are stated for.
    pub(crate) fn full() -> Self {
        Self {
            name: "full",
            joiners: 1_000,
            rooms: 220,
            spread_rooms: 200,
            spread_sends: 20_000,
            shared_sends: 10_000,
            big_sends: 5_000,
            latency_messages: 120,
            page_events: 10_000,
            join_window: 100,
            repeats: 10,
            send_time: Duration::from_secs(30),
            fill_time: Duration::from_mins(5),
            join_time: Duration::from_mins(4),
            register_time: Duration::from_mins(10),
        }
    }

    /// A minute or two on a slow server: shows that everything works, not how fast.
    pub(crate) fn small() -> Self {
        Self {
            name: "small",
            joiners: 60,
            rooms: 22,
            spread_rooms: 20,
            spread_sends: 400,
            shared_sends: 400,
            big_sends: 100,
            latency_messages: 20,
            page_events: 1_000,
            join_window: 10,
            repeats: 3,
            send_time: Duration::from_secs(10),
            fill_time: Duration::from_secs(30),
            join_time: Duration::from_mins(1),
            register_time: Duration::from_mins(2),
        }
    }

    /// A few minutes on a server that does some hundreds of messages a second, such as the Worker
    /// on one machine: fewer rooms and messages than `full`, enough of each for its median.
    pub(crate) fn edge() -> Self {
        Self {
            name: "edge",
            joiners: 400,
            rooms: 50,
            spread_rooms: 48,
            spread_sends: 5_000,
            shared_sends: 2_500,
            big_sends: 500,
            latency_messages: 60,
            page_events: 2_000,
            join_window: 50,
            repeats: 10,
            send_time: Duration::from_secs(20),
            fill_time: Duration::from_mins(1),
            join_time: Duration::from_mins(1),
            register_time: Duration::from_mins(2),
        }
    }
}
