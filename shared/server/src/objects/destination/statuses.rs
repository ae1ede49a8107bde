//! Who is there: of local users what the server is told, and of its users what it tells. Both in
//! memory alone, and gathered for a while.
//!
//! What the server says of its users is told on to those who read the rooms that it shares: those
//! in which it is given something, and those whose members it was told of.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use lru::LruCache;
use ruma::{OwnedRoomId, OwnedUserId};
use skerry_core::{
    gather::Gather as _,
    presence::{MAX_STATUSES, Status},
};

use super::Destination;
use crate::{
    Result,
    messages::destination::StatusActivity,
    objects::statuses::{self, TIMES},
};

/// How long statuses are gathered, in milliseconds.
const WINDOW_MS: u64 = 1_000;

/// Rooms that are remembered as shared because members of them were told of.
const ROOMS: NonZeroUsize = NonZeroUsize::new(statuses::ROOMS).unwrap();

/// Users of the server of whom it is remembered what was told.
const HEARD: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// What is in memory of who is there.
#[derive(Debug)]
pub(super) struct Statuses {
    /// What the server is to be told.
    to_send: BTreeMap<OwnedUserId, Status>,
    is_sending: bool,
    rooms: LruCache<OwnedRoomId, ()>,
    /// What was heard of its users.
    heard: LruCache<OwnedUserId, Status>,
    /// What is to be told of them.
    to_tell: BTreeMap<OwnedUserId, Status>,
    is_telling: bool,
}

impl Default for Statuses {
    fn default() -> Self {
        Self {
            to_send: BTreeMap::new(),
            is_sending: false,
            rooms: LruCache::sparse(ROOMS),
            heard: LruCache::sparse(HEARD),
            to_tell: BTreeMap::new(),
            is_telling: false,
        }
    }
}

impl Statuses {
    /// What the server is to be told now.
    pub(super) fn take(&mut self) -> BTreeMap<OwnedUserId, Status> {
        std::mem::take(&mut self.to_send)
    }

    /// How much is kept.
    pub(super) fn len(&self) -> usize {
        self.to_send.len() + self.rooms.len() + self.heard.len() + self.to_tell.len()
    }

    /// The server shares these rooms. Who comes into one is to learn of those who are there.
    fn share(&mut self, rooms: Vec<OwnedRoomId>, now_ms: u64) {
        let mut has_new = false;
        for room_id in rooms.into_iter().take(statuses::ROOMS) {
            has_new |= self.rooms.put(room_id, ()).is_none();
        }
        if has_new {
            let there = self.heard.iter().map(|(_, it)| it);
            let there: Vec<_> = there.filter(|it| it.is_believed(now_ms, TIMES)).collect();
            there.into_iter().cloned().for_each(|it| put(&mut self.to_tell, it));
        }
    }

    /// A user of the server has a status. It is to be told, unless it was not long ago.
    fn hear(&mut self, status: Status) {
        let is_known = self.heard.get(&status.user_id).is_some_and(|it| {
            it.says_as(&status) && status.at_ms < it.at_ms.saturating_add(TIMES.refresh / 2)
        });
        if !is_known {
            self.heard.put(status.user_id.clone(), status.clone());
            put(&mut self.to_tell, status);
        }
    }
}

/// Keeps the newest of a user.
fn put(statuses: &mut BTreeMap<OwnedUserId, Status>, status: Status) {
    let known = statuses.get(&status.user_id);
    let is_wanted = match known {
        Some(known) => known.at_ms <= status.at_ms,
        None => statuses.len() < MAX_STATUSES,
    };
    if is_wanted {
        statuses.insert(status.user_id.clone(), status);
    }
}

