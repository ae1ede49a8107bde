//! What was measured in a run.

use serde::{Deserialize, Serialize};

use crate::counts::Counts;

/// What one operation was found to cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Until everybody who waited for it has been answered.
    pub(crate) operation: Counts,
    /// By the alarms that it left behind.
    pub(crate) alarms: Counts,
}

impl Measured {
    /// An operation whose alarms are another's.
    pub(crate) fn without_alarms(operation: Counts) -> Self {
        Self { operation, alarms: Counts::default() }
    }

    /// All of it.
    pub(crate) fn total(&self) -> Counts {
        &self.operation + &self.alarms
    }

    /// What it costs beyond another, without the alarms of either.
    pub(crate) fn beyond(&self, other: &Self) -> Self {
        Self::without_alarms(&self.operation - &other.operation)
    }

    /// Both, one after the other.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self { operation: &self.operation + &other.operation, alarms: &self.alarms + &other.alarms }
    }
}

/// A line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// How goals and the day refer to it.
    pub(crate) name: String,
    /// What is done, for people.
    pub(crate) does: String,
    pub(crate) measured: Option<Measured>,
    /// Why there is nothing measured.
    pub(crate) failed: Option<String>,
}

/// A whole run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Whether rooms had the sizes for which the goals are stated.
    pub(crate) is_full: bool,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Whether every operation came to its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.rows.iter().all(|it| it.failed.is_none())
    }

    /// What was measured under that name.
    pub(crate) fn find(&self, name: &str) -> Option<&Measured> {
        self.rows.iter().find(|it| it.name == name)?.measured.as_ref()
    }
}
