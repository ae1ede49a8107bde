//! The mainline ordering: by which power levels events build on ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/v2/#definitions

use std::{cmp::Reverse, sync::Arc};

use rustc_hash::FxHashMap;

use super::{Sorted, checks::Checks, context::Context};
use crate::engine::{Event, Incomplete, Num, View};

/// The position of events that build on no event of the mainline.
const INFINITE: usize = usize::MAX;

/// Sorts by the mainline ordering based on the power levels in the partially resolved state.
pub(super) fn sort<V: View>(
    cx: &Context<'_, V>,
    events: Vec<Arc<Event>>,
    partial: &Checks<'_, '_, V>,
) -> Result<Sorted, Incomplete> {
    let builds_on: Vec<_> = events.iter().map(|it| cx.power_levels_among(&it.auth)).collect();
    // Without a key no event builds on any power levels, and so none on the mainline.
    let newest = cx.power_levels_key().and_then(|key| partial.state(key));
    let mut mainline = Mainline::new(cx, newest);
    let mut sorted: Vec<_> = events
        .into_iter()
        .zip(builds_on)
        .map(|(event, on)| (on.map_or(INFINITE, |it| mainline.position(it)), event))
        .collect();
    cx.complete()?;
    sorted.sort_unstable_by(|(position, event), (other_position, other)| {
        (Reverse(*position), event.pdu.origin_server_ts, &event.pdu.event_id).cmp(&(
            Reverse(*other_position),
            other.pdu.origin_server_ts,
            &other.pdu.event_id,
        ))
    });
    Ok(sorted.into_iter().map(|it| it.1).collect())
}

/// The mainline, as far as it was needed: towards older events, whose numbers are smaller.
struct Mainline<'a, 'b, V> {
    cx: &'a Context<'b, V>,
    /// The oldest event so far; none when the mainline ends there.
    oldest: Option<Num>,
    length: usize,
    /// Positions of events of power levels: of the mainline, and of others that build on it.
    positions: FxHashMap<Num, usize>,
}

impl<'a, 'b, V: View> Mainline<'a, 'b, V> {
    fn new(cx: &'a Context<'b, V>, newest: Option<Num>) -> Self {
        let mut new = Self { cx, oldest: None, length: 0, positions: FxHashMap::default() };
        new.append(newest);
        new
    }

    fn append(&mut self, next: Option<Num>) {
        self.oldest = next;
        if let Some(next) = next {
            self.positions.insert(next, self.length);
            self.length += 1;
        }
    }

    /// The position of an event that builds on this event of power levels.
    fn position(&mut self, on: Num) -> usize {
        let mut passed = Vec::new();
        let mut next = Some(on);
        let mut position = INFINITE;
        while let Some(num) = next {
            while let Some(oldest) = self.oldest.filter(|it| *it > num) {
                let older = self.builds_on(oldest);
                self.append(older);
            }
            if let Some(known) = self.positions.get(&num) {
                position = *known;
                break;
            }
            passed.push(num);
            next = self.builds_on(num);
        }
        self.positions.extend(passed.into_iter().map(|num| (num, position)));
        position
    }

    /// The power levels among an event's auth events.
    fn builds_on(&self, num: Num) -> Option<Num> {
        let edges = self.cx.edges(num)?;
        self.cx.power_levels_among(&edges.auth)
    }
}
