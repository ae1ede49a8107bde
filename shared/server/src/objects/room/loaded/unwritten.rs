//! What memory has and the store has not yet: plans that are to be written in one batch.
//!
//! Each is made on the one before it as if that were written. Whoever reads the store of the room
//! has the batch written first ([`Room::store_of`](crate::objects::room::Room::store_of)), so that
//! nothing is ever decided by less than what memory takes for written. When the batch fails, memory
//! is dropped.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ruma::OwnedServerName;

use crate::{
    objects::room::{limits, loaded::state_event::Changed},
    ports::{Stmt, Value},
};

/// What one batch writes, and what follows from it.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    pub(crate) stmts: Vec<Stmt>,
    /// Local users whose membership changes, in order.
    pub(crate) memberships: Vec<Changed>,
    /// Other servers, a user of which joins.
    pub(crate) servers: Vec<OwnedServerName>,
    /// When the alarm must come at the latest for what is put on the agenda.
    pub(crate) agenda_ms: Option<u64>,
}

/// Plans that wait to be written in one batch.
#[derive(Debug, Default)]
pub(crate) struct Unwritten(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    writes: Writes,
    plans: usize,
    bytes: usize,
    /// Whether the room had news before the first of them.
    had_news: bool,
    /// Memberships that have changed and are written, but of which nobody was told yet.
    untold: Vec<Changed>,
}

impl Unwritten {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more plan, behind those that wait. `has_news`: whether the room has any before it.
    pub(crate) fn add(&self, mut writes: Writes, has_news: bool) {
        let mut inner = self.inner();
        if inner.plans == 0 {
            inner.had_news = has_news;
        }
        inner.plans += 1;
        inner.bytes += writes.stmts.iter().map(bytes_of).sum::<usize>();
        let all = &mut inner.writes;
        all.stmts.append(&mut writes.stmts);
        all.memberships.append(&mut writes.memberships);
        all.servers.append(&mut writes.servers);
        all.agenda_ms = all.agenda_ms.into_iter().chain(writes.agenda_ms).min();
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.inner().plans == 0
    }

    /// Whether the batch is not to be larger.
    pub(crate) fn is_full(&self) -> bool {
        let inner = self.inner();
        inner.plans >= limits::RECEIVED_A_BATCH
            || inner.writes.stmts.len() >= limits::STMTS_A_BATCH
            || inner.bytes >= limits::BYTES_A_BATCH
    }

    /// Takes all that wait, if any does.
    pub(crate) fn take(&self) -> Option<Writes> {
        let mut inner = self.inner();
        if inner.plans == 0 {
            return None;
        }
        (inner.plans, inner.bytes) = (0, 0);
        Some(std::mem::take(&mut inner.writes))
    }

    /// Whether the room had news before the plans that were made last.
    pub(crate) fn had_news(&self) -> bool {
        self.inner().had_news
    }

    /// These memberships are written.
    pub(crate) fn add_untold(&self, mut memberships: Vec<Changed>) {
        self.inner().untold.append(&mut memberships);
    }

    /// The memberships that are written and of which nobody was told.
    pub(crate) fn take_untold(&self) -> Vec<Changed> {
        std::mem::take(&mut self.inner().untold)
    }
}

/// What a statement takes, in bytes: about.
fn bytes_of(stmt: &Stmt) -> usize {
    let bytes = |value: &Value| match value {
        Value::Null | Value::Integer(_) => size_of::<Value>(),
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
    };
    stmt.sql.len() + stmt.values.iter().map(bytes).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(stmts: usize, bytes: usize, agenda_ms: Option<u64>) -> Writes {
        let stmt = || Stmt { sql: "", values: vec![Value::Text("x".repeat(bytes))] };
        let stmts = (0..stmts).map(|_| stmt()).collect();
        Writes { stmts, agenda_ms, ..Writes::default() }
    }

    #[test]
    fn a_batch_is_full_by_plans_by_statements_and_by_bytes() {
        let cases = [
            (limits::RECEIVED_A_BATCH, 1, 0),
            (2, limits::STMTS_A_BATCH / 2, 0),
            (4, 1, limits::BYTES_A_BATCH / 4),
        ];
        for (plans, stmts, bytes) in cases {
            let unwritten = Unwritten::default();
            assert!(unwritten.is_empty() && unwritten.take().is_none());
            for number in 0..plans {
                assert!(!unwritten.is_full(), "{plans}: {number}");
                unwritten.add(writes(stmts, bytes, None), false);
                assert!(!unwritten.is_empty());
            }
            assert!(unwritten.is_full(), "{plans}");
            assert_eq!(unwritten.take().map(|it| it.stmts.len()), Some(plans * stmts));
            assert!(unwritten.is_empty() && !unwritten.is_full());
        }
    }

    #[test]
    fn the_alarm_comes_for_what_is_due_first_and_news_are_those_before_all() {
        let unwritten = Unwritten::default();
        for (agenda_ms, has_news) in [(None, false), (Some(7), true), (Some(5), true)] {
            unwritten.add(writes(1, 1, agenda_ms), has_news);
        }
        assert_eq!(unwritten.take().and_then(|it| it.agenda_ms), Some(5));
        assert!(!unwritten.had_news(), "also after they were taken");
        unwritten.add(writes(1, 1, None), true);
        assert!(unwritten.had_news());
        assert_eq!(unwritten.take().and_then(|it| it.agenda_ms), None, "that was of the others");
    }
}
