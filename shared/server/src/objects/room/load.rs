//! Reading the room from its store: the room itself, pieces of its current state, stored events.

mod decide;
mod policy;
pub(super) mod power;

use std::sync::Arc;

use ruma::{
    EventId, OwnedEventId, ServerName, UserId,
    events::room::{member::MembershipState, server_acl::RoomServerAclEventContent},
};
use serde::Deserialize;
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    Pdu,
    authorize::StateKey,
    delivery::RoomDeliveries,
    engine::{Num, StateAt},
    room_version,
};

use crate::{
    Error, Result,
    objects::{
        agenda::Agenda,
        room::{
            Room,
            loaded::{
                Loaded,
                deliveries::Deliveries,
                memory::{Memory, Remembered},
                state_event::{ENCRYPTION, StateEvent, membership_of},
            },
        },
    },
    store::room::{
        events::{self, StoredEvent},
        gaps, members, meta, readers, state, stored_us, unverified,
    },
};

impl Room {
    /// Reads the room; none when it does not exist here.
    pub(super) async fn load(self: &Arc<Self>) -> Result<Option<Loaded>> {
        let (sql, scope) = (self.sql(), self.scope());
        let Some(meta) = meta::find(sql, scope).await? else { return Ok(None) };
        let (joined, invited) = members::count(sql, scope).await?;
        let rules = room_version::rules(&meta.version)
            .ok_or_else(|| Error::internal("the room's version is not supported"))?;
        let extremities = match &meta.extremities {
            Some(nums) => events::list(sql, scope, nums).await?,
            None => events::find_newest(sql, scope).await?.into_iter().collect(),
        };
        let Some(newest) = extremities.last() else {
            // A join that has not come to its end.
            return Ok(None);
        };
        let state = match meta.extremities {
            None => newest.states.map(|it| it.after),
            Some(_) => None,
        };
        let state = match state.filter(|it| it.chain == 0) {
            Some(state) => state,
            None => StateAt { chain: 0, group: state::find_head(sql, scope).await? },
        };
        let mut loaded = Loaded::empty(meta.version, rules);
        loaded.effects.agenda = Agenda::load(sql, scope).await?;
        loaded.effects.listed = meta.listed;
        loaded.effects.alias = meta.alias;
        loaded.head = events::find_head(sql, scope).await?;
        loaded.head = loaded.head.max(meta.receipts_head).max(meta.devices_head).max(meta.taken);
        loaded.stored_us = stored_us::find_newest(sql, scope).await?;
        loaded.effects.directory_changed = loaded.head;
        loaded.receipts_head = meta.receipts_head;
        loaded.devices_head = meta.devices_head;
        loaded.memory = Memory::new(loaded.head);
        loaded.extremities_stored = meta.extremities.is_some();
        let to_extremity =
            |event: StoredEvent| Ok((event.num, self.to_pdu(event.event_id, event.json)?));
        loaded.set_extremities(extremities.into_iter().map(to_extremity).collect::<Result<_>>()?);
        loaded.state = state;
        loaded.joined = joined;
        loaded.invited = invited;
        loaded.pending = meta.pending;
        loaded.unverified = meta.unverified;
        if meta.unverified > 0 {
            loaded.engine_memory.set_unverified(unverified::list_keys(sql, scope).await?);
        }
        loaded.is_linear = meta.taken == 0;
        if meta.taken > 0 {
            loaded.gaps = gaps::list(sql, scope).await?;
        }
        self.load_deliveries().await?;
        Ok(Some(loaded))
    }

    /// Who may have read everything. Whatever alarm is stored may have been set for what memory
    /// alone knew: then nobody knows to whom the newest event was delivered.
    async fn load_deliveries(&self) -> Result<()> {
        if self.deliveries().is_loaded {
            return Ok(());
        }
        let readers = readers::list(self.sql(), self.scope()).await?;
        let alarm_at_ms = self.host.alarm_at_ms().await?;
        *self.deliveries() = Deliveries::loaded(RoomDeliveries::load(readers, alarm_at_ms));
        Ok(())
    }

