//! A run and what follows from it: the JSON that is kept.

use serde::Serialize;

use crate::{
    day::Day,
    goals::{self, Verdict},
    report::Report,
};

/// What was measured, and what follows.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    #[serde(flatten)]
    pub(crate) report: Report,
    pub(crate) goals: Vec<Verdict>,
    /// A user's day, if all that it is made of was measured.
    pub(crate) day: Option<Day>,
}

impl Outcome {
    /// What follows from these measurements.
    pub(crate) fn of(report: Report) -> Self {
        Self { goals: goals::verdicts(&report), day: Day::of(&report), report }
    }
}
