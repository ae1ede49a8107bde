//! Rooms that do not exist here, remembered for a moment: whoever asks again and again about a room
//! that nobody here knows keeps no object busy, and starts none.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use ruma::{OwnedRoomId, RoomId, UserId};

use crate::{
    Error, Result,
    messages::{room, user},
    ports::{Clock, Objects},
};

/// How long a room that was not there counts as absent, in milliseconds. What another process
/// begins meanwhile is seen that much later.
pub const ABSENT_ROOM_MS: u64 = 10_000;

/// Absent rooms that are remembered; beyond, the one that was asked about the longest ago is
/// forgotten.
pub const ABSENT_ROOMS: usize = 4_096;

/// The absent rooms that one process knows of.
#[derive(Debug, Default)]
pub struct AbsentRooms(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    until_ms: BTreeMap<OwnedRoomId, u64>,
    /// In the order in which they end.
    order: VecDeque<(u64, OwnedRoomId)>,
    /// How often some room has begun to be, or has come to be.
    begun: u64,
}

impl AbsentRooms {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_absent(&self, room_id: &RoomId, now_ms: u64) -> bool {
        self.known().until_ms.get(room_id).is_some_and(|it| *it > now_ms)
    }

    /// How many rooms have begun: what was learned before another one has is not remembered.
    fn begun(&self) -> u64 {
        self.known().begun
    }

    /// A room begins to be, or has come to be.
    fn begin(&self, room_id: &RoomId) {
        let mut known = self.known();
        known.begun += 1;
        known.until_ms.remove(room_id);
    }

    /// A room was not there.
    fn remember(&self, room_id: &RoomId, now_ms: u64, begun: u64) {
        let mut known = self.known();
        if known.begun != begun {
            return;
        }
        let until_ms = now_ms + ABSENT_ROOM_MS;
        known.until_ms.insert(room_id.to_owned(), until_ms);
        known.order.push_back((until_ms, room_id.to_owned()));
        while known.order.len() > ABSENT_ROOMS
            || known.order.front().is_some_and(|(until_ms, _)| *until_ms <= now_ms)
        {
            let Some((until_ms, room_id)) = known.order.pop_front() else { return };
            // It may have been remembered anew since.
            if known.until_ms.get(&room_id) == Some(&until_ms) {
                known.until_ms.remove(&room_id);
            }
        }
    }
}

/// All objects; those of absent rooms are not asked again for a moment.
pub struct WithAbsentRooms<O> {
    objects: O,
    absent: Arc<AbsentRooms>,
    clock: Arc<dyn Clock>,
}

impl<O> WithAbsentRooms<O> {
    /// `absent` is what all requests of one process share.
    pub fn new(objects: O, absent: Arc<AbsentRooms>, clock: Arc<dyn Clock>) -> Self {
        Self { objects, absent, clock }
    }
}

/// Whether a command may be what a room begins with.
fn begins(command: &room::Command) -> bool {
    use room::Command;
    matches!(command, Command::Create(_) | Command::Stage(_) | Command::Join(_))
}

#[async_trait]
impl<O: Objects> Objects for WithAbsentRooms<O> {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        if begins(&command) {
            self.absent.begin(room_id);
            let answer = self.objects.room(room_id, command).await;
            self.absent.begin(room_id);
            return answer;
        }
        if self.absent.is_absent(room_id, self.clock.now_ms()) {
            return Err(Error::UnknownRoom);
        }
        let begun = self.absent.begun();
        let answer = self.objects.room(room_id, command).await;
        if matches!(answer, Err(Error::UnknownRoom)) {
            self.absent.remember(room_id, self.clock.now_ms(), begun);
        }
        answer
    }

    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        self.objects.user(user_id, command).await
    }

    async fn wait_for_changes(
        &self,
        user_id: &UserId,
        question: user::GetChanges,
        at_most: Duration,
    ) -> Result<Option<Box<user::Changes>>> {
        self.objects.wait_for_changes(user_id, question, at_most).await
    }
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    #[test]
    fn a_room_is_absent_for_a_moment() {
        let absent = AbsentRooms::default();
        let room = room_id!("!a:b");
        assert!(!absent.is_absent(room, 0));
        absent.remember(room, 5, absent.begun());
        assert!(absent.is_absent(room, 5));
        assert!(absent.is_absent(room, 4 + ABSENT_ROOM_MS));
        assert!(!absent.is_absent(room, 5 + ABSENT_ROOM_MS));
        assert!(!absent.is_absent(room_id!("!b:b"), 5));
    }

    #[test]
    fn a_room_that_begins_is_not_absent() {
        let absent = AbsentRooms::default();
        let room = room_id!("!a:b");
        absent.remember(room, 5, absent.begun());
        absent.begin(room);
        assert!(!absent.is_absent(room, 5));
        // Whoever asked before it began learns of it too late.
        let begun = absent.begun();
        absent.begin(room);
        absent.remember(room, 6, begun);
        assert!(!absent.is_absent(room, 6));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let absent = AbsentRooms::default();
        let room = |number: usize| RoomId::parse(format!("!{number}:b")).unwrap();
        for number in 0..=ABSENT_ROOMS {
            absent.remember(&room(number), 5, absent.begun());
        }
        assert!(!absent.is_absent(&room(0), 6), "the first is forgotten");
        assert!(absent.is_absent(&room(1), 6));
        assert_eq!(absent.known().until_ms.len(), ABSENT_ROOMS);
        absent.remember(&room(0), 5 + ABSENT_ROOM_MS, absent.begun());
        assert_eq!(absent.known().until_ms.len(), 1, "those whose time is over are forgotten");
        assert_eq!(absent.known().order.len(), 1);
    }
}
