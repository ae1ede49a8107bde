//! The room told from scratch, without the engine: ruma's rules and ruma's state resolution over
//! whole states.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use ruma::{
    EventId, OwnedEventId,
    events::StateEventType,
    signatures::{PublicKeyMap, verify_event},
    state_res::{
        self, StateMap, check_state_dependent_auth_rules, check_state_independent_auth_rules,
        utils::event_id_set::EventIdSet,
    },
};
use rustc_hash::FxHashSet;
use skerry_core::{
    Pdu,
    engine::{Event, Verdict},
};

use super::store::{Map, Store};

/// A PDU for ruma: a create event that names its room has no room ID.
#[derive(Clone)]
struct Read<'a>(&'a Pdu, bool);

impl state_res::Event for Read<'_> {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.0.event_id
    }
    fn room_id(&self) -> Option<&ruma::RoomId> {
        (!self.0.names_its_room()).then_some(&*self.0.room_id)
    }
    fn sender(&self) -> &ruma::UserId {
        &self.0.sender
    }
    fn origin_server_ts(&self) -> ruma::MilliSecondsSinceUnixEpoch {
        self.0.origin_server_ts
    }
    fn event_type(&self) -> &ruma::events::TimelineEventType {
        &self.0.event_type
    }
    fn content(&self) -> &serde_json::value::RawValue {
        &self.0.content
    }
    fn state_key(&self) -> Option<&str> {
        self.0.state_key.as_deref()
    }
    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.0.prev_events.iter())
    }
    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.0.auth_events.iter())
    }
    fn redacts(&self) -> Option<&OwnedEventId> {
        self.0.redacts.as_ref()
    }
    fn rejected(&self) -> bool {
        self.1
    }
}

/// Every event that clients see is signed by its sender's server, and allowed by what it cites, by
/// the state before it, and by the current state when it came.
///
/// By both as they were known then. A state that a peer gave may have an event that the state
/// before it turns out not to allow, and that is in no state from then on: the checks are "on
/// receipt of a PDU" ([spec]), and nothing in the protocol takes back what they have let pass.
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
///
/// `signed`: what is known to be signed. `checked`: how much of the timeline was checked before.
/// Of that only the verdict can have changed: the states are those of then, and what was rejected
/// since counts as what it was.
pub fn check_visible(
    room: &Store,
    keys: &PublicKeyMap,
    signed: &mut FxHashSet<Arc<str>>,
    checked: usize,
) -> Result<(), String> {
    let rules = &room.rules;
    for (index, (num, states)) in room.timeline.iter().enumerate() {
        let known = room.get(*num);
        let id = &known.pdu.event_id;
        if known.verdict != Verdict::Accepted {
            return Err(format!("{id} is visible and {:?}", known.verdict));
        }
        if index < checked {
            continue;
        }
        if !signed.contains(&*known.pdu.json) {
            let object = serde_json::from_str(&known.pdu.json).unwrap();
            verify_event(keys, &object, rules).map_err(|it| format!("{id}: {it}"))?;
            signed.insert(Arc::from(&*known.pdu.json));
        }
        if known.num == room.create {
            continue;
        }
        allowed_by_auth(room, &room.rejected_late, &known.pdu)
            .map_err(|it| format!("{id}: {it}"))?;
        for (state, which) in states.iter().zip(["the one before it", "the current one"]) {
            if !allowed_by_state(room, &known.pdu, state) {
                return Err(format!("{} is visible, and not allowed by {which}", known.pdu.json));
            }
        }
    }
    Ok(())
}

/// What was taken for allowed and rejected later, and is yet to be rejected at some point of the
/// story.
type Late = BTreeSet<u64>;

fn read<'a>(room: &'a Store, late: &Late, id: &EventId) -> Option<Read<'a>> {
    let is_rejected = |it: &Event| it.verdict == Verdict::Rejected && !late.contains(&it.num);
    room.by_id(id).map(|it| Read(&it.pdu, is_rejected(it)))
}

/// An event was decided: if it was rejected late, then now, with all that had cited it.
fn was_decided(room: &Store, late: &mut Late, num: u64) {
    let mut gone = vec![num];
    while let Some(num) = gone.pop() {
        if late.remove(&num) {
            gone.extend(late.iter().filter(|it| room.get(**it).auth.contains(&num)));
        }
    }
}

fn allowed_by_auth(room: &Store, late: &Late, pdu: &Pdu) -> Result<(), String> {
    let rules = &room.rules.authorization;
    let event = Read(pdu, false);
    check_state_independent_auth_rules(rules, &event, |id| read(room, late, id))?;
    let create = &room.get(room.create).pdu.event_id;
    check_state_dependent_auth_rules(rules, &event, |event_type, key| {
        let ids = pdu.auth_events.iter().chain([create]);
        ids.filter_map(|it| read(room, late, it)).find(|it| {
            it.0.event_type.to_string() == event_type.to_string()
                && it.0.state_key.as_deref() == Some(key)
        })
    })
}

type Full = StateMap<OwnedEventId>;

