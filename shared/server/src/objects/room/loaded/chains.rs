//! What chains of states change, as far as it was read: stretches of groups. What is written later
//! is added, so that an event costs no reading of what was before it.

use std::collections::{BTreeMap, HashMap};

use skerry_core::{
    engine::{KeyId, Num, StateAt, Withdrawal},
    gather::Gather as _,
};

/// What a delta takes in memory, in bytes: about.
const DELTA_BYTES: usize = 32;

/// What a stretch takes beside that.
const STRETCH_BYTES: usize = 120;

/// What a key has from a group on.
type Delta = (u64, KeyId, Option<Num>);

/// What a chain changes in groups with `after < group <= upto`.
#[derive(Debug)]
struct Stretch {
    after: u64,
    upto: u64,
    /// In the order of their groups.
    deltas: Vec<Delta>,
}

impl Stretch {
    fn covers(&self, after: u64, upto: u64) -> bool {
        self.after <= after && upto <= self.upto
    }
}

/// Chains, as far as they were read.
#[derive(Debug, Default)]
pub(super) struct Chains(HashMap<u64, Vec<Stretch>>);

impl Chains {
    /// What they hold, in bytes: about.
    pub(super) fn bytes(&self) -> usize {
        let stretches = || self.0.values().flatten();
        let deltas: usize = stretches().map(|it| it.deltas.len()).sum();
        deltas * DELTA_BYTES + stretches().count() * STRETCH_BYTES
    }

    /// Each key that a chain changes with `after < group <= upto`, with its last event. None: that
    /// was not read.
    pub(super) fn deltas(
        &self,
        chain: u64,
        after: u64,
        upto: u64,
    ) -> Option<Vec<(KeyId, Option<Num>)>> {
        let stretch = self.0.get(&chain)?.iter().find(|it| it.covers(after, upto))?;
        let first = stretch.deltas.partition_point(|it| it.0 <= after);
        let rest = stretch.deltas.get(first..).unwrap_or_default().iter();
        let within = rest.take_while(|it| it.0 <= upto);
        let latest: BTreeMap<_, _> = within.map(|(_, key, event)| (*key, *event)).gather();
        Some(latest.into_iter().collect())
    }

    /// A stretch was read.
    pub(super) fn load(&mut self, chain: u64, (after, upto): (u64, u64), deltas: Vec<Delta>) {
        let stretches = self.0.entry(chain).or_default();
        stretches.retain(|it| !(after <= it.after && it.upto <= upto));
        stretches.push(Stretch { after, upto, deltas });
    }

    /// A chain changes a key in a group; what it changed before that ends with `last`.
    pub(super) fn extend(&mut self, at: StateAt, last: u64, key: KeyId, event: Option<Num>) {
        for stretch in self.0.get_mut(&at.chain).into_iter().flatten() {
            if stretch.upto >= last {
                stretch.deltas.push((at.group, key, event));
                stretch.upto = stretch.upto.max(at.group);
            }
        }
    }

    /// No state has this event, nor ever had.
    pub(super) fn withdraw(&mut self, it: Withdrawal) {
        for (_, _, event) in self.0.values_mut().flatten().flat_map(|it| &mut it.deltas) {
            *event = it.of(*event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_a_chain() {
        let mut chains = Chains::default();
        let (one, two) = (KeyId(1), KeyId(2));
        assert_eq!(chains.deltas(0, 3, 9), None);
        chains.load(0, (3, 9), vec![(4, one, Some(40)), (6, two, Some(60)), (9, one, None)]);
        let cases = [
            ((3, 9), Some(vec![(one, None), (two, Some(60))])),
            ((3, 8), Some(vec![(one, Some(40)), (two, Some(60))])),
            ((4, 6), Some(vec![(two, Some(60))])),
            ((9, 9), Some(Vec::new())),
            ((2, 9), None),
            ((3, 10), None),
        ];
        for ((after, upto), expected) in cases {
            assert_eq!(chains.deltas(0, after, upto), expected, "{after}..{upto}");
        }
        let at = |group| StateAt { chain: 0, group };
        chains.extend(at(12), 9, one, Some(120));
        chains.extend(at(12), 12, two, Some(121));
        assert_eq!(chains.deltas(0, 9, 12), Some(vec![(one, Some(120)), (two, Some(121))]));
        // Something in between was not heard of.
        chains.load(0, (0, 2), vec![(1, one, Some(10))]);
        chains.extend(at(15), 12, one, Some(150));
        assert_eq!(chains.deltas(0, 0, 15), None);
        assert_eq!(chains.deltas(0, 12, 15), Some(vec![(one, Some(150))]));
        chains.withdraw(Withdrawal { num: 120, instead: Some(40) });
        assert_eq!(chains.deltas(0, 9, 12), Some(vec![(one, Some(40)), (two, Some(121))]));
        // What is within another is not kept.
        chains.load(0, (0, 20), Vec::new());
        assert_eq!(chains.deltas(0, 9, 12), Some(Vec::new()));
    }
}
