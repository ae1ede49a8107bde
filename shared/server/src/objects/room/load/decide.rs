//! Decisions of the engine: what a decision asks for is loaded until it has all it needs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::OwnedEventId;
use skerry_core::{
    authorize::StateKey,
    engine::{self, Event, Incomplete, KeyId, Num, State, StateAt, View as _, states},
};

use crate::{
    Error, Result,
    objects::room::{
        Room, limits,
        loaded::{Loaded, engine_memory::IsIncomplete, state_event::StateEvent},
    },
    store::room::{graph, state},
};

impl Room {
    /// Makes a decision: loads what it asks for until it has all it needs.
    pub(crate) async fn decide<T, E: From<Incomplete> + IsIncomplete>(
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

    /// Loads events that decisions are going to ask for one by one, as far as the room knows them.
    pub(crate) async fn load_ahead(
        &self,
        room: &mut Loaded,
        ids: HashSet<OwnedEventId>,
    ) -> Result<()> {
        let unknown: Vec<_> =
            ids.iter().filter(|it| !room.engine_memory.ids.contains_key(*it)).cloned().collect();
        for page in unknown.chunks(limits::ENGINE_PAGE) {
            self.load_ids(room, page.iter().cloned().collect()).await?;
        }
        let nums = ids.iter().filter_map(|it| room.engine_memory.ids.get(it).copied().flatten());
        let nums = nums.filter(|it| !room.engine_memory.has(*it)).collect();
        self.load_events(room, nums).await
    }

    /// Loads what was noted.
    async fn load_noted(&self, room: &mut Loaded) -> Result<()> {
        let noted = room.engine_memory.take_noted();
        self.load_ids(room, noted.ids).await?;
        self.load_events(room, noted.events).await?;
        self.load_edges(room, noted.edges).await?;
        let (sql, scope) = (self.store_of(room).await?, self.scope());
        for (num, before) in noted.citers {
            let citers = graph::list_citers(sql, scope, num, before).await?;
            room.engine_memory.citers.insert((num, before), citers);
        }
        for (at, keys) in noted.states {
            self.load_states(room, at, keys).await?;
        }
        self.load_parents(room, noted.parents).await?;
        self.load_chains(room, noted.deltas).await
    }

    async fn load_ids(&self, room: &mut Loaded, ids: HashSet<OwnedEventId>) -> Result<()> {
        let ids: Vec<_> = ids.into_iter().collect();
        for (event_id, num) in
            graph::find_nums(self.store_of(room).await?, self.scope(), &ids).await?
        {
            room.engine_memory.ids.insert(event_id, Some(num));
        }
        for event_id in ids {
            room.engine_memory.ids.entry(event_id).or_insert(None);
        }
        Ok(())
    }

    async fn load_events(&self, room: &mut Loaded, nums: HashSet<Num>) -> Result<()> {
        let nums: Vec<_> = nums.into_iter().collect();
        for page in nums.chunks(limits::ENGINE_PAGE) {
            for row in graph::list(self.store_of(room).await?, self.scope(), page).await? {
                let pdu = self.to_auth_pdu(row.event_id, row.json, row.auth_content)?;
                let decided = (row.verdict, row.states);
                let auth = row.auth.into();
                let keys = &mut room.engine_memory.keys;
                let event = Event::new(row.num, pdu, auth, decided, &room.rules, keys);
                room.engine_memory.load(Arc::new(event));
            }
        }
        Ok(())
    }

    async fn load_edges(&self, room: &mut Loaded, nums: HashSet<Num>) -> Result<()> {
        let nums: Vec<_> = nums.into_iter().collect();
        for page in nums.chunks(limits::ENGINE_PAGE) {
            for node in graph::list_chain(self.store_of(room).await?, self.scope(), page).await? {
                let key = room.engine_memory.keys.intern(&node.key.0, &node.key.1);
                room.engine_memory.edges.insert(node.num, (key, node.auth.into()));
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
        for page in keys.chunks(limits::ENGINE_PAGE) {
            let named: Vec<StateKey> =
                page.iter().filter_map(|key| room.engine_memory.keys.get(*key).cloned()).collect();
            for (key, num) in
                state::find(self.store_of(room).await?, self.scope(), at, &named).await?
            {
                let key = room.engine_memory.keys.intern(&key.0, &key.1);
                room.engine_memory.remember_state(at, key, Some(num));
            }
            for key in page {
                if room.engine_memory.known_state(at, *key).is_none() {
                    room.engine_memory.remember_state(at, *key, None);
                }
            }
        }
        Ok(())
    }

    /// Loads what chains hang on, and what that hangs on.
    async fn load_parents(&self, room: &mut Loaded, chains: HashSet<u64>) -> Result<()> {
        let chains: Vec<_> = chains.into_iter().collect();
        for page in chains.chunks(limits::ENGINE_PAGE) {
            for (chain, parent) in
                graph::list_parents(self.store_of(room).await?, self.scope(), page).await?
            {
                room.engine_memory.parents.insert(chain, Some(parent));
            }
            for chain in page {
                room.engine_memory.parents.entry(*chain).or_insert(None);
            }
        }
        Ok(())
    }

    /// Loads what chains change: of the current state's the stretches that are asked for, of those
    /// of forks all.
    async fn load_chains(&self, room: &mut Loaded, asked: HashSet<(u64, u64, u64)>) -> Result<()> {
        let (sql, scope) = (self.store_of(room).await?, self.scope());
        let mut chains: HashMap<u64, (u64, Vec<_>)> = HashMap::new();
        for (chain, after, upto) in asked {
            // The log has the deltas of chain 0 by group, but for the state that a join began with.
            if chain != 0 || after == 0 {
                let (whole, _) = chains.entry(chain).or_default();
                *whole = upto.max(*whole);
                continue;
            }
            let keys = &mut room.engine_memory.keys;
            let changes = state::list_changes(sql, scope, after, upto).await?.into_iter();
            let deltas =
                changes.map(|it| (it.position, keys.intern(&it.key.0, &it.key.1), it.event));
            let deltas = deltas.collect();
            room.engine_memory.load_chain(chain, (after, upto), deltas);
        }
        let named: Vec<_> = chains.keys().copied().collect();
        for page in named.chunks(limits::ENGINE_PAGE) {
            for (at, key, event) in graph::list_deltas(sql, scope, page).await? {
                let key = room.engine_memory.keys.intern(&key.0, &key.1);
                if let Some((upto, deltas)) = chains.get_mut(&at.chain) {
                    *upto = at.group.max(*upto);
                    deltas.push((at.group, key, event));
                }
            }
        }
        for (chain, (upto, deltas)) in chains {
            room.engine_memory.load_chain(chain, (0, upto), deltas);
        }
        Ok(())
    }

    /// The event, when the room knows it.
    pub(crate) async fn find_event(
        &self,
        room: &mut Loaded,
        event_id: &ruma::EventId,
    ) -> Result<Option<Arc<Event>>> {
        let found = self.decide(room, |room| {
            match room.engine_memory.find(event_id).ok_or(engine::Incomplete)? {
                Some(num) => room.engine_memory.event(num).map(Some).ok_or(engine::Incomplete),
                None => Ok(None),
            }
        });
        found.await?.map_err(|_| Error::internal("an event was not found"))
    }

    /// These pieces of a state.
    pub(crate) async fn pieces(
        &self,
        room: &mut Loaded,
        state: &State,
        keys: &[KeyId],
    ) -> Result<Vec<(StateKey, StateEvent)>> {
        let found = self.decide(room, |room| {
            let mut found = Vec::with_capacity(keys.len());
            let mut complete = true;
            for key in keys {
                match states::lookup(&room.engine_memory, state, *key) {
                    Some(Some(num)) => match room.engine_memory.event(num) {
                        Some(event) => found.push((*key, num, Arc::clone(&event.pdu))),
                        None => complete = false,
                    },
                    Some(None) => {}
                    None => complete = false,
                }
            }
            if complete { Ok(found) } else { Err(engine::Incomplete) }
        });
        let found = found.await?.map_err(|_| Error::internal("a state was not found"))?;
        let name = |key: KeyId| room.engine_memory.keys.get(key).cloned();
        Ok(found.into_iter().filter_map(|(key, num, pdu)| Some((name(key)?, (num, pdu)))).collect())
    }
}
