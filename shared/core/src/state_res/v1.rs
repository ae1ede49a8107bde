//! The first state resolution algorithm ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/v1/#state-resolution

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use ruma::events::TimelineEventType;
use rustc_hash::FxHashMap;
use sha1::{Digest, Sha1};

use super::{checks::is_allowed, context::Context};
use crate::{
    engine::{Event, Incomplete, KeyId, Num, View},
    gather::Gather as _,
};

/// The passes, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pass {
    PowerLevels,
    JoinRules,
    Members,
    Others,
}

impl Pass {
    fn of(event_type: &TimelineEventType) -> Self {
        match event_type {
            TimelineEventType::RoomPowerLevels => Self::PowerLevels,
            TimelineEventType::RoomJoinRules => Self::JoinRules,
            TimelineEventType::RoomMember => Self::Members,
            _ => Self::Others,
        }
    }
}

/// Builds the resolved state up, pass by pass.
pub(super) fn resolve<V: View>(
    cx: &Context<'_, V>,
) -> Result<BTreeMap<KeyId, Option<Num>>, Incomplete> {
    let mut state = State { cx, resolved: FxHashMap::default() };
    let mut passes: BTreeMap<Pass, Vec<(KeyId, Candidates)>> = BTreeMap::new();
    for (key, column) in cx.keys {
        let mut nums: Vec<Num> = column.events().collect();
        nums.sort_unstable();
        nums.dedup();
        match *nums {
            // A key that some forks have and others lack is no conflict: the union has it.
            [] => {}
            [num] => drop(state.resolved.insert(*key, num)),
            _ => {
                let events: Vec<_> = nums.into_iter().filter_map(|num| cx.event(num)).collect();
                if let Some(first) = events.first() {
                    let pass = Pass::of(&first.pdu.event_type);
                    passes.entry(pass).or_default().push((*key, sort(events)));
                }
            }
        }
    }
    cx.complete()?;
    for (pass, keys) in passes {
        // The keys of one pass do not see each other's outcome, so that none has to be the first.
        let mut outcome = Vec::with_capacity(keys.len());
        for (key, events) in keys {
            let event = match pass {
                Pass::Others => state.newest_allowed(&events),
                _ => state.last_allowed(key, &events),
            };
            outcome.extend(event.map(|it| (key, it)));
        }
        cx.complete()?;
        state.resolved.extend(outcome);
    }
    Ok(cx.keys.keys().map(|key| (*key, state.resolved.get(key).copied())).gather())
}

/// The events of one key.
type Candidates = Vec<Arc<Event>>;

/// Sorts by ascending depth, then descending SHA-1 of the event ID.
fn sort(mut events: Candidates) -> Candidates {
    events.sort_by_cached_key(|it| {
        (it.pdu.depth, Reverse(<[u8; 20]>::from(Sha1::digest(it.pdu.event_id.as_str()))))
    });
    events
}

/// The result so far.
struct State<'a, 'b, V> {
    cx: &'a Context<'b, V>,
    resolved: FxHashMap<KeyId, Num>,
}

impl<V: View> State<'_, '_, V> {
    /// The first event, replaced by each one after it as long as the one before allows that.
    fn last_allowed(&self, key: KeyId, events: &[Arc<Event>]) -> Option<Num> {
        let (first, rest) = events.split_first()?;
        let mut last = first;
        for event in rest {
            if !self.allows(event, Some((key, last))) {
                break;
            }
            last = event;
        }
        Some(last.num)
    }

    /// The event with the highest depth and the lowest SHA-1 that the state allows.
    fn newest_allowed(&self, events: &[Arc<Event>]) -> Option<Num> {
        events.iter().rev().find(|it| self.allows(it, None)).map(|it| it.num)
    }

    /// Whether the state with this one event in it allows the event. Its own auth events do not
    /// count.
    fn allows(&self, event: &Event, with: Option<(KeyId, &Arc<Event>)>) -> bool {
        let mut state = Vec::with_capacity(event.needs.len());
        for key in &event.needs {
            if let Some((_, with)) = with.filter(|it| it.0 == *key) {
                state.push(Arc::clone(with));
                continue;
            }
            let num = match self.resolved.get(key) {
                Some(num) => Some(*num),
                None if self.cx.in_conflict(*key) => None,
                None => self.cx.or_miss(self.cx.unconflicted(*key).ok()).flatten(),
            };
            state.extend(num.and_then(|num| self.cx.event(num)));
        }
        is_allowed(self.cx, &event.pdu, &state)
    }
}
