//! Which members a device has been sent, so that they are not sent again (lazy loading, [spec]).
//!
//! Kept in memory alone: when it is lost, members are sent again. When there is no more room for
//! it, what the device was sent that asked the longest ago is forgotten. A member counts once the
//! device comes back with a token that covers the answer it was in: an answer that got lost was
//! not read.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members

use std::collections::BTreeMap;

use lru::LruCache;
use ruma::{DeviceId, OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId};
use skerry_core::sync_token::SyncToken;

use super::limits;
use crate::{
    messages::user::{ReadRoom, StreamPosition},
    objects::held::Held,
};

/// Members sent to the devices of one user.
#[derive(Debug)]
pub(super) struct SentMembers {
    /// Bounded by what they hold.
    devices: LruCache<OwnedDeviceId, Device>,
    held: Held,
}

impl Default for SentMembers {
    fn default() -> Self {
        Self { devices: LruCache::unbounded(), held: Held::of(&limits::USERS) }
    }
}

#[derive(Debug, Default)]
struct Device {
    rooms: BTreeMap<OwnedRoomId, BTreeMap<OwnedUserId, StreamPosition>>,
    /// The newest position in `rooms`.
    newest: StreamPosition,
}

impl Device {
    fn bytes(&self) -> usize {
        self.rooms.values().flat_map(BTreeMap::keys).map(bytes_of).sum()
    }
}

impl SentMembers {
    /// The device asks with this token: what it was sent beyond that did not arrive.
    pub(super) fn confirm(&mut self, device_id: &DeviceId, since: Option<SyncToken>) {
        let Some(since) = since else {
            return self.forget(device_id);
        };
        let Some(device) = self.devices.get_mut(device_id) else { return };
        if device.newest <= since.base {
            return;
        }
        let before = device.bytes();
        for members in device.rooms.values_mut() {
            members.retain(|_, seq| since.seen().covers(*seq));
        }
        device.rooms.retain(|_, members| !members.is_empty());
        device.newest = since.newest();
        self.held.shrink(before - device.bytes());
    }

    /// The members of a room that the device has.
    pub(super) fn list(&self, device_id: &DeviceId, room_id: &RoomId) -> Vec<OwnedUserId> {
        let room = self.devices.peek(device_id).and_then(|it| it.rooms.get(room_id));
        room.map(|it| it.keys().cloned().collect()).unwrap_or_default()
    }

    /// The room begins anew for the device.
    pub(super) fn forget_room(&mut self, device_id: &DeviceId, room_id: &RoomId) {
        let device = self.devices.get_mut(device_id);
        let members = device.and_then(|it| it.rooms.remove(room_id)).unwrap_or_default();
        self.held.shrink(members.keys().map(bytes_of).sum());
    }

    /// The device is gone, or begins anew.
    pub(super) fn forget(&mut self, device_id: &DeviceId) {
        self.held.shrink(self.devices.pop(device_id).map_or(0, |it| it.bytes()));
    }

    /// The device is sent these members in the answer that a token at `seq` covers.
    pub(super) fn insert(
        &mut self,
        device_id: &DeviceId,
        rooms: Vec<ReadRoom>,
        seq: StreamPosition,
    ) {
        let sent: usize = rooms.iter().flat_map(|it| &it.members).map(bytes_of).sum();
        if sent == 0 || sent > limits::SENT_MEMBERS_BYTES.most {
            return;
        }
        let device = self.devices.get_or_insert_mut_ref(device_id, Device::default);
        device.newest = device.newest.max(seq);
        for ReadRoom { room_id, members, .. } in rooms {
            if members.is_empty() {
                continue;
            }
            let room = device.rooms.entry(room_id).or_default();
            for user_id in members {
                let bytes = bytes_of(&user_id);
                if room.insert(user_id, seq).is_none() {
                    self.held.grow(bytes);
                }
            }
        }
        while self.held.exceeds(limits::SENT_MEMBERS_BYTES) {
            let Some((_, device)) = self.devices.pop_lru() else { break };
            self.held.shrink(device.bytes());
        }
    }
}

/// What a member takes beside the name, in bytes: about, and rather more.
const MEMBER_BYTES: usize = 60;

fn bytes_of(member: &OwnedUserId) -> usize {
    MEMBER_BYTES + member.as_str().len()
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, owned_room_id, room_id, user_id};

    use super::*;

    fn read(members: impl IntoIterator<Item = OwnedUserId>) -> Vec<ReadRoom> {
        let members = members.into_iter().collect();
        vec![ReadRoom { room_id: owned_room_id!("!a:example.org"), to: 1, members }]
    }

    #[test]
    fn a_member_counts_when_the_answer_has_arrived() {
        let (phone, room) = (device_id!("PHONE"), room_id!("!a:example.org"));
        let ann = user_id!("@ann:example.org");
        let cases = [
            ("the answer arrived", Some(SyncToken::at(7)), true),
            ("a later one arrived", Some(SyncToken::at(9)), true),
            ("it arrived, others not", Some(SyncToken::after_read(5, 7)), true),
            ("it got lost", Some(SyncToken::at(6)), false),
            ("another read arrived", Some(SyncToken::after_read(5, 8)), false),
            ("the client begins anew", None, false),
        ];
        for (name, since, expected) in cases {
            let mut sent = SentMembers::default();
            sent.insert(phone, read([ann.to_owned()]), 7);
            sent.confirm(phone, since);
            assert_eq!(!sent.list(phone, room).is_empty(), expected, "{name}");
            let bytes = if expected { bytes_of(&ann.to_owned()) } else { 0 };
            assert_eq!(sent.held.bytes(), bytes, "{name}");
            assert_eq!(sent.list(device_id!("TABLET"), room).len(), 0, "{name}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sent = SentMembers::default();
        for device in 0..30 {
            let user = |it| OwnedUserId::try_from(format!("@u{it}:example.org")).unwrap();
            let device_id = OwnedDeviceId::from(format!("D{device}"));
            sent.insert(&device_id, read((0..1_000).map(user)), 1);
            assert!(sent.held.bytes() <= limits::SENT_MEMBERS_BYTES.most);
            assert_eq!(sent.list(&device_id, room_id!("!a:example.org")).len(), 1_000);
        }
        let is_remembered = |device: &usize| {
            let device_id = OwnedDeviceId::from(format!("D{device}"));
            !sent.list(&device_id, room_id!("!a:example.org")).is_empty()
        };
        let remembered = (0..30).filter(is_remembered).count();
        assert!((5..30).contains(&remembered), "{remembered}");
        assert!((30 - remembered..30).all(|it| is_remembered(&it)), "those that asked last");
        sent.insert(device_id!("D29"), read([user_id!("@u1:example.org").to_owned()]), 2);
        let counted: usize = sent.devices.iter().map(|(_, device)| device.bytes()).sum();
        assert_eq!(sent.held.bytes(), counted, "sent twice, counted once");
    }
}
