//! A page of an answer: about as many rooms as may be read for one request, and a token that says
//! which are still to come. Where rooms turn out to be large, it ends earlier
//! ([`Page::rest_before`]).
//!
//! Pages follow the order in which the user came into the rooms, which does not change while a
//! client catches up. The order of what changed would not do: a token that claims the stream up to
//! some position claims every read that was recorded until then, also of rooms that changed again
//! later and are not on the page.

use super::{Ask, Change};
use crate::sync_token::{Rest, SyncToken};

/// A room of which a client would be given something.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// What it would be given.
    pub change: Change,
    /// [`super::RoomEntry::membership_seq`].
    pub membership_seq: u64,
}

/// Which rooms are given: of those that are to be read, the ones joined last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The rooms that are left for the next page, as its token says.
    pub rest: Option<Rest>,
}

impl Page {
    /// Finds the page of about `limit` rooms that are to be read.
    ///
    /// When more rooms than that changed again since the last page, those of them that do not fit
    /// fall back among the rest, and what the client was given of them comes again.
    pub fn cut(candidates: &[Candidate], ask: &Ask, limit: usize) -> Self {
        let to_read = candidates.iter().filter(|it| it.is_read());
        let mut to_read: Vec<_> = to_read.map(|it| it.membership_seq).collect();
        if to_read.len() <= limit {
            return Self { rest: None };
        }
        to_read.sort_unstable_by_key(|it| std::cmp::Reverse(*it));
        let last = to_read.get(limit.saturating_sub(1)).copied();
        Self { rest: last.map(|before| Self::rest_before(before, ask.since)) }
    }

    /// What is left when a page ends with the rooms whose membership was set at this position of
    /// the stream. `since` is the token that was asked with.
    pub fn rest_before(before: u64, since: Option<SyncToken>) -> Rest {
        let seen = since.and_then(|since| match since.rest {
            None => Some(since.seen()),
            Some(rest) => rest.seen,
        });
        Rest { before, seen }
    }

    /// Whether the room is on the page. What costs no reading always is: it may be given again.
    pub fn gives(&self, candidate: &Candidate) -> bool {
        let is_left = self.rest.is_some_and(|rest| candidate.membership_seq < rest.before);
        !(is_left && candidate.is_read())
    }
}

impl Candidate {
    /// Whether the room itself is to be read.
    fn is_read(&self) -> bool {
        matches!(self.change, Change::Joined { has_events: true, .. } | Change::Left { .. })
    }
}
