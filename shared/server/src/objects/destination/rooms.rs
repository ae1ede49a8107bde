//! Rooms in which something waits for the server: what it was given of each, and when it is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedRoomId, OwnedUserId};
use skerry_core::{
    destination::{TypingNews, retry_after_ms},
    device_keys::updates::Sent,
    gather::Gather as _,
    to_device::Size,
};
use tokio::sync::{MappedMutexGuard, MutexGuard};

use super::{DESTINATIONS, Destination, lists::Tickets, statuses::Statuses};
use crate::{
    Result,
    messages::{
        destination::{RoomActivity, TypingActivity},
        room::Position,
        user::Delivered,
    },
    objects::held::Held,
    ports::Stmt,
    store::destination::{
        devices,
        edus::{self, Queue},
        failures::{self, Failures},
        rooms::{self, Mark},
    },
};

/// Bytes of what is in memory of a room, or of a user who types or is there, about.
const ROOM_BYTES: usize = 200;

/// How long after something has come to wait the alarm sends what a crash has kept from being sent,
/// in milliseconds.
pub(super) const SEND_GRACE_MS: u64 = 8_000;

/// What the server has been given of a room.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) room_id: OwnedRoomId,
    /// Up to where.
    pub(super) upto: Position,
    /// There is more behind that.
    pub(super) has_more: bool,
    /// It is not in the room any more, and this was the last of it.
    pub(super) is_over: bool,
}

/// What is in memory: all of it can be read again.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rooms: BTreeMap<OwnedRoomId, Mark>,
    pub(super) failures: Option<Failures>,
    /// Who types.
    pub(super) typing: TypingNews,
    /// Who is there.
    pub(super) statuses: Statuses,
    /// Who fetches lists of devices.
    pub(super) tickets: Tickets,
    /// Rooms of which no row says that something waits there: receipts alone do, which are sent
    /// at once. If they are not, the rows are written.
    unstored: BTreeSet<OwnedRoomId>,
    /// What is no event and waits.
    pub(super) queue: Queue,
    /// A batch with some of that is on its way, or failed without saying how far it got.
    pub(super) is_in_doubt: bool,
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

    /// Whether the server has not answered and is left alone at this time.
    pub(super) fn is_left_alone(&self, now_ms: u64) -> bool {
        self.failures.is_some_and(|it| it.next_ms > now_ms)
    }

    pub(super) fn count(&mut self) {
        let kept = self.rooms.len() + self.typing.len() + self.statuses.len() + self.tickets.len();
        self.held.set(kept * ROOM_BYTES);
    }
}

