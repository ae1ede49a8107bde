//! Rooms that do not exist here, remembered for a moment: whoever asks again and again about a room
//! that nobody here knows keeps no object busy, and starts none.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use lru::LruCache;
use ruma::{OwnedRoomId, RoomId, ServerName, UserId};

use crate::{
    Error, Result,
    messages::{destination, room, user},
    ports::{Clock, Objects},
};

/// How long a room that was not there counts as absent, in milliseconds. What another process
/// begins meanwhile is seen that much later.
pub const ABSENT_ROOM_MS: u64 = 10_000;

/// Absent rooms that are remembered; beyond, the one that was asked about the longest ago is
/// forgotten.
pub const ABSENT_ROOMS: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// The absent rooms that one process knows of.
#[derive(Debug)]
pub struct AbsentRooms(Mutex<Memory>);

#[derive(Debug)]
struct Memory {
    /// Until when each counts as absent. In the order in which that ends: nothing that only looks
    /// changes it.
    until_ms: LruCache<OwnedRoomId, u64>,
    /// How often some room has begun to be, or has come to be.
    begun: u64,
}

impl Default for AbsentRooms {
    fn default() -> Self {
        Self(Mutex::new(Memory { until_ms: LruCache::sparse(ABSENT_ROOMS), begun: 0 }))
    }
}

impl AbsentRooms {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_absent(&self, room_id: &RoomId, now_ms: u64) -> bool {
        self.memory().until_ms.peek(room_id).is_some_and(|it| *it > now_ms)
    }

    /// How many rooms have begun: what was learned before another one has is not remembered.
    fn begun(&self) -> u64 {
        self.memory().begun
    }

    /// A room begins to be, or has come to be.
    fn begin(&self, room_id: &RoomId) {
        let mut memory = self.memory();
        memory.begun += 1;
        memory.until_ms.pop(room_id);
    }

    /// A room was not there.
    fn remember(&self, room_id: &RoomId, now_ms: u64, begun: u64) {
        let mut memory = self.memory();
        if memory.begun != begun {
            return;
        }
        while memory.until_ms.peek_lru().is_some_and(|(_, until_ms)| *until_ms <= now_ms) {
            memory.until_ms.pop_lru();
        }
        memory.until_ms.put(room_id.to_owned(), now_ms + ABSENT_ROOM_MS);
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
    matches!(
        command,
        Command::Create(_) | Command::Expect(_) | Command::Stage(_) | Command::Join(_)
    )
}

/// Whether a command may bring what is kept for a room that is being joined. Whoever asked for
/// something else meanwhile was told that there is no such room.
fn may_be_kept(command: &room::Command) -> bool {
    matches!(command, room::Command::Receive(_))
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
        if !may_be_kept(&command) && self.absent.is_absent(room_id, self.clock.now_ms()) {
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

    async fn destination(
        &self,
        server: &ServerName,
        command: destination::Command,
    ) -> Result<destination::Reply> {
        self.objects.destination(server, command).await
    }

    async fn wait_for_changes(
        &self,
        user_id: &UserId,
        question: user::GetChanges,
        at_most: Duration,
    ) -> Result<Box<user::Changes>> {
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
        for number in 0..=ABSENT_ROOMS.get() {
            absent.remember(&room(number), 5, absent.begun());
        }
        assert!(!absent.is_absent(&room(0), 6), "the first is forgotten");
        assert!(absent.is_absent(&room(1), 6));
        assert_eq!(absent.memory().until_ms.len(), ABSENT_ROOMS.get());
        absent.remember(&room(0), 5 + ABSENT_ROOM_MS, absent.begun());
        assert_eq!(absent.memory().until_ms.len(), 1, "those whose time is over are forgotten");
    }
}
