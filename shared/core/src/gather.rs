//! Making a collection of an iterator, item by item.

/// [`Iterator::collect`] for sorted maps and sets.
///
/// `collect` makes a list of the items, sorts it and builds the tree from that: some 5 KB of code
/// for each type, where putting items in one by one has little that is not there anyway. Of the
/// Worker, which is uploaded whole, that was 314 KB of 8.6 MB, before it is optimized.
pub trait Gather: Iterator + Sized {
    /// A collection of all items. Of those with the same key the last one stays.
    fn gather<C: Default + Extend<Self::Item>>(self) -> C {
        let mut gathered = C::default();
        gathered.extend(self);
        gathered
    }

    /// A collection of all items, or the first failure.
    fn try_gather<C: Default + Extend<T>, T, E>(self) -> Result<C, E>
    where
        Self: Iterator<Item = Result<T, E>>,
    {
        let mut gathered = C::default();
        for item in self {
            gathered.extend([item?]);
        }
        Ok(gathered)
    }
}

impl<I: Iterator> Gather for I {}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn what_is_gathered_is_what_would_be_collected() {
        let items = [(3, 'a'), (1, 'b'), (3, 'c'), (2, 'd')];
        let gathered: BTreeMap<_, _> = items.into_iter().gather();
        assert_eq!(gathered, items.into_iter().collect());
        let keys: BTreeSet<_> = gathered.into_keys().gather();
        assert_eq!(keys, BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn the_first_failure_ends_it() {
        let good: Result<BTreeSet<_>, &str> = [Ok(2), Ok(1)].into_iter().try_gather();
        assert_eq!(good, Ok(BTreeSet::from([1, 2])));
        let bad: Result<BTreeSet<u8>, _> =
            [Ok(2), Err("first"), Err("last")].into_iter().try_gather();
        assert_eq!(bad, Err("first"));
    }
}
