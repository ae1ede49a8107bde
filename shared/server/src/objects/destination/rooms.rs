//! Rooms in which something waits for the server: what it was given of each, and when it is asked.

use std::{collections::BTreeMap, sync::Arc};

use ruma::OwnedRoomId;
use skerry_core::destination::retry_after_ms;
use tokio::sync::{MappedMutexGuard, MutexGuard};

use super::{DESTINATIONS, Destination};
use crate::{
    Result,
    messages::{destination::RoomActivity, room::Position, user::Delivered},
    objects::held::Held,
    ports::Stmt,
    store::destination::{
        failures::{self, Failures},
        rooms::{self, Mark},
    },
};

/// Bytes of what is in memory of a room, about.
const ROOM_BYTES: usize = 200;

/// How long after something has come to wait the alarm sends what a crash has kept from being sent,
/// in milliseconds.
const SEND_GRACE_MS: u64 = 8_000;

/// What the server has been given of a room.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) room_id: OwnedRoomId,
    /// Up to where.
    pub(super) upto: Position,
    /// It is not in the room any more, and this was the last of it.
    pub(super) is_over: bool,
}

/// What is in memory: all of it can be read again.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rooms: BTreeMap<OwnedRoomId, Mark>,
    pub(super) failures: Option<Failures>,
    held: Held,
}

impl State {
    /// Rooms in which something waits: those first that stand behind this one, so that none waits
    /// for ever.
    pub(super) fn waiting(&self, behind: Option<&OwnedRoomId>) -> Vec<(OwnedRoomId, Mark)> {
        let waiting = || {
            let waiting = self.rooms.iter().filter(|(_, mark)| mark.is_waiting());
            waiting.map(|(room_id, mark)| (room_id.clone(), *mark))
        };
        let is_behind = |it: &(OwnedRoomId, Mark)| behind.is_none_or(|behind| it.0 > *behind);
        waiting().filter(&is_behind).chain(waiting().filter(|it| !is_behind(it))).collect()
    }

    fn count(&mut self) {
        self.held.set(self.rooms.len() * ROOM_BYTES);
    }
}

impl Destination {
    /// The state, under the lock of whoever changes it.
    pub(super) async fn lock(&self) -> Result<MappedMutexGuard<'_, State>> {
        let mut guard = self.state.lock().await;
        if guard.is_none() {
            let (sql, scope) = (self.host.sql(), self.host.scope());
            let rooms = rooms::list(sql, scope).await?.into_iter().collect();
            let failures = failures::find(sql, scope).await?;
            let mut state = State { rooms, failures, held: Held::of(&DESTINATIONS) };
            state.count();
            *guard = Some(state);
        }
        MutexGuard::try_map(guard, Option::as_mut)
            .map_err(|_| crate::Error::internal("the destination is not loaded"))
    }

    /// Something waits for the server in a room. Noted once; it is read when it is sent.
    pub(super) async fn take_activity(self: &Arc<Self>, it: RoomActivity) -> Result<Delivered> {
        let RoomActivity { room_id, position } = it;
        let mut state = self.lock().await?;
        let known = state.rooms.get(&room_id).copied();
        let was_waiting = known.is_some_and(Mark::is_waiting);
        let mark = known.unwrap_or_default();
        let mark = Mark { waiting: mark.waiting.max(position), ..mark };
        if !was_waiting && mark.is_waiting() {
            let stmt = rooms::upsert(self.host.scope(), &room_id, mark);
            self.commit(vec![stmt], Some(self.host.clock().now_ms() + SEND_GRACE_MS)).await?;
        }
        state.rooms.insert(room_id, mark);
        state.count();
        drop(state);
        self.send_later();
        Ok(if was_waiting { Delivered::Unread } else { Delivered::Noted })
    }

    /// The server has acknowledged what it was given of rooms.
    pub(super) async fn acknowledged(&self, read: Vec<Read>) -> Result<()> {
        let scope = self.host.scope();
        let mut state = self.lock().await?;
        let mut stmts = Vec::with_capacity(read.len() + 1);
        let mut marks = Vec::with_capacity(read.len());
        for Read { room_id, upto, is_over } in read {
            let known = state.rooms.get(&room_id).copied().unwrap_or_default();
            let mark = Mark { sent: Some(known.sent.unwrap_or(0).max(upto)), ..known };
            let mark = Some(mark).filter(|it| !is_over || it.is_waiting());
            stmts.push(match mark {
                Some(mark) => rooms::upsert(scope, &room_id, mark),
                None => rooms::remove(scope, &room_id),
            });
            marks.push((room_id, mark));
        }
        if state.failures.is_some() {
            stmts.push(failures::remove(scope));
        }
        self.commit(stmts, None).await?;
        for (room_id, mark) in marks {
            match mark {
                Some(mark) => state.rooms.insert(room_id, mark),
                None => state.rooms.remove(&room_id),
            };
        }
        state.failures = None;
        state.count();
        Ok(())
    }

    /// The server has not answered.
    pub(super) async fn failed(&self) -> Result<()> {
        let now_ms = self.host.clock().now_ms();
        let mut state = self.lock().await?;
        let before = state.failures.unwrap_or(Failures { since_ms: now_ms, ..Failures::default() });
        let count = before.count.saturating_add(1);
        let next_ms = now_ms.saturating_add(retry_after_ms(count, self.random()?));
        let failures = Failures { count, next_ms, ..before };
        let stmt = failures::upsert(self.host.scope(), failures);
        self.commit(vec![stmt], Some(next_ms)).await?;
        state.failures = Some(failures);
        Ok(())
    }

    /// The server has shown that it is there: it is asked at once.
    pub(super) async fn take_sign_of_life(self: &Arc<Self>) -> Result<()> {
        {
            let mut state = self.lock().await?;
            let Some(failures) = state.failures.as_mut() else { return Ok(()) };
            failures.next_ms = 0;
        }
        self.send_later();
        Ok(())
    }

    /// What has waited since a crash, or for a server that did not answer, is sent.
    pub(super) async fn on_alarm(self: &Arc<Self>) -> Result<()> {
        self.send().await;
        let now_ms = self.host.clock().now_ms();
        let next_ms = {
            let state = self.lock().await?;
            let is_waiting = state.rooms.values().any(|it| it.is_waiting());
            let retry_ms = state.failures.map_or(0, |it| it.next_ms);
            is_waiting.then(|| retry_ms.max(now_ms + SEND_GRACE_MS))
        };
        match next_ms {
            Some(_) => self.commit(Vec::new(), next_ms).await,
            None => Ok(()),
        }
    }

    pub(super) async fn commit(&self, stmts: Vec<Stmt>, alarm_by_ms: Option<u64>) -> Result<()> {
        self.host.commit(stmts, alarm_by_ms).await.map(drop)
    }
}
