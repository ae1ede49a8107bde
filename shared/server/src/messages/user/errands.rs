//! Questions to many users, which one user's object asks for another.

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::Command;

/// Ask other users these questions, side by side, each of which may be repeated. A request at the
/// edge may ask a bounded number of objects: where it would ask more, some of them ask the others.
/// The answers come in the order of the questions. Where one fails, all are asked nevertheless.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunErrands {
    /// Whom, and what.
    pub errands: Vec<(OwnedUserId, Command)>,
}
