//! Clients of the server that is replayed: what `/sync` tells them leads to the state of the room.

use std::collections::BTreeMap;

use ruma::{
    OwnedUserId, UInt, api::client::filter::RoomEventFilter, events::TimelineEventType,
    owned_device_id,
};
use serde_json::Value;
use skerry::messages::{
    Caller, RawJson,
    room::{RoomSync, SyncRoom},
};
use skerry_core::engine::Event;

use super::{
    own_room::whole_room,
    room::Stand,
    simulation::store::{Map, Store},
};

/// The state, by event IDs.
type Ids = BTreeMap<(String, String), String>;

/// A client of a local user.
pub struct Client {
    user_id: OwnedUserId,
    /// It asks for `state_after`, not for `state`.
    state_after: bool,
    /// Events of a timeline.
    limit: u8,
    /// What it has seen, while its user is joined.
    from: Option<u64>,
    state: Ids,
}

impl Client {
    pub fn new(user_id: OwnedUserId, state_after: bool, limit: u8) -> Self {
        Self { user_id, state_after, limit, from: None, state: Ids::new() }
    }

    /// Asks what is new, and compares the state that this leads to. A key that the room has no
    /// more is not compared: `/sync` has no word for it.
    pub async fn sync(&mut self, stand: &Stand, store: &Store, map: &Map) -> Result<(), String> {
        let is_join = |it: &Event| it.pdu.content.get().contains("\"membership\":\"join\"");
        let member = store.event_in(map, "m.room.member", self.user_id.as_str());
        if !member.is_some_and(|it| is_join(it)) {
            (self.from, self.state) = (None, Ids::new());
            return Ok(());
        }
        let sync = self.ask(stand).await;
        self.take(&sync.state);
        if !self.state_after {
            self.take(&sync.timeline);
        }
        let since = self.from.replace(sync.to);
        let is_member = |it: &Event| it.pdu.event_type == TimelineEventType::RoomMember;
        let joined =
            map.values().map(|it| store.get(*it)).filter(|it| is_member(it) && is_join(it));
        let joined = joined.count() as u64;
        if sync.joined_member_count.is_some_and(|it| it != joined) {
            let count = sync.joined_member_count;
            return Err(format!("{} since {since:?}: {count:?} of {joined} joined", self.user_id));
        }
        for (key, id) in store.named(map) {
            if self.state.get(&key).is_none_or(|it| *it != id.as_str()) {
                let has = self.state.get(&key);
                return Err(format!(
                    "{} since {since:?} to {}, state_after {}, limit {}: {key:?} is {has:?}, and in \
                     the room {id}",
                    self.user_id, sync.to, self.state_after, self.limit
                ));
            }
        }
        Ok(())
    }

    async fn ask(&self, stand: &Stand) -> RoomSync {
        let mut timeline = RoomEventFilter::default();
        timeline.limit = Some(UInt::from(self.limit));
        let caller =
            Caller { user_id: self.user_id.clone(), device_id: owned_device_id!("DEVICE") };
        let sync = SyncRoom {
            from: self.from,
            state_after: self.state_after,
            timeline,
            ..whole_room(caller)
        };
        *stand.ask_to_the_end(sync).await
    }

    fn take(&mut self, events: &[RawJson]) {
        for event in events {
            let event: Value = serde_json::from_str(event.get()).unwrap();
            let Some(key) = event["state_key"].as_str() else { continue };
            let key = (event["type"].as_str().unwrap().to_owned(), key.to_owned());
            self.state.insert(key, event["event_id"].as_str().unwrap().to_owned());
        }
    }
}