    /// A stored event, read.
    pub(super) fn to_pdu(&self, event_id: OwnedEventId, json: String) -> Result<Arc<Pdu>> {
        Pdu::from_stored(event_id, &self.id, json.into_boxed_str())
            .map(Arc::new)
            .map_err(Error::internal)
    }

    /// A stored event as authorization reads it: what a redaction took away of it is still there,
    /// as it is on servers that have not seen the redaction.
    pub(super) fn to_auth_pdu(
        &self,
        event_id: OwnedEventId,
        json: String,
        auth_content: Option<String>,
    ) -> Result<Arc<Pdu>> {
        let mut pdu = self.to_pdu(event_id, json)?;
        if let Some(content) = auth_content {
            Arc::make_mut(&mut pdu).content = RawJsonValue::from_string(content)?;
        }
        Ok(pdu)
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
                Remembered::Present(event) => found.push((key.clone(), event)),
                Remembered::Absent => {}
                Remembered::Nothing => missing.push(key.clone()),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let (sql, scope) = (self.store_of(room).await?, self.scope());
        let entries = state::find(sql, scope, room.state, &missing).await?;
        let nums: Vec<_> = entries.iter().map(|(_, num)| *num).collect();
        for stored in events::list(sql, scope, &nums).await? {
            let num = stored.num;
            let pdu = self.to_auth_pdu(stored.event_id, stored.json, stored.auth_content)?;
            for (key, _) in entries.iter().filter(|(_, it)| *it == num) {
                missing.retain(|it| it != key);
                room.memory.remember_state(key.clone(), Some((num, Arc::clone(&pdu))));
                found.push((key.clone(), (num, Arc::clone(&pdu))));
            }
        }
        for key in missing {
            room.memory.remember_state(key, None);
        }
        Ok(found)
    }

    /// Whether the room's access control list lets a server in.
    pub(super) async fn is_let_in(&self, room: &Loaded, server: &ServerName) -> Result<bool> {
        Ok(!self.let_in(room, vec![server]).await?.is_empty())
    }

    /// The servers that the room's access control list lets in ([spec]). A list that cannot be read
    /// lets in nobody.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/server-server-api/#server-access-control-lists-acls
    pub(super) async fn let_in<T: AsRef<ServerName>>(
        &self,
        room: &Loaded,
        mut servers: Vec<T>,
    ) -> Result<Vec<T>> {
        let Some((_, list)) = self.state_event(room, "m.room.server_acl", "").await? else {
            return Ok(servers);
        };
        let list = serde_json::from_str::<RoomServerAclEventContent>(list.content.get());
        servers.retain(|it| list.as_ref().is_ok_and(|list| list.is_allowed(it.as_ref())));
        Ok(servers)
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

    /// Refuses who is not joined.
    pub(super) async fn check_joined(&self, room: &Loaded, user_id: &UserId) -> Result<()> {
        match self.membership(room, user_id).await? {
            MembershipState::Join => Ok(()),
            _ => Err(Self::unknown()),
        }
    }

    /// Whether the room is encrypted.
    pub(super) async fn is_encrypted(&self, room: &Loaded) -> Result<bool> {
        Ok(self.state_event(room, ENCRYPTION, "").await?.is_some())
    }

    /// The create event's number.
    pub(super) async fn create_num(&self, room: &Loaded) -> Result<Num> {
        let create = self.state_event(room, "m.room.create", "").await?;
        create.map(|(num, _)| num).ok_or_else(|| Error::internal("the room has no create event"))
    }

    /// The events of these keys of a state.
    pub(super) async fn events_of(
        &self,
        at: StateAt,
        keys: &[StateKey],
    ) -> Result<Vec<StoredEvent>> {
        let found = state::find(self.sql(), self.scope(), at, keys).await?;
        let positions: Vec<_> = found.into_iter().map(|(_, at)| at).collect();
        events::list(self.sql(), self.scope(), &positions).await
    }

    /// The event with this ID, where it is in this room.
    pub(super) async fn stored_event(
        &self,
        event_id: &EventId,
    ) -> Result<Option<events::StoredEvent>> {
        events::find(self.sql(), self.scope(), event_id).await
    }
}
