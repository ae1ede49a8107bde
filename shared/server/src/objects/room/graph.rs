//! What the room engine has in memory of this room: events as integers, loaded when a decision
//! asks for them. All of it can be dropped between two commands.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{EventId, OwnedEventId};
use skerry_core::{
    authorize::StateKey,
    engine::{Edges, Incomplete, KeyId, Keys, Known, Num, StateAt, View},
};

use super::{Room, limits, load::Loaded};
use crate::{
    Error, Result,
    store::room::{graph, state},
};

/// What was asked and is not in memory.
#[derive(Debug, Default)]
struct Noted {
    ids: HashSet<OwnedEventId>,
    events: HashSet<Num>,
    edges: HashSet<Num>,
    citers: HashSet<(Num, Num)>,
    states: HashMap<StateAt, HashSet<KeyId>>,
    differences: HashSet<Vec<StateAt>>,
}

/// The engine's memory of one room.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) keys: Keys,
    ids: HashMap<OwnedEventId, Option<Num>>,
    events: HashMap<Num, Arc<Known>>,
    edges: HashMap<Num, (KeyId, Box<[Num]>)>,
    citers: HashMap<(Num, Num), Vec<Num>>,
    states: HashMap<(StateAt, KeyId), Option<Num>>,
    differences: HashMap<Vec<StateAt>, Vec<KeyId>>,
    noted: Mutex<Noted>,
}

impl Graph {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything when it has become too much.
    pub(super) fn trim(&mut self) {
        let entries = self.events.len() * 20 + self.edges.len() + self.states.len();
        if entries + self.ids.len() + self.keys.len() > limits::GRAPH_ENTRIES {
            *self = Self::default();
        }
    }

    /// Others name these events now.
    fn forget_citers(&mut self, cited: &[Num]) {
        if !self.citers.is_empty() {
            self.citers.retain(|(it, _), _| !cited.contains(it));
        }
    }

    /// An event has been stored, or is known better than before.
    pub(super) fn insert(&mut self, known: Arc<Known>) {
        self.forget_citers(&known.auth);
        self.ids.insert(known.pdu.event_id.clone(), Some(known.num));
        if let Some(key) = known.key {
            self.edges.insert(known.num, (key, known.auth.clone()));
        }
        self.events.insert(known.num, known);
    }

    /// An event has been stored; the engine need not remember it.
    pub(super) fn stored(&mut self, event_id: &EventId, num: Num, cited: &[Num]) {
        if let Some(known) = self.ids.get_mut(event_id) {
            *known = Some(num);
        }
        self.forget_citers(cited);
    }
}

impl View for Graph {
    fn find(&self, event_id: &EventId) -> Option<Option<Num>> {
        let found = self.ids.get(event_id).copied();
        if found.is_none() {
            self.noted().ids.insert(event_id.to_owned());
        }
        found
    }

    fn event(&self, num: Num) -> Option<Arc<Known>> {
        let found = self.events.get(&num).cloned();
        if found.is_none() {
            self.noted().events.insert(num);
        }
        found
    }

    fn edges(&self, num: Num) -> Option<Edges<'_>> {
        let found = self.edges.get(&num);
        if found.is_none() {
            self.noted().edges.insert(num);
        }
        found.map(|(key, auth)| Edges { key: *key, auth: Cow::Borrowed(auth) })
    }

    fn cited_by(&self, num: Num, before: Num) -> Option<Vec<Num>> {
        let found = self.citers.get(&(num, before)).cloned();
        if found.is_none() {
            self.noted().citers.insert((num, before));
        }
        found
    }

    fn state(&self, at: StateAt, key: KeyId) -> Option<Option<Num>> {
        let found = self.states.get(&(at, key)).copied();
        if found.is_none() {
            self.noted().states.entry(at).or_default().insert(key);
        }
        found
    }

    fn differences(&self, at: &[StateAt]) -> Option<Vec<KeyId>> {
        let found = self.differences.get(at).cloned();
        if found.is_none() {
            self.noted().differences.insert(at.to_vec());
        }
        found
    }
}

impl Room {
    /// Makes a decision: loads what it asks for until it has all it needs.
    pub(super) async fn decide<T, E: From<Incomplete> + IsIncomplete>(
        &self,
        room: &mut Loaded,
        decide: impl Fn(&Loaded) -> std::result::Result<T, E>,
    ) -> Result<std::result::Result<T, E>> {
        for _ in 0..limits::DECISION_ROUNDS {
            match decide(room) {
                Err(error) if error.is_incomplete() => self.load_noted(room).await?,
                decided => return Ok(decided),
            }
        }
        Err(Error::internal("a decision asked for more than it may"))
    }

