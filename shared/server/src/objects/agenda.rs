//! What an object has to do at a later time: named due times, one row each, one alarm for all.
//!
//! **Invariant:** whenever something stands in the agenda, an alarm is set for it or for an
//! earlier time: both are written in one batch. An alarm that comes early finds nothing due and
//! is set again. Nothing depends on a host that repeats an alarm: what fails is put off by the
//! object itself.

use std::{collections::BTreeMap, fmt::Debug};

use skerry_core::gather::Gather as _;

use crate::{
    Result,
    ports::{Sql, Stmt},
    store::agenda,
};

/// The kinds of things one kind of object may have to do.
pub trait Due: Copy + Ord + Debug + Send + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Its name in the store, which is never changed.
    fn name(self) -> &'static str;
}

/// An object's agenda, as its store has it.
#[derive(Debug)]
pub struct Agenda<D>(BTreeMap<D, u64>);

/// Changes of an agenda, which go into a batch.
#[derive(Clone, Debug)]
pub struct AgendaPlan<D>(BTreeMap<D, Option<u64>>);

impl<D> Default for AgendaPlan<D> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<D> Default for Agenda<D> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<D: Due> AgendaPlan<D> {
    /// This is to be done at (milliseconds since the Unix epoch) or soon after.
    pub fn set(&mut self, due: D, at_ms: u64) {
        self.0.insert(due, Some(at_ms));
    }

    /// This is done, or need not be done.
    pub fn clear(&mut self, due: D) {
        self.0.insert(due, None);
    }

    /// Whether this is set here.
    pub fn sets(&self, due: D) -> bool {
        matches!(self.0.get(&due), Some(Some(_)))
    }

    /// What the store is told of it.
    pub fn stmts(&self, scope: i64) -> Vec<Stmt> {
        let stmt = |(due, at_ms): (&D, &Option<u64>)| match at_ms {
            Some(at_ms) => agenda::upsert(scope, due.name(), *at_ms),
            None => agenda::remove(scope, due.name()),
        };
        self.0.iter().map(stmt).collect()
    }

    /// When the alarm must come at the latest for what is set here.
    pub fn alarm_by_ms(&self) -> Option<u64> {
        self.0.values().flatten().min().copied()
    }
}

impl<D: Due> Agenda<D> {
    /// Reads the agenda. Entries of a kind that this program does not know stay in the store for
    /// the one that does.
    pub async fn load(sql: &dyn Sql, scope: i64) -> Result<Self> {
        let stored = agenda::list(sql, scope).await?;
        let known = stored.into_iter().filter_map(|(name, at_ms)| {
            let due = D::ALL.iter().find(|it| it.name() == name)?;
            Some((*due, at_ms))
        });
        Ok(Self(known.gather()))
    }

    /// When this is due, if it is to be done at all.
    pub fn at_ms(&self, due: D) -> Option<u64> {
        self.0.get(&due).copied()
    }

    /// What is due, the longest overdue first.
    pub fn due(&self, now_ms: u64) -> Vec<D> {
        let mut due: Vec<_> = self.0.iter().filter(|(_, at_ms)| **at_ms <= now_ms).collect();
        due.sort_by_key(|(_, at_ms)| **at_ms);
        due.into_iter().map(|(due, _)| *due).collect()
    }

    /// When the next thing is due.
    pub fn next_ms(&self) -> Option<u64> {
        self.0.values().min().copied()
    }

    /// The plan was written.
    pub fn apply(&mut self, plan: AgendaPlan<D>) {
        for (due, at_ms) in plan.0 {
            match at_ms {
                Some(at_ms) => self.0.insert(due, at_ms),
                None => self.0.remove(&due),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Chore {
        Dishes,
        Laundry,
    }

    impl Due for Chore {
        const ALL: &'static [Self] = &[Self::Dishes, Self::Laundry];

        fn name(self) -> &'static str {
            match self {
                Self::Dishes => "dishes",
                Self::Laundry => "laundry",
            }
        }
    }

    #[test]
    fn what_is_overdue_longest_comes_first() {
        let mut agenda = Agenda(BTreeMap::new());
        let mut plan = AgendaPlan::default();
        plan.set(Chore::Dishes, 20);
        plan.set(Chore::Laundry, 10);
        assert_eq!(plan.alarm_by_ms(), Some(10));
        agenda.apply(plan);
        assert_eq!(agenda.due(9), []);
        assert_eq!(agenda.due(10), [Chore::Laundry]);
        assert_eq!(agenda.due(20), [Chore::Laundry, Chore::Dishes]);
        let mut plan = AgendaPlan::default();
        plan.clear(Chore::Laundry);
        assert_eq!(plan.alarm_by_ms(), None);
        agenda.apply(plan);
        assert_eq!(agenda.next_ms(), Some(20));
    }
}
