//! What a room keeps in memory: small, and rebuilt from the store at any time.

use std::sync::Arc;

use ruma::{
    EventId, OwnedEventId, RoomVersionId, UserId, events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};
use serde::Deserialize;
use skerry_core::{Pdu, authorize::StateKey, room_version};

use super::{
    Room,
    memory::{Known, Memory},
};
use crate::{
    Error, Result,
    messages::room::Position,
    store::room::{
        events::{self, StateAt},
        members, meta, state,
    },
};

/// A piece of state: where its event is, and the event.
pub(super) type StateEvent = (Position, Arc<Pdu>);

/// A room in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) version: RoomVersionId,
    pub(super) rules: RoomVersionRules,
    /// The newest position of the stream.
    pub(super) head: Position,
    /// The event that the next one refers to, and its depth.
    pub(super) newest: Option<(OwnedEventId, u64)>,
    /// The current state.
    pub(super) state: StateAt,
    pub(super) joined: u64,
    pub(super) invited: u64,
    /// The newest position of a receipt.
    pub(super) receipts_head: Position,
    /// When who is typing last changed.
    pub(super) typing_head: Position,
    pub(super) memory: Memory,
}

impl Loaded {
    /// A room that has no events yet.
    pub(super) fn empty(version: RoomVersionId, rules: RoomVersionRules) -> Self {
        Self {
            version,
            rules,
            head: 0,
            newest: None,
            state: StateAt::default(),
            joined: 0,
            invited: 0,
            receipts_head: 0,
            typing_head: 0,
            memory: Memory::new(0),
        }
    }
}

impl Room {
    /// Reads the room; none when it does not exist here.
    pub(super) async fn load(self: &Arc<Self>) -> Result<Option<Loaded>> {
        let (sql, scope) = (self.sql(), self.scope());
        let Some(meta) = meta::find(sql, scope).await? else { return Ok(None) };
        let newest = events::find_newest(sql, scope).await?;
        let (newest, before) = newest.ok_or_else(|| Error::internal("the room has no events"))?;
        let (joined, invited) = members::count(sql, scope).await?;
        let rules = room_version::rules(&meta.version)
            .ok_or_else(|| Error::internal("the room's version is not supported"))?;
        let state = match newest.state_key {
            Some(_) => StateAt { group: newest.position, ..before },
            None => before,
        };
        let pdu = self.to_pdu(newest.event_id, newest.json)?;
        let mut loaded = Loaded::empty(meta.version, rules);
        loaded.head = newest.position.max(meta.receipts_head).max(meta.typing_head);
        loaded.receipts_head = meta.receipts_head;
        loaded.typing_head = meta.typing_head;
        loaded.memory = Memory::new(loaded.head);
        loaded.newest = Some((pdu.event_id.clone(), pdu.depth));
        loaded.state = state;
        loaded.joined = joined;
        loaded.invited = invited;
        if meta.notified < loaded.head {
            self.catch_up_later(loaded.head);
        }
        Ok(Some(loaded))
    }

    /// A stored event, read.
    pub(super) fn to_pdu(&self, event_id: OwnedEventId, json: String) -> Result<Arc<Pdu>> {
        Pdu::from_stored(event_id, &self.id, json.into_boxed_str())
            .map(Arc::new)
            .map_err(Error::internal)
    }

    /// Pieces of the current state; absent ones are left out.
    pub(super) async fn state_events(
        &self,
        room: &Loaded,
        keys: &[StateKey],
    ) -> Result<Vec<(StateKey, StateEvent)>> {
        let mut found = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        for key in keys {
            match room.memory.state(key) {
                Known::Present(event) => found.push((key.clone(), event)),
                Known::Absent => {}
                Known::No => missing.push(key.clone()),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let (sql, scope) = (self.sql(), self.scope());
        let entries = state::find(sql, scope, room.state, &missing).await?;
        let positions: Vec<_> = entries.iter().map(|(_, position)| *position).collect();
        for stored in events::list(sql, scope, &positions).await? {
            let position = stored.position;
            let pdu = self.to_pdu(stored.event_id, stored.json)?;
            for (key, _) in entries.iter().filter(|(_, it)| *it == position) {
                missing.retain(|it| it != key);
                room.memory.remember_state(key.clone(), Some((position, Arc::clone(&pdu))));
                found.push((key.clone(), (position, Arc::clone(&pdu))));
            }
        }
        for key in missing {
            room.memory.remember_state(key, None);
        }
        Ok(found)
    }

    /// One piece of the current state.
    pub(super) async fn state_event(
        &self,
        room: &Loaded,
        event_type: &str,
        state_key: &str,
    ) -> Result<Option<StateEvent>> {
        let key = (event_type.to_owned(), state_key.to_owned());
        let found = self.state_events(room, std::slice::from_ref(&key)).await?;
        Ok(found.into_iter().next().map(|(_, event)| event))
    }

    /// The content of one piece of the current state, when it is there and of that shape.
    pub(super) async fn state_content<T: for<'de> Deserialize<'de>>(
        &self,
        room: &Loaded,
        event_type: &str,
    ) -> Result<Option<T>> {
        let event = self.state_event(room, event_type, "").await?;
        Ok(event.and_then(|(_, it)| serde_json::from_str(it.content.get()).ok()))
    }

    /// A user's current membership; `leave` when they never had any.
    pub(super) async fn membership(
        &self,
        room: &Loaded,
        user_id: &UserId,
    ) -> Result<MembershipState> {
        let event = self.state_event(room, "m.room.member", user_id.as_str()).await?;
        Ok(event.map_or(MembershipState::Leave, |(_, it)| membership_of(it.content.get())))
    }

    /// The event with this ID, where it is in this room.
    pub(super) async fn stored_event(&self, event_id: &EventId) -> Result<Option<events::Stored>> {
        events::find(self.sql(), self.scope(), event_id).await
    }
}

/// The membership in the content of a membership event.
pub(super) fn membership_of(content: &str) -> MembershipState {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    serde_json::from_str::<Content>(content).map_or(MembershipState::Leave, |it| it.membership)
}
