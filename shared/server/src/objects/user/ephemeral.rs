//! Receipts and typing that the user's clients may not have seen. Kept in memory alone: what is
//! lost with it comes with the next event of its room, save for receipts of which no client was
//! there to hear: those are noted in the stream.

use lru::LruCache;
use ruma::{DeviceId, OwnedDeviceId, OwnedRoomId, RoomId};
use skerry_core::sync_token::{EphemeralVersion, SyncToken};

use super::{User, limits};
use crate::{
    Result,
    messages::user::{Delivered, EphemeralActivity, RoomActivity},
};

/// Which rooms have receipts or typing that a client may not have seen.
#[derive(Debug)]
pub(super) struct EphemeralNews {
    /// The newest version of this memory.
    newest: EphemeralVersion,
    /// The version that each room has changed with, in the order of the versions.
    rooms: LruCache<OwnedRoomId, u64>,
    /// When each device asked last.
    devices: LruCache<OwnedDeviceId, u64>,
}

impl EphemeralNews {
    /// An empty memory.
    pub(super) fn new(epoch: u64) -> Self {
        let newest = EphemeralVersion { epoch, version: 0 };
        Self {
            newest,
            rooms: LruCache::sparse(limits::EPHEMERAL_ROOMS),
            devices: LruCache::sparse(limits::EPHEMERAL_DEVICES),
        }
    }

    /// Something new is of the next version.
    pub(super) fn advance(&mut self) {
        self.newest.version += 1;
    }

    fn note(&mut self, room_id: OwnedRoomId) {
        self.advance();
        self.rooms.put(room_id, self.newest.version);
    }

    /// What a client has been given with an answer.
    pub(super) fn newest(&self) -> EphemeralVersion {
        self.newest
    }

    /// Up to which version of this memory a client with this token was given what is new. None: it
    /// was given what another memory held.
    pub(super) fn given(&self, token: SyncToken) -> Option<u64> {
        let is_known = |it: &EphemeralVersion| it.epoch == self.newest.epoch;
        token.ephemeral.filter(is_known).map(|it| it.version)
    }

    /// The rooms of which a client with this token may not have seen everything.
    pub(super) fn since(&self, token: SyncToken) -> Vec<OwnedRoomId> {
        let given = self.given(token).unwrap_or(0);
        let rooms = self.rooms.iter().take_while(|(_, version)| **version > given);
        rooms.map(|(room_id, _)| room_id.clone()).collect()
    }

    /// A device asks.
    pub(super) fn asked(&mut self, device_id: &DeviceId, now_ms: u64) {
        self.devices.put(device_id.to_owned(), now_ms);
    }

    /// Whether some device is waiting or has only just gone: it will ask.
    fn is_somebody_there(&self, now_ms: u64) -> bool {
        let since_ms = now_ms.saturating_sub(limits::PRESENT_MS);
        self.devices.iter().any(|(_, asked_ms)| *asked_ms >= since_ms)
    }

    /// Whether a device that has asked is not there.
    fn is_somebody_away(&self, now_ms: u64) -> bool {
        let since_ms = now_ms.saturating_sub(limits::PRESENT_MS);
        self.devices.iter().any(|(_, asked_ms)| *asked_ms < since_ms)
    }
}

impl User {
    /// A room tells of a receipt or of typing.
    pub(super) async fn note_ephemeral(&self, activity: EphemeralActivity) -> Result<()> {
        let EphemeralActivity { room_id, receipt, is_own } = activity;
        let mut state = self.lock().await?;
        let now_ms = self.host.clock().now_ms();
        let is_somebody_there =
            self.host.is_waited_for() || state.ephemeral.is_somebody_there(now_ms);
        let is_lost_on_some =
            !is_somebody_there || (is_own && state.ephemeral.is_somebody_away(now_ms));
        if let Some(position) = receipt
            && is_lost_on_some
        {
            let activity = RoomActivity { room_id: room_id.clone(), position };
            if self.note_activity(&mut state, activity).await? == Delivered::Noted {
                return Ok(());
            }
        }
        state.ephemeral.note(room_id);
        self.host.wake();
        Ok(())
    }
}

/// Whether a list of rooms names one.
pub(super) fn names(rooms: &[OwnedRoomId], room_id: &RoomId) -> bool {
    rooms.iter().any(|it| it == room_id)
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, owned_room_id};

    use super::*;

    #[test]
    fn a_token_says_what_was_given() {
        let room = || owned_room_id!("!a:x.y");
        let mut news = EphemeralNews::new(1);
        let first = SyncToken::at(5).with_ephemeral(news.newest());
        assert!(news.since(first).is_empty());
        news.note(room());
        assert_eq!(news.since(first), [room()]);
        assert_eq!(news.since(first), [room()], "the answer may have got lost");
        let second = SyncToken::at(5).with_ephemeral(news.newest());
        assert!(news.since(second).is_empty());
        let mut anew = EphemeralNews::new(2);
        assert!(anew.since(second).is_empty());
        anew.note(room());
        assert_eq!(anew.since(second), [room()], "noted since the memory was lost");
    }

    #[test]
    fn the_rooms_that_changed_last_are_kept() {
        let room = |number: usize| RoomId::parse(format!("!{number}:x.y")).unwrap();
        let mut news = EphemeralNews::new(1);
        let first = SyncToken::at(5).with_ephemeral(news.newest());
        for number in 0..=limits::EPHEMERAL_ROOMS.get() {
            news.note(room(number));
            news.note(room(0));
        }
        let rooms = news.since(first);
        assert_eq!(rooms.len(), limits::EPHEMERAL_ROOMS.get());
        assert!(names(&rooms, &room(0)) && names(&rooms, &room(2)));
        assert!(!names(&rooms, &room(1)));
    }

    #[test]
    fn who_is_there_and_who_is_away() {
        let (a, b) = (device_id!("A"), device_id!("B"));
        let mut news = EphemeralNews::new(1);
        assert!(!news.is_somebody_there(0) && !news.is_somebody_away(0));
        news.asked(a, 1_000);
        assert!(news.is_somebody_there(1_000 + limits::PRESENT_MS));
        assert!(!news.is_somebody_there(1_001 + limits::PRESENT_MS));
        news.asked(b, 1_001 + limits::PRESENT_MS);
        let now_ms = 1_001 + limits::PRESENT_MS;
        assert!(news.is_somebody_there(now_ms) && news.is_somebody_away(now_ms));
    }
}
