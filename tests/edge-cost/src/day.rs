//! A day of one user, composed of what single operations were measured to cost.
//!
//! It is meant to be a busy day, and counted rather too high: every poll runs its full half minute,
//! although messages end many of them early, and no two messages share a delivery.

use serde::Serialize;

use crate::{
    counts::Counts,
    prices,
    report::{Measured, Report},
};

/// Hours of the day in which people write.
const WAKING_HOURS: f64 = 16.0;
/// Hours in which each of the user's clients polls.
const CLIENT_HOURS: [f64; 3] = [24.0, 8.0, 2.0];
/// Times a client is opened and syncs what it has missed: the second client once, the third twice.
const RETURNS: f64 = 3.0;
/// Polls an hour, of 30 s each.
const POLLS_AN_HOUR: f64 = 120.0;
/// Messages of others in the user's 20 rooms.
const MESSAGES_IN: f64 = 500.0;
/// Messages of the user; the user's own clients hear of them too.
const MESSAGES_OUT: f64 = 50.0;
/// Times the user begins and stops typing: once a message.
const TYPING_OUT: f64 = MESSAGES_OUT;
/// Receipts of the user: one for ten messages read.
const RECEIPTS_OUT: f64 = MESSAGES_IN / 10.0;
/// Receipts and typing of others that arrive while a client polls, of the whole day.
const EPHEMERAL_IN: f64 = 200.0;

/// The day and what it is made of.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Day {
    pub(crate) parts: Vec<Part>,
    pub(crate) total: Counts,
    /// How often it fits into a day of the free plan.
    pub(crate) fits_free_plan: f64,
    /// What the free plan runs out of first.
    pub(crate) limited_by: &'static str,
    /// Dollars a month, when everything that the paid plan includes is used up.
    pub(crate) dollars_a_month: f64,
}

/// One thing that is done some number of times.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) does: &'static str,
    /// The operation that was measured.
    pub(crate) operation: &'static str,
    pub(crate) times: f64,
    /// All of them together.
    pub(crate) counts: Counts,
}

impl Day {
    /// The day by a report; nothing if an operation is missing from it.
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let hearing: f64 = CLIENT_HOURS.iter().map(|it| (it / WAKING_HOURS).min(1.0)).sum();
        let polls = CLIENT_HOURS.iter().sum::<f64>() * POLLS_AN_HOUR;
        let parts = [
            ("idle polls", "poll.idle", polls),
            (
                "messages that reach a polling client",
                "delivery.next_poll",
                (MESSAGES_IN + MESSAGES_OUT) * hearing,
            ),
            ("receipts and typing that do", "receipt.next_poll", EPHEMERAL_IN * hearing),
            ("messages sent", "send.alone", MESSAGES_OUT),
            ("typing", "typing", TYPING_OUT),
            ("receipts sent, with read markers", "read_markers", RECEIPTS_OUT),
            ("clients opened after an absence", "poll.catch_up", RETURNS),
        ];
        let parts = parts.into_iter().map(|(does, operation, times)| {
            let counts = &report.find(operation).map(Measured::total)? * times;
            Some(Part { does, operation, times, counts })
        });
        let parts = parts.collect::<Option<Vec<_>>>()?;
        let mut total = Counts::default();
        for part in &parts {
            total = &total + &part.counts;
        }
        total.commands.clear();
        let (fits_free_plan, limited_by) = prices::fits_free_plan(&total);
        let dollars_a_month = prices::dollars(&total) * prices::DAYS;
        Some(Self { parts, total, fits_free_plan, limited_by, dollars_a_month })
    }
}