impl Destination {
    /// The state, under the lock of whoever changes it.
    pub(super) async fn lock(&self) -> Result<MappedMutexGuard<'_, State>> {
        let mut guard = self.state.lock().await;
        if guard.as_ref().is_none_or(|it| it.is_in_doubt) {
            let (sql, scope) = (self.host.sql(), self.host.scope());
            let rooms = rooms::list(sql, scope).await?.into_iter().gather();
            let failures = failures::find(sql, scope).await?;
            let mut state = State {
                rooms,
                failures,
                typing: TypingNews::default(),
                statuses: Statuses::default(),
                tickets: Tickets::new(self.host.clock().now_ms()),
                unstored: BTreeSet::new(),
                queue: edus::find(sql, scope).await?,
                is_in_doubt: false,
                held: Held::of(&DESTINATIONS),
            };
            state.count();
            *guard = Some(state);
        }
        MutexGuard::try_map(guard, Option::as_mut)
            .map_err(|_| crate::Error::internal("the destination is not loaded"))
    }

    /// Something waits for the server in a room. Noted once; it is read when it is sent.
    pub(super) async fn take_activity(self: &Arc<Self>, it: RoomActivity) -> Result<Delivered> {
        let RoomActivity { room_id, position, is_weak } = it;
        let mut state = self.lock().await?;
        let known = state.rooms.get(&room_id).copied();
        let was_waiting = known.is_some_and(Mark::is_waiting) && !state.unstored.contains(&room_id);
        let mark = known.unwrap_or_default();
        let mark = Mark { waiting: mark.waiting.max(position), ..mark };
        if !was_waiting && mark.is_waiting() {
            if is_weak && state.failures.is_none() {
                state.unstored.insert(room_id.clone());
            } else {
                let stmt = rooms::upsert(self.host.scope(), &room_id, mark);
                self.commit(vec![stmt], Some(self.host.clock().now_ms() + SEND_GRACE_MS)).await?;
                state.unstored.remove(&room_id);
            }
        }
        state.rooms.insert(room_id, mark);
        state.count();
        drop(state);
        self.send_later();
        Ok(if was_waiting { Delivered::Unread } else { Delivered::Noted })
    }

    /// Local users type in a room, or do not any more. Nothing is written.
    pub(super) async fn take_typing(self: &Arc<Self>, it: TypingActivity) -> Result<()> {
        let TypingActivity { room_id, users } = it;
        let now_ms = self.host.clock().now_ms();
        {
            let mut state = self.lock().await?;
            if state.is_left_alone(now_ms) {
                return Ok(());
            }
            for (user_id, is_typing) in users {
                state.typing.note(room_id.clone(), user_id, is_typing, now_ms);
            }
            state.count();
        }
        self.send_later();
        Ok(())
    }

    /// The server has acknowledged what it was given of rooms.
    /// `edus`: up to which number it has taken what waited of those.
    pub(super) async fn acknowledged(
        &self,
        read: Vec<Read>,
        devices: BTreeMap<OwnedUserId, Sent>,
        edus: Option<u64>,
    ) -> Result<()> {
        let scope = self.host.scope();
        let mut state = self.lock().await?;
        let mut stmts = Vec::with_capacity(read.len() + devices.len() + 1);
        let told = devices.iter().map(|(user_id, sent)| devices::upsert(scope, user_id, *sent));
        stmts.extend(told);
        let mut marks = Vec::with_capacity(read.len());
        for Read { room_id, upto, has_more, is_over } in read {
            let known = state.rooms.get(&room_id).copied().unwrap_or_default();
            let waiting = if has_more { known.waiting.max(upto + 1) } else { known.waiting };
            let mark = Mark { sent: Some(known.sent.unwrap_or(0).max(upto)), waiting };
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
        let removal = edus.map(|it| edus::remove_until(scope, it));
        self.commit_and_remove(&mut state, removal, stmts, None).await?;
        for (room_id, mark) in marks {
            state.unstored.remove(&room_id);
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
        let next_ms = now_ms.saturating_add(retry_after_ms(count, self.host.random().number()?));
        let failures = Failures { count, next_ms, ..before };
        let scope = self.host.scope();
        let unstored = state.unstored.iter();
        let unstored =
            unstored.filter_map(|it| Some(rooms::upsert(scope, it, *state.rooms.get(it)?)));
        let stmts = unstored.chain([failures::upsert(scope, failures)]).collect();
        let stale = self.drop_stale(&mut state.queue, now_ms);
        self.commit_and_remove(&mut state, stale, stmts, Some(next_ms)).await?;
        state.unstored.clear();
        state.failures = Some(failures);
        state.typing.clear();
        state.statuses.take();
        state.count();
        Ok(())
    }

    /// The server has shown that it is there: it is asked at once.
    pub(super) async fn take_sign_of_life(self: &Arc<Self>) -> Result<()> {
        self.memory.note_life(&self.name);
        let now_ms = self.host.clock().now_ms();
        let (sends, refetches) = {
            let mut state = self.lock().await?;
            let refetches = state.tickets.retry.take_sign_of_life(now_ms);
            let failures = state.failures.as_mut();
            (failures.map(|it| it.next_ms = 0).is_some(), refetches)
        };
        if sends {
            self.send_later();
        }
        if refetches {
            self.refetch_later();
        }
        Ok(())
    }

    /// Rooms in which the server is given events.
    pub(super) async fn list_rooms(&self, limit: u64) -> Result<Vec<OwnedRoomId>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.lock().await?.rooms.keys().take(limit).cloned().collect())
    }

    /// What has waited since a crash, or for a server that did not answer, is sent.
    pub(super) async fn on_alarm(self: &Arc<Self>) -> Result<()> {
        self.send().await;
        self.tell_changes().await;
        self.refetch().await;
        let now_ms = self.host.clock().now_ms();
        let refetch_ms = self.next_refetch_ms().await?;
        let next_ms = {
            let state = self.lock().await?;
            let is_waiting = state.queue.size != Size::default()
                || state.rooms.values().any(|it| it.is_waiting());
            let retry_ms = state.failures.map_or(0, |it| it.next_ms);
            let next = is_waiting.then_some(0).into_iter().chain(refetch_ms).min();
            next.map(|it| it.max(retry_ms).max(now_ms + SEND_GRACE_MS))
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