    /// Loads what was noted.
    async fn load_noted(&self, room: &mut Loaded) -> Result<()> {
        let noted = std::mem::take(&mut *room.graph.noted());
        self.load_ids(room, noted.ids).await?;
        self.load_events(room, noted.events).await?;
        self.load_edges(room, noted.edges).await?;
        let (sql, scope) = (self.sql(), self.scope());
        for (num, before) in noted.citers {
            let citers = graph::list_citers(sql, scope, num, before).await?;
            room.graph.citers.insert((num, before), citers);
        }
        for (at, keys) in noted.states {
            self.load_states(room, at, keys).await?;
        }
        for at in noted.differences {
            let keys = self.differing_keys(room, &at).await?;
            room.graph.differences.insert(at, keys);
        }
        Ok(())
    }

    async fn load_ids(&self, room: &mut Loaded, ids: HashSet<OwnedEventId>) -> Result<()> {
        let ids: Vec<_> = ids.into_iter().collect();
        for (event_id, num) in graph::find_nums(self.sql(), self.scope(), &ids).await? {
            room.graph.ids.insert(event_id, Some(num));
        }
        for event_id in ids {
            room.graph.ids.entry(event_id).or_insert(None);
        }
        Ok(())
    }

    async fn load_events(&self, room: &mut Loaded, nums: HashSet<Num>) -> Result<()> {
        let nums: Vec<_> = nums.into_iter().collect();
        for page in nums.chunks(limits::GRAPH_PAGE) {
            for row in graph::list(self.sql(), self.scope(), page).await? {
                let pdu = self.to_auth_pdu(row.event_id, row.json, row.auth_content)?;
                let standing = (row.verdict, row.states);
                let auth = row.auth.into();
                let keys = &mut room.graph.keys;
                let known = Known::new(row.num, pdu, auth, standing, &room.rules, keys);
                let known = Arc::new(known);
                room.graph.ids.insert(known.pdu.event_id.clone(), Some(known.num));
                room.graph.events.insert(known.num, known);
            }
        }
        Ok(())
    }

    async fn load_edges(&self, room: &mut Loaded, nums: HashSet<Num>) -> Result<()> {
        let nums: Vec<_> = nums.into_iter().collect();
        for page in nums.chunks(limits::GRAPH_PAGE) {
            for node in graph::list_chain(self.sql(), self.scope(), page).await? {
                let key = room.graph.keys.intern(&node.key.0, &node.key.1);
                room.graph.edges.insert(node.num, (key, node.auth.into()));
            }
        }
        Ok(())
    }

    async fn load_states(
        &self,
        room: &mut Loaded,
        at: StateAt,
        keys: HashSet<KeyId>,
    ) -> Result<()> {
        let keys: Vec<_> = keys.into_iter().collect();
        for page in keys.chunks(limits::GRAPH_PAGE) {
            let named: Vec<StateKey> =
                page.iter().filter_map(|key| room.graph.keys.get(*key).cloned()).collect();
            for (key, num) in state::find(self.sql(), self.scope(), at, &named).await? {
                let key = room.graph.keys.intern(&key.0, &key.1);
                room.graph.states.insert((at, key), Some(num));
            }
            for key in page {
                room.graph.states.entry((at, *key)).or_insert(None);
            }
        }
        Ok(())
    }

    /// The keys in which states differ: those that a chain changes in groups that not all of
    /// them have.
    async fn differing_keys(&self, room: &mut Loaded, at: &[StateAt]) -> Result<Vec<KeyId>> {
        let (sql, scope) = (self.sql(), self.scope());
        // By chain: how many of the states have it, and the first and last group they see of it.
        let mut chains: HashMap<u64, (usize, u64, u64)> = HashMap::new();
        for at in at {
            for StateAt { chain, group } in graph::lineage(sql, scope, *at).await? {
                let entry = chains.entry(chain).or_insert((0, u64::MAX, 0));
                *entry = (entry.0 + 1, entry.1.min(group), entry.2.max(group));
            }
        }
        let mut keys = HashSet::new();
        for (chain, (count, first, last)) in chains {
            let after = if count == at.len() { first } else { 0 };
            if after < last {
                for key in graph::list_changed(sql, scope, chain, (after, last)).await? {
                    keys.insert(room.graph.keys.intern(&key.0, &key.1));
                }
            }
        }
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_unstable();
        Ok(keys)
    }
}

/// An outcome that may say that more must be loaded first.
pub(super) trait IsIncomplete {
    /// Whether it says so.
    fn is_incomplete(&self) -> bool;
}

impl IsIncomplete for Incomplete {
    fn is_incomplete(&self) -> bool {
        true
    }
}