impl Destination {
    /// Local users have these statuses. A server that does not answer is told nothing of it.
    pub(super) async fn take_statuses(self: &Arc<Self>, it: StatusActivity) -> Result<()> {
        let now_ms = self.host.clock().now_ms();
        {
            let mut state = self.lock().await?;
            state.statuses.share(it.rooms, now_ms);
            if !state.is_left_alone(now_ms) {
                it.statuses.into_iter().for_each(|it| put(&mut state.statuses.to_send, it));
            }
            state.count();
            self.tell_heard_later(&mut state.statuses);
            if state.statuses.is_sending || state.statuses.to_send.is_empty() {
                return Ok(());
            }
            state.statuses.is_sending = true;
        }
        let destination = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            destination.host.sleep(Duration::from_millis(WINDOW_MS)).await;
            if let Ok(mut state) = destination.lock().await {
                state.statuses.is_sending = false;
            }
            destination.send().await;
        }));
        Ok(())
    }

    /// The server says that its users have these statuses.
    pub(super) async fn receive_statuses(self: &Arc<Self>, statuses: Vec<Status>) -> Result<()> {
        let mut state = self.lock().await?;
        statuses.into_iter().take(MAX_STATUSES).for_each(|it| state.statuses.hear(it));
        state.count();
        self.tell_heard_later(&mut state.statuses);
        Ok(())
    }

    /// Tells what is to be told of the server's users, after the reply.
    fn tell_heard_later(self: &Arc<Self>, statuses: &mut Statuses) {
        if statuses.is_telling || statuses.to_tell.is_empty() {
            return;
        }
        statuses.is_telling = true;
        let destination = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            if let Err(error) = destination.tell_heard().await {
                tracing::debug!(%error, server = %destination.name, "nobody was told who is there");
            }
        }));
    }

    async fn tell_heard(&self) -> Result<()> {
        loop {
            self.host.sleep(Duration::from_millis(WINDOW_MS)).await;
            let (rooms, told) = {
                let mut state = self.lock().await?;
                let told = std::mem::take(&mut state.statuses.to_tell);
                state.statuses.is_telling = !told.is_empty();
                let remembered = state.statuses.rooms.iter().map(|(room_id, ())| room_id);
                let rooms: BTreeSet<_> = remembered.chain(state.rooms.keys()).cloned().gather();
                (rooms, told)
            };
            if told.is_empty() {
                return Ok(());
            }
            let rooms = rooms.into_iter().take(statuses::ROOMS).collect();
            let told = told.into_values().collect();
            statuses::tell(self.host.objects(), rooms, told, false).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_room_id, owned_user_id, presence::PresenceState};

    use super::*;

    #[test]
    fn the_same_is_not_told_again_at_once() {
        let status = |presence: PresenceState, at_ms| {
            let user_id = owned_user_id!("@ann:x.y");
            Status { user_id, presence, status_msg: None, active_ms: None, at_ms }
        };
        let mut statuses = Statuses::default();
        let mut is_told = |presence: PresenceState, at_ms| {
            statuses.hear(status(presence, at_ms));
            !std::mem::take(&mut statuses.to_tell).is_empty()
        };
        let later_ms = 1_000 + TIMES.refresh / 2;
        assert!(is_told(PresenceState::Online, 1_000));
        assert!(!is_told(PresenceState::Online, later_ms - 1));
        assert!(is_told(PresenceState::Online, later_ms), "else it would not be believed for long");
        assert!(is_told(PresenceState::Offline, later_ms + 1));
        assert!(is_told(PresenceState::Online, later_ms + 2));
    }

    #[test]
    fn in_a_room_that_is_new_it_is_told_who_is_there() {
        let status = |presence: PresenceState| {
            let user_id = owned_user_id!("@ann:x.y");
            Status { user_id, presence, status_msg: None, active_ms: None, at_ms: 1_000 }
        };
        let mut statuses = Statuses::default();
        statuses.hear(status(PresenceState::Online));
        statuses.to_tell.clear();
        let rooms = || vec![owned_room_id!("!a:x.y")];
        statuses.share(rooms(), 2_000);
        assert_eq!(statuses.to_tell.len(), 1);
        statuses.to_tell.clear();
        statuses.share(rooms(), 2_000);
        assert!(statuses.to_tell.is_empty(), "it is not new any more");
    }
}