/// Tells the whole room again and compares: verdicts and the states around every event.
pub fn check_from_scratch(room: &Store) -> Result<(), String> {
    let mut after: HashMap<OwnedEventId, Full> = HashMap::new();
    let mut late = room.rejected_late.clone();
    for num in &room.decided {
        let known = room.get(*num);
        let (pdu, id) = (&known.pdu, &known.pdu.event_id);
        let forks: Vec<_> = pdu.prev_events.iter().filter_map(|it| after.get(it)).collect();
        if forks.len() != pdu.prev_events.len() {
            return Err(format!("{id} is decided before those before it"));
        }
        let before = resolve(room, &late, &forks);
        let told = full(room, room.map(known.states.unwrap().before));
        if before != told {
            return Err(format!("the state before {id}: {:?}", difference(&before, &told)));
        }
        let is_create = *num == room.create;
        let allowed = is_create
            || !known.malformed
                && allowed_by_auth(room, &late, pdu).is_ok()
                && allowed_by_full(room, &late, pdu, &before);
        was_decided(room, &mut late, *num);
        if allowed == (known.verdict == Verdict::Rejected) {
            return Err(format!("{id} is {:?} and allowed: {allowed}", known.verdict));
        }
        let mut state = before;
        if let (Some(key), true) = (&pdu.state_key, allowed) {
            state.insert((pdu.event_type.to_string().into(), key.clone()), id.clone());
        }
        let told = full(room, room.map(known.states.unwrap().after));
        if state != told {
            return Err(format!("the state after {id}: {:?}", difference(&state, &told)));
        }
        after.insert(id.clone(), state);
    }
    let ids: Vec<_> = room.extremities.iter().map(|it| &room.get(*it).pdu.event_id).collect();
    let forks: Vec<_> = ids.iter().filter_map(|it| after.get(*it)).collect();
    let (current, told) = (resolve(room, &late, &forks), full(room, room.current()));
    match current == told {
        true => Ok(()),
        false => Err(format!("the current state: {:?}", difference(&current, &told))),
    }
}

fn difference(one: &Full, other: &Full) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let text = |it: Option<&OwnedEventId>| it.map(ToString::to_string);
    one.keys()
        .chain(other.keys())
        .filter(|it| one.get(*it) != other.get(*it))
        .map(|it| (format!("{it:?}"), (text(one.get(it)), text(other.get(it)))))
        .collect()
}

fn full(room: &Store, map: &Map) -> Full {
    room.named(map).into_iter().map(|(key, id)| ((key.0.into(), key.1), id)).collect()
}

fn allowed_by_full(room: &Store, late: &Late, pdu: &Pdu, state: &Full) -> bool {
    check_state_dependent_auth_rules(&room.rules.authorization, Read(pdu, false), |kind, key| {
        state.get(&(kind.clone(), key.to_owned())).and_then(|it| read(room, late, it))
    })
    .is_ok()
}

fn allowed_by_state(room: &Store, pdu: &Pdu, state: &Map) -> bool {
    check_state_dependent_auth_rules(&room.rules.authorization, Read(pdu, false), |kind, key| {
        // A state that a liar told may lack the create event.
        let create = (*kind == StateEventType::RoomCreate).then(|| room.get(room.create));
        let event = create.or_else(|| room.event_in(state, &kind.to_string(), key))?;
        Some(Read(&event.pdu, false))
    })
    .is_ok()
}

/// An event and all that authorizes it.
fn chain(room: &Store, id: &OwnedEventId) -> EventIdSet<OwnedEventId> {
    let mut chain = EventIdSet::new();
    let mut todo = vec![id];
    while let Some(id) = todo.pop() {
        if let Some(known) = room.by_id(id)
            && chain.insert(id.clone())
        {
            todo.extend(&known.pdu.auth_events);
        }
    }
    chain
}

fn resolve(room: &Store, late: &Late, forks: &[&Full]) -> Full {
    let mut different: Vec<&Full> = Vec::new();
    for fork in forks {
        if !different.contains(fork) {
            different.push(fork);
        }
    }
    if different.len() < 2 {
        return different.first().map(|it| (*it).clone()).unwrap_or_default();
    }
    let chains =
        different.iter().map(|it| it.values().flat_map(|it| chain(room, it)).collect()).collect();
    state_res::resolve(
        &room.rules.authorization,
        room.rules.state_res.v2_rules().unwrap(),
        different.iter().copied(),
        chains,
        |id| read(room, late, id),
        |conflicted| Some(subgraph(room, conflicted)),
    )
    .unwrap()
}

/// The events on paths of auth events from one conflicted event to another.
fn subgraph(room: &Store, conflicted: &StateMap<Vec<OwnedEventId>>) -> EventIdSet<OwnedEventId> {
    let ids: BTreeSet<_> = conflicted.values().flatten().collect();
    let chains: Vec<_> = ids.iter().map(|it| chain(room, it)).collect();
    let all: BTreeSet<_> = chains.iter().flat_map(|it| it.iter()).collect();
    all.into_iter()
        .filter(|it| {
            let below = chain(room, it);
            ids.iter().any(|id| below.contains(id))
        })
        .cloned()
        .collect()
}
