//! The full conflicted set: the events that forks do not agree about ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/v12/#definitions

use std::{collections::BinaryHeap, sync::Arc};

use rustc_hash::FxHashMap;

use super::{
    citers::{Cited, Citers},
    context::Context,
    forks::ForkSets,
};
use crate::engine::{Event, Incomplete, Num, View};

/// The union of the conflicted state set, the auth difference and, if wanted, the conflicted state
/// subgraph; by ascending number.
pub(super) fn full_set<V: View>(
    cx: &Context<'_, V>,
    with_subgraph: bool,
) -> Result<Vec<Arc<Event>>, Incomplete> {
    let mut walk = Walk::new(cx.forks);
    let smallest = walk.start(cx);
    let mut citers = Citers::default();
    while let Some((num, _)) = walk.heap.peek() {
        let subgraph_done = !with_subgraph || *num < smallest;
        if walk.partial == 0 && subgraph_done {
            break;
        }
        walk.step(cx, &mut citers, with_subgraph);
    }
    if with_subgraph {
        walk.join_subgraph();
    }
    let mut full: Vec<Num> =
        walk.nodes.iter().filter(|it| it.is_conflicted()).map(|it| it.num).collect();
    full.sort_unstable();
    let full: Vec<_> = full.into_iter().filter_map(|num| cx.event(num)).collect();
    cx.complete()?;
    Ok(full)
}

/// An event met by the walk.
struct Node {
    num: Num,
    /// In the conflicted state set.
    in_state: bool,
    /// In the auth difference.
    in_difference: bool,
    /// In the conflicted state subgraph.
    in_subgraph: bool,
}

impl Node {
    fn is_conflicted(&self) -> bool {
        self.in_state || self.in_difference || self.in_subgraph
    }
}

/// A walk from the conflicted state set down the auth chains, by descending number: when an event
/// is reached, all that cite it have been.
///
/// The set of an event names the forks whose auth chains its *auth events* are in: those whose
/// conflicted state has it, and those whose auth chain has it.
struct Walk {
    slots: FxHashMap<Num, usize>,
    nodes: Vec<Node>,
    sets: ForkSets,
    heap: BinaryHeap<(Num, usize)>,
    /// How many events in the heap are not in all forks: at 0, nothing below is in the difference.
    partial: usize,
    /// From each event to its auth events, in the order in which they were walked.
    edges: Vec<(usize, usize)>,
}

impl Walk {
    fn new(forks: usize) -> Self {
        Self {
            slots: FxHashMap::default(),
            nodes: Vec::new(),
            sets: ForkSets::new(forks),
            heap: BinaryHeap::new(),
            partial: 0,
            edges: Vec::new(),
        }
    }

    /// Begins with the conflicted state set, and tells its smallest number.
    fn start<V: View>(&mut self, cx: &Context<'_, V>) -> Num {
        let mut smallest = Num::MAX;
        for (_, column) in cx.keys.iter().filter(|(key, _)| cx.in_conflict(**key)) {
            if let Some(num) = column.rest() {
                let slot = self.slot(num);
                self.sets.fill(slot);
                for (fork, _) in column.others() {
                    self.sets.remove(slot, *fork);
                }
            }
            for (fork, event) in column.others() {
                let Some(num) = *event else { continue };
                let slot = self.slot(num);
                self.sets.insert(slot, *fork);
            }
            for num in column.events() {
                let slot = self.slot(num);
                if let Some(node) = self.nodes.get_mut(slot) {
                    node.in_state = true;
                }
                smallest = smallest.min(num);
            }
        }
        self.partial = (0..self.nodes.len()).filter(|slot| !self.sets.is_full(*slot)).count();
        smallest
    }

    /// Takes the event with the greatest number to its auth events.
    fn step<V: View>(&mut self, cx: &Context<'_, V>, citers: &mut Citers, with_subgraph: bool) {
        let Some((num, slot)) = self.heap.pop() else { return };
        if !self.sets.is_full(slot) {
            self.partial = self.partial.saturating_sub(1);
            self.decide(cx, citers, slot);
        }
        let Some(edges) = cx.edges(num) else { return };
        for auth in edges.auth.iter().copied() {
            let known = self.nodes.len();
            let to = self.slot(auth);
            let was_partial = to < known && !self.sets.is_full(to);
            self.sets.extend(to, slot);
            match (was_partial, !self.sets.is_full(to)) {
                (false, true) => self.partial += 1,
                (true, false) => self.partial = self.partial.saturating_sub(1),
                _ => {}
            }
            if with_subgraph {
                self.edges.push((slot, to));
            }
        }
    }

    /// Decides about an event that conflicted state cites in some forks but not in all: when an
    /// unconflicted state event cites it, it is in the auth chains of all.
    ///
    /// That all forks have the event itself in their state is not enough: by the definition an
    /// auth chain does not hold the event that it belongs to.
    ///
    /// Of events in the conflicted state set that need not be known: they are in the full set
    /// anyway, and what they cite is asked for itself.
    fn decide<V: View>(&mut self, cx: &Context<'_, V>, citers: &mut Citers, slot: usize) {
        let Some(node) = self.nodes.get_mut(slot).filter(|it| !it.in_state) else { return };
        match citers.of(cx, node.num) {
            Cited::ByNoneOfAll => node.in_difference = true,
            Cited::ByAll => self.sets.fill(slot),
            // Taken for the answer that asks for less: the next try knows.
            Cited::Unknown => {
                cx.miss();
                self.sets.fill(slot);
            }
        }
    }

    /// Adds the events between events of the conflicted state set: those that were walked to from
    /// one of them, and from which one of them can be walked to.
    fn join_subgraph(&mut self) {
        let mut leads: Vec<bool> = self.nodes.iter().map(|it| it.in_state).collect();
        // Backwards, an event's own edges come before those that lead to it.
        for (from, to) in self.edges.iter().rev() {
            if leads.get(*to) == Some(&true)
                && let Some(lead) = leads.get_mut(*from)
            {
                *lead = true;
            }
        }
        for (node, leads) in self.nodes.iter_mut().zip(leads) {
            node.in_subgraph = leads;
        }
    }

    /// The place of an event; it is put into the heap when it is met first.
    fn slot(&mut self, num: Num) -> usize {
        *self.slots.entry(num).or_insert_with(|| {
            let slot = self.nodes.len();
            self.nodes.push(Node {
                num,
                in_state: false,
                in_difference: false,
                in_subgraph: false,
            });
            self.sets.push();
            self.heap.push((num, slot));
            slot
        })
    }
}
