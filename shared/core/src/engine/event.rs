//! Events and the keys of state, as integers.

use std::{collections::HashMap, sync::Arc};

use ruma::room_version_rules::RoomVersionRules;

use super::{Num, StateAt};
use crate::{
    Pdu,
    authorize::{self, StateKey},
};

/// A state key of a room, type included: an index into [`Keys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

/// The state keys that a room has met, and their integers.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    ids: HashMap<Arc<StateKey>, KeyId>,
    keys: Vec<Arc<StateKey>>,
}

impl Keys {
    /// The integer of a key.
    pub fn intern(&mut self, event_type: &str, state_key: &str) -> KeyId {
        let key = (event_type.to_owned(), state_key.to_owned());
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = KeyId(u32::try_from(self.keys.len()).unwrap_or(u32::MAX));
        let key = Arc::new(key);
        self.keys.push(Arc::clone(&key));
        self.ids.insert(key, id);
        id
    }

    /// The key behind an integer.
    pub fn get(&self, id: KeyId) -> Option<&StateKey> {
        self.keys.get(usize::try_from(id.0).ok()?).map(|it| &**it)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// What became of an event under the checks performed on receipt of a PDU ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed by its auth events, by the state before it and by the current state.
    Accepted,
    /// Allowed by its auth events and by the state before it, but not by the current state:
    /// hidden from clients, and used when other events build on it.
    SoftFailed,
    /// Not allowed: remembered, and never used.
    Rejected,
}

/// The states around an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States {
    /// Before it.
    pub before: StateAt,
    /// After it; the same, unless it is a state event that is not rejected.
    pub after: StateAt,
}

/// An event that a room knows.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number.
    pub num: Num,
    /// The event.
    pub pdu: Arc<Pdu>,
    /// Its key, if it is a state event.
    pub key: Option<KeyId>,
    /// Its content breaks the rules of its type, so that nothing can authorize it: it needs
    /// nothing and is rejected.
    pub malformed: bool,
    /// The keys of the state that authorizes it; the create event's is always among them, but for
    /// the create event itself.
    pub needs: Box<[KeyId]>,
    /// The events it names as those that authorize it.
    pub auth: Box<[Num]>,
    /// What became of it.
    pub verdict: Verdict,
    /// The states around it; none for an outlier: an event that is known only because others
    /// name it among their auth events.
    pub states: Option<States>,
}

impl Event {
    /// An event with the keys it needs.
    pub fn new(
        num: Num,
        pdu: Arc<Pdu>,
        auth: Box<[Num]>,
        (verdict, states): (Verdict, Option<States>),
        rules: &RoomVersionRules,
        keys: &mut Keys,
    ) -> Self {
        let event_type = pdu.event_type.to_string();
        let state_key = pdu.state_key.as_deref();
        let needed =
            authorize::needed_state(&event_type, &pdu.sender, state_key, &pdu.content, rules);
        let malformed = needed.is_err();
        let needs = needed
            .unwrap_or_default()
            .iter()
            .filter(|_| event_type != "m.room.create")
            .map(|(event_type, state_key)| keys.intern(event_type, state_key))
            .collect();
        let key = state_key.map(|it| keys.intern(&event_type, it));
        Self { num, pdu, key, malformed, needs, auth, verdict, states }
    }
}
