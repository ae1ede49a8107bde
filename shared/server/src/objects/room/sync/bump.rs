//! When people were last active in a room, and who asks what lists of rooms look at.

use std::sync::Arc;

use skerry_core::sliding_sync::bumps;

use crate::{
    Result,
    messages::room::{Direction, GetFacts, Position, RoomFacts},
    objects::room::{Room, loaded::Loaded},
    store::room::{events, readers::Reader, stored_us},
};

/// The newest events among which that is looked for which people were last active with. Where it is
/// older, the oldest of them stands for it.
const BUMP_EVENTS: u64 = 30;

impl Room {
    /// What lists look at. The member who asks watches, as if they had read the room: their stream
    /// hears when that changes.
    pub(crate) async fn get_facts(self: &Arc<Self>, it: GetFacts) -> Result<RoomFacts> {
        let room = self.read().await?;
        self.check_joined(&room, &it.user_id).await?;
        self.begin_reading(&Reader::User(it.user_id)).await?;
        self.facts(&room).await
    }

    /// When people were last active in the room: an instant.
    pub(super) async fn bump_us(&self, room: &Loaded) -> Result<u64> {
        let (upto, known_us) = room.memory.bump().unwrap_or_default();
        if upto == room.head && known_us > 0 {
            return Ok(known_us);
        }
        let newest = room.memory.events_after(upto, |it| {
            bumps(&it.stored.event_type).then_some((it.stored.num, it.stored.position))
        });
        let at_us = match newest {
            // Everything since is in memory.
            Some(events) => match events.last() {
                Some((num, position)) => self.stored_at(room, *num, *position).await?,
                None if known_us > 0 => known_us,
                None => self.find_bump(room).await?,
            },
            None => self.find_bump(room).await?,
        };
        room.memory.remember_bump(room.head, at_us);
        Ok(at_us)
    }

    async fn find_bump(&self, room: &Loaded) -> Result<u64> {
        let (sql, scope) = (self.sql(), self.scope());
        let direction = Direction::Backward;
        let page = events::page(sql, scope, 0, room.head, direction, BUMP_EVENTS).await?;
        let found = page.iter().find(|it| bumps(&it.event_type)).or(page.last());
        match found {
            Some(event) => self.stored_at(room, event.num, event.position).await,
            None => Ok(room.stored_us),
        }
    }

    /// When an event was stored. Of the newest one that is known.
    async fn stored_at(&self, room: &Loaded, num: Position, position: Position) -> Result<u64> {
        match position == room.head && num == position {
            true => Ok(room.stored_us),
            false => stored_us::find(self.sql(), self.scope(), num).await,
        }
    }
}
