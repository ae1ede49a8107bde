//! What operations are meant to cost at most. A goal that is missed is shown and fails nothing.

use serde::Serialize;

use crate::{counts::Counts, report::Report};

/// A figure of an operation.
#[derive(Clone, Copy, Debug)]
enum Figure {
    /// Requests to objects as they are billed, alarms among them.
    ObjectRequests,
    D1Queries,
    /// Of objects.
    RowsWritten,
}

use Figure::{D1Queries, ObjectRequests, RowsWritten};

/// By operation: of everything that it causes, alarms included.
const GOALS: [(&str, Figure, f64); 15] = [
    ("poll.idle", ObjectRequests, 1.0),
    ("poll.idle", D1Queries, 0.0),
    ("send.alone", ObjectRequests, 1.0),
    ("send.alone", RowsWritten, 3.0),
    ("delivery", ObjectRequests, 3.0),
    ("delivery", RowsWritten, 4.0),
    ("send.1000.cold", ObjectRequests, 200.0),
    ("send.1000.cold", RowsWritten, 250.0),
    ("send.1000.cold.none", ObjectRequests, 5.0),
    ("typing", RowsWritten, 0.0),
    ("typing.50", RowsWritten, 0.0),
    // A receipt is one row with its index entries, whoever hears of it.
    ("receipt", RowsWritten, 3.0),
    ("receipt.50", RowsWritten, 3.0),
    ("unknown_room", RowsWritten, 0.0),
    ("unknown_room.again", ObjectRequests, 0.0),
];

/// How often a user's day is meant to fit into the free plan.
pub(crate) const DAYS_IN_FREE_PLAN: f64 = 10.0;

/// Whether a goal is met.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) operation: String,
    pub(crate) figure: &'static str,
    pub(crate) at_most: f64,
    pub(crate) found: f64,
    pub(crate) is_met: bool,
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Self::ObjectRequests => "object requests",
            Self::D1Queries => "D1 queries",
            Self::RowsWritten => "object rows written",
        }
    }

    fn of(self, counts: &Counts) -> f64 {
        match self {
            Self::ObjectRequests => counts.billed_object_requests(),
            Self::D1Queries => counts.d1_queries,
            Self::RowsWritten => counts.object_rows_written,
        }
    }
}

/// The verdicts on what was measured.
pub(crate) fn verdicts(report: &Report) -> Vec<Verdict> {
    let found = GOALS.iter().filter_map(|(operation, figure, at_most)| {
        let found = figure.of(&report.find(operation)?.total());
        Some(Verdict {
            operation: (*operation).to_owned(),
            figure: figure.name(),
            at_most: *at_most,
            found,
            is_met: found <= *at_most,
        })
    });
    found.filter(|_| report.is_full).collect()
}
