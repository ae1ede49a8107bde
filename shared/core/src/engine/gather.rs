//! Questions to a view that are asked together.

use super::Incomplete;

/// Collects answers of a view, so that one round asks for everything it can.
#[derive(Debug, Default)]
pub(super) struct Gather {
    missed: bool,
}

impl Gather {
    /// Takes an answer, or remembers that there was none.
    pub(super) fn take<T>(&mut self, answer: Option<T>) -> Option<T> {
        self.missed |= answer.is_none();
        answer
    }

    /// Ends the round.
    pub(super) fn done(&self) -> Result<(), Incomplete> {
        if self.missed { Err(Incomplete) } else { Ok(()) }
    }
}
