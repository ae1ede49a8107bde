//! A whole room in memory, and events that need no signatures.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
    RoomVersionId, UInt, UserId, room_version_rules::RoomVersionRules,
    state_res::check_state_dependent_auth_rules,
};
use serde_json::{Value, json, value::to_raw_value};
use skerry_core::{
    Pdu, authorize,
    engine::{Edges, Event, KeyId, Keys, Num, StateAt, Verdict, View},
    state_res::{self, Conflict},
};

/// A state, whole.
pub(crate) type State = BTreeMap<KeyId, Num>;

/// How many citers one answer holds, so that pages are turned.
const PAGE: usize = 5;

/// One step of splitmix64's output function.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// An event to be added.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) sender: OwnedUserId,
    pub(crate) event_type: &'static str,
    pub(crate) state_key: String,
    pub(crate) content: Value,
    pub(crate) ts: u64,
    pub(crate) depth: u64,
    pub(crate) prev: Vec<Num>,
}

impl Draft {
    pub(crate) fn new(
        sender: &UserId,
        event_type: &'static str,
        state_key: &str,
        content: Value,
    ) -> Self {
        Self {
            sender: sender.to_owned(),
            event_type,
            state_key: state_key.to_owned(),
            content,
            ts: 0,
            depth: 1,
            prev: Vec::new(),
        }
    }

    pub(crate) fn member(sender: &UserId, target: &UserId, membership: &str) -> Self {
        Self::new(sender, "m.room.member", target.as_str(), json!({ "membership": membership }))
    }

    pub(crate) fn at(mut self, ts: u64) -> Self {
        self.ts = ts;
        self
    }
}

/// Every event of a room.
pub(crate) struct Room {
    pub(crate) rules: RoomVersionRules,
    pub(crate) version: RoomVersionId,
    pub(crate) id: OwnedRoomId,
    pub(crate) events: Vec<Arc<Event>>,
    pub(crate) keys: Keys,
    numbers: HashMap<OwnedEventId, Num>,
    citers: Vec<Vec<Num>>,
    salt: u64,
}

impl Room {
    /// A room with its create event, whose number is 0. The salt decides about event IDs.
    pub(crate) fn new(version: &RoomVersionId, creator: &UserId, salt: u64) -> Self {
        let mut room = Self {
            rules: version.rules().unwrap(),
            version: version.clone(),
            id: RoomId::parse("!room:s1").unwrap(),
            events: Vec::new(),
            keys: Keys::default(),
            numbers: HashMap::new(),
            citers: Vec::new(),
            salt,
        };
        let content = json!({ "room_version": version.as_str(), "creator": creator.as_str() });
        if room.rules.authorization.room_create_event_id_as_room_id {
            room.id = RoomId::parse(format!("!{}", &room.event_id(0).as_str()[1..])).unwrap();
        }
        room.insert(Draft::new(creator, "m.room.create", "", content), Vec::new());
        room
    }

    fn event_id(&self, num: Num) -> OwnedEventId {
        let mixed = mix(self.salt ^ num.wrapping_mul(0x9e37_79b9));
        let text = match self.rules.event_id_format {
            ruma::room_version_rules::EventIdFormatVersion::V1 => format!("${mixed:016x}:s1"),
            _ => format!("${mixed:016x}_{num:026}"),
        };
        EventId::parse(text).unwrap()
    }

    /// Adds an event that these authorize.
    pub(crate) fn insert(&mut self, draft: Draft, auth: Vec<Num>) -> Num {
        self.insert_judged(draft, auth, Verdict::Accepted)
    }

