//! What differs between forks, by key: what most of them have, and who has something else.

use std::collections::BTreeMap;

use crate::engine::{KeyId, Num};

/// What differs between forks.
#[derive(Clone, Debug, Default)]
pub struct Conflict {
    /// How many forks there are.
    pub forks: usize,
    /// Every key whose event is not the same in all forks.
    pub keys: BTreeMap<KeyId, Column>,
}

/// What the forks have for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What all others have: one of them at least.
    rest: Option<Num>,
    /// What some forks have instead, in their order.
    others: Box<[(usize, Option<Num>)]>,
}

impl Column {
    /// Of so many forks, some have these events (each fork at most once, in their order), and all
    /// others `rest`.
    pub fn new(forks: usize, mut rest: Option<Num>, others: Vec<(usize, Option<Num>)>) -> Self {
        if others.len() >= forks
            && let Some((_, event)) = others.first()
        {
            rest = *event;
        }
        let others = others.into_iter().filter(|(_, event)| *event != rest).collect();
        Self { rest, others }
    }

    /// Whether all forks have the same.
    pub(super) fn is_agreed(&self) -> bool {
        self.others.is_empty()
    }

    /// What those forks have that are not among the others.
    pub(super) fn rest(&self) -> Option<Num> {
        self.rest
    }

    /// What some forks have instead of that.
    pub(super) fn others(&self) -> &[(usize, Option<Num>)] {
        &self.others
    }

    /// What the forks have; an event may be there more than once.
    pub fn events(&self) -> impl Iterator<Item = Num> {
        [self.rest].into_iter().chain(self.others.iter().map(|it| it.1)).flatten()
    }
}

impl FromIterator<Option<Num>> for Column {
    /// What each fork has, in their order.
    fn from_iter<T: IntoIterator<Item = Option<Num>>>(events: T) -> Self {
        let events: Vec<_> = events.into_iter().enumerate().collect();
        Self::new(events.len(), None, events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forks_have_is_told_in_one_way() {
        let cases = [
            ("all the same", Column::from_iter([Some(1), Some(1)]), Some(1), &[][..]),
            ("some another", Column::from_iter([Some(1), Some(2)]), Some(1), &[(1, Some(2))]),
            ("some none", Column::new(3, Some(1), vec![(1, None)]), Some(1), &[(1, None)]),
            ("none but one", Column::new(3, None, vec![(2, Some(4))]), None, &[(2, Some(4))]),
            (
                "nobody what the rest would have",
                Column::new(2, Some(1), vec![(0, Some(2)), (1, Some(3))]),
                Some(2),
                &[(1, Some(3))],
            ),
            (
                "all the same, and not the rest",
                Column::new(2, Some(1), vec![(0, Some(2)), (1, Some(2))]),
                Some(2),
                &[],
            ),
        ];
        for (name, column, rest, others) in cases {
            assert_eq!((column.rest(), column.others()), (rest, others), "{name}");
            assert_eq!(column.is_agreed(), others.is_empty(), "{name}");
        }
    }
}
