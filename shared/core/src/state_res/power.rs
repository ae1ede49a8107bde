//! Power events, and the reverse topological power ordering ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/v2/#definitions

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    sync::Arc,
};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedUserId, UserId,
    events::{
        TimelineEventType,
        room::{member::MembershipState, power_levels::UserPowerLevel},
    },
    int,
    state_res::events::{RoomCreateEvent, RoomMemberEvent, RoomPowerLevelsEvent},
};
use rustc_hash::FxHashMap;

use super::{Sorted, context::Context};
use crate::{
    Pdu,
    engine::{Event, Incomplete, Num, View},
};

/// A power event "might remove someone's ability to do something in the room". Create events are
/// taken for such by every implementation; they are allowed and unconflicted in any case.
fn is_power_event(pdu: &Pdu) -> bool {
    match pdu.event_type {
        TimelineEventType::RoomPowerLevels
        | TimelineEventType::RoomJoinRules
        | TimelineEventType::RoomCreate => pdu.state_key.as_deref() == Some(""),
        TimelineEventType::RoomMember => {
            pdu.state_key.as_deref() != Some(pdu.sender.as_str())
                && matches!(
                    RoomMemberEvent::new(pdu).membership(),
                    Ok(MembershipState::Leave | MembershipState::Ban)
                )
        }
        _ => false,
    }
}

/// The events to be sorted by power: the power events, and what they are authorized by as far as
/// it is in the full conflicted set and reached within it; and the rest.
///
/// The spec's letter would follow auth chains across events outside of the set too. That makes a
/// difference only when an old state event is claimed for the present one, and no implementation
/// does it: what counts is that all servers agree.
pub(super) fn split(full: Vec<Arc<Event>>) -> (Vec<Arc<Event>>, Vec<Arc<Event>>) {
    // Ascending numbers, so that going backwards meets events before those that authorize them.
    let slots: FxHashMap<Num, usize> =
        full.iter().enumerate().map(|(slot, event)| (event.num, slot)).collect();
    let mut chosen: Vec<bool> = full.iter().map(|it| is_power_event(&it.pdu)).collect();
    for (slot, event) in full.iter().enumerate().rev() {
        if chosen.get(slot) != Some(&true) {
            continue;
        }
        for auth in event.auth.iter().filter_map(|num| slots.get(num)) {
            if let Some(chosen) = chosen.get_mut(*auth) {
                *chosen = true;
            }
        }
    }
    let (power, rest): (Vec<_>, Vec<_>) = full.into_iter().zip(chosen).partition(|it| it.1);
    let events = |list: Vec<(Arc<Event>, bool)>| list.into_iter().map(|it| it.0).collect();
    (events(power), events(rest))
}

/// What decides between two events of which neither authorizes the other; the smaller is first.
type Order<'a> = (Reverse<UserPowerLevel>, MilliSecondsSinceUnixEpoch, &'a EventId);

/// Sorts by the reverse topological power ordering: Kahn's algorithm with a heap.
pub(super) fn sort<V: View>(
    cx: &Context<'_, V>,
    events: &[Arc<Event>],
) -> Result<Sorted, Incomplete> {
    let mut levels = Levels::new(cx);
    let orders: Vec<Reverse<UserPowerLevel>> =
        events.iter().map(|it| Reverse(levels.of_sender(it))).collect();
    cx.complete()?;
    let slots: FxHashMap<Num, usize> =
        events.iter().enumerate().map(|(slot, event)| (event.num, slot)).collect();
    let mut waits_for = vec![0_usize; events.len()];
    let mut authorizes: Vec<Vec<usize>> = vec![Vec::new(); events.len()];
    for ((slot, event), waits_for) in events.iter().enumerate().zip(&mut waits_for) {
        for auth in event.auth.iter().filter_map(|num| slots.get(num)) {
            *waits_for += 1;
            if let Some(authorizes) = authorizes.get_mut(*auth) {
                authorizes.push(slot);
            }
        }
    }
    let order = |slot: usize| -> Option<Reverse<(Order<'_>, usize)>> {
        let pdu = &events.get(slot)?.pdu;
        let order = (*orders.get(slot)?, pdu.origin_server_ts, &*pdu.event_id);
        Some(Reverse((order, slot)))
    };
    let mut heap: BinaryHeap<_> = waits_for
        .iter()
        .enumerate()
        .filter(|(_, waits_for)| **waits_for == 0)
        .filter_map(|(slot, _)| order(slot))
        .collect();
    let mut sorted = Vec::with_capacity(events.len());
    while let Some(Reverse((_, slot))) = heap.pop() {
        sorted.extend(events.get(slot).map(Arc::clone));
        for next in authorizes.get(slot).into_iter().flatten().copied() {
            let Some(waits_for) = waits_for.get_mut(next) else { continue };
            *waits_for -= 1;
            if *waits_for == 0 {
                heap.extend(order(next));
            }
        }
    }
    Ok(sorted)
}

/// The power levels of senders, each event of power levels read once.
struct Levels<'a, 'b, V> {
    cx: &'a Context<'b, V>,
    creators: HashSet<OwnedUserId>,
    events: FxHashMap<Num, RoomPowerLevelsEvent<Arc<Pdu>>>,
}

impl<'a, 'b, V: View> Levels<'a, 'b, V> {
    fn new(cx: &'a Context<'b, V>) -> Self {
        let creators = RoomCreateEvent::new(&*cx.create.pdu)
            .creators(&cx.rules.authorization)
            .unwrap_or_default();
        Self { cx, creators, events: FxHashMap::default() }
    }

    /// The power level of the sender by the event's own auth events.
    fn of_sender(&mut self, event: &Event) -> UserPowerLevel {
        let rules = &self.cx.rules.authorization;
        let sender: &UserId = &event.pdu.sender;
        let is_creator = self.creators.contains(sender);
        if rules.explicitly_privilege_room_creators && is_creator {
            return UserPowerLevel::Infinite;
        }
        let Some(num) = self.cx.power_levels_among(&event.auth) else {
            return if is_creator { int!(100) } else { int!(0) }.into();
        };
        if let Some(power_levels) = self.events.get(&num) {
            return level(power_levels.user_power_level(sender, rules));
        }
        let Some(known) = self.cx.event(num) else { return int!(0).into() };
        let power_levels = RoomPowerLevelsEvent::new(Arc::clone(&known.pdu));
        let found = level(power_levels.user_power_level(sender, rules));
        self.events.insert(num, power_levels);
        found
    }
}

/// A level that could not be read counts as the default. Events of power levels that cannot be
/// read are never accepted.
fn level<E>(read: Result<ruma::Int, E>) -> UserPowerLevel {
    read.unwrap_or_default().into()
}