    pub(crate) fn insert_judged(&mut self, draft: Draft, auth: Vec<Num>, verdict: Verdict) -> Num {
        let num = self.events.len() as Num;
        let event_id = self.event_id(num);
        let ids = |nums: &[Num]| -> Vec<_> { nums.iter().map(|it| self.id_of(*it)).collect() };
        let pdu = Pdu {
            event_id: event_id.clone(),
            room_id: self.id.clone(),
            sender: draft.sender,
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(draft.ts)),
            event_type: draft.event_type.into(),
            content: to_raw_value(&draft.content).unwrap(),
            state_key: Some(draft.state_key),
            prev_events: ids(&draft.prev),
            auth_events: ids(&auth),
            redacts: None,
            depth: draft.depth,
            json: "".into(),
        };
        for cited in &auth {
            self.citers[*cited as usize].push(num);
        }
        let verdict = (verdict, None);
        let known = Event::new(num, pdu.into(), auth.into(), verdict, &self.rules, &mut self.keys);
        self.events.push(known.into());
        self.citers.push(Vec::new());
        self.numbers.insert(event_id, num);
        num
    }

    /// Adds an event to a state, authorized by that state, whether allowed or not.
    pub(crate) fn force(&mut self, state: &mut State, draft: Draft) -> Num {
        let auth = self.auth_events(state, &draft);
        let num = self.insert(draft, auth);
        state.insert(self.key(num), num);
        num
    }

    /// As [`Room::force`], for what must be allowed.
    pub(crate) fn send(&mut self, state: &mut State, mut draft: Draft) -> Num {
        if state.len() == 1 {
            // The creator may join because of that.
            draft.prev = vec![0];
        }
        let auth = self.auth_events(state, &draft);
        assert!(self.is_allowed(&draft, state), "{draft:?}");
        let num = self.insert(draft, auth);
        state.insert(self.key(num), num);
        num
    }

    pub(crate) fn id_of(&self, num: Num) -> OwnedEventId {
        self.events[num as usize].pdu.event_id.clone()
    }

    pub(crate) fn key(&self, num: Num) -> KeyId {
        self.events[num as usize].key.unwrap()
    }

    pub(crate) fn key_of(&mut self, event_type: &str, state_key: &str) -> KeyId {
        self.keys.intern(event_type, state_key)
    }

    /// What authorizes an event in a state.
    pub(crate) fn auth_events(&mut self, state: &State, draft: &Draft) -> Vec<Num> {
        let content = to_raw_value(&draft.content).unwrap();
        let needed = authorize::needed_state(
            draft.event_type,
            &draft.sender,
            Some(&draft.state_key),
            &content,
            &self.rules,
        );
        needed
            .unwrap()
            .iter()
            .filter(|key| authorize::is_auth_event(key, &self.rules))
            .filter_map(|key| state.get(&self.keys.intern(&key.0, &key.1)).copied())
            .collect()
    }

    /// Whether a state allows an event.
    pub(crate) fn is_allowed(&self, draft: &Draft, state: &State) -> bool {
        let pdu = Pdu {
            event_id: EventId::parse("$new:s1").unwrap(),
            room_id: self.id.clone(),
            sender: draft.sender.clone(),
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(draft.ts)),
            event_type: draft.event_type.into(),
            content: to_raw_value(&draft.content).unwrap(),
            state_key: Some(draft.state_key.clone()),
            prev_events: draft.prev.iter().map(|it| self.id_of(*it)).collect(),
            auth_events: Vec::new(),
            redacts: None,
            depth: draft.depth,
            json: "".into(),
        };
        let rules = &self.rules.authorization;
        check_state_dependent_auth_rules(rules, &pdu, |event_type, state_key| {
            let mut keys = state.iter().filter(|(key, _)| {
                let key = self.keys.get(**key).unwrap();
                key.1 == state_key && key.0 == event_type.to_string()
            });
            keys.next().map(|(_, num)| &*self.events[*num as usize].pdu)
        })
        .is_ok()
    }

    /// What an event says, for messages of failed tests.
    pub(crate) fn tell(&self, num: Num) -> String {
        let known = &self.events[num as usize];
        let pdu = &known.pdu;
        let (sender, content) = (&pdu.sender, &pdu.content);
        let (event_type, key) = (&pdu.event_type, pdu.state_key.as_deref().unwrap_or_default());
        let (ts, id, auth) = (pdu.origin_server_ts.0, &pdu.event_id, &known.auth);
        format!("{num} {id} at {ts}: {sender} {event_type} {key} {content} by {auth:?}")
    }
}

/// What differs between states, and what does not.
pub(crate) fn split(states: &[State]) -> (State, Conflict) {
    let mut unconflicted = State::new();
    let mut conflict = Conflict { forks: states.len(), keys: BTreeMap::new() };
    for key in states.iter().flat_map(BTreeMap::keys) {
        let events: Box<[_]> = states.iter().map(|it| it.get(key).copied()).collect();
        match events[0].filter(|_| events.iter().all(|it| *it == events[0])) {
            Some(event) => drop(unconflicted.insert(*key, event)),
            None => drop(conflict.keys.insert(*key, events.into_iter().collect())),
        }
    }
    (unconflicted, conflict)
}

/// Resolves by this project's algorithm, with everything in memory.
pub(crate) fn resolve(room: &Room, states: &[State]) -> State {
    let (unconflicted, conflict) = split(states);
    let answer = |key| Some(unconflicted.get(&key).copied());
    let resolved = state_res::resolve(&room.rules, 0, &conflict, &answer, room).unwrap();
    merge(unconflicted.clone(), &resolved)
}

/// The resolved state, whole.
pub(crate) fn merge(mut state: State, resolved: &BTreeMap<KeyId, Option<Num>>) -> State {
    state.extend(resolved.iter().filter_map(|(key, num)| Some((*key, (*num)?))));
    state
}

impl View for Room {
    fn find(&self, event_id: &EventId) -> Option<Option<Num>> {
        Some(self.numbers.get(event_id).copied())
    }

    fn event(&self, num: Num) -> Option<Arc<Event>> {
        self.events.get(num as usize).cloned()
    }

    fn edges(&self, num: Num) -> Option<Edges<'_>> {
        let known = self.events.get(num as usize)?;
        Some(Edges { key: known.key?, auth: Cow::Borrowed(&known.auth) })
    }

    fn cited_by(&self, num: Num, before: Num) -> Option<Vec<Num>> {
        let citers = &self.citers[num as usize];
        let end = citers.partition_point(|it| *it < before);
        Some(citers[..end].iter().rev().take(PAGE).copied().collect())
    }

    fn state(&self, _: StateAt, _: KeyId) -> Option<Option<Num>> {
        None
    }

    fn parent(&self, _: u64) -> Option<Option<StateAt>> {
        None
    }

    fn deltas(&self, _: u64, _: u64, _: u64) -> Option<Vec<(KeyId, Option<Num>)>> {
        None
    }
}
