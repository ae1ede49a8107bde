//! Whether the user is there, and what they know of others who share rooms with them.
//!
//! What their clients say is kept in memory, and stored when another status is told: the object may
//! leave memory while a client waits. A status is told by [`statuses`]; an alarm looks whether the
//! user has gone. Of others the newest status is kept in memory alone: what is lost with it comes
//! when it changes, or with rooms that are read.

use std::sync::Arc;

use lru::LruCache;
use ruma::{DeviceId, OwnedRoomId, OwnedUserId, UserId, presence::PresenceState};
use skerry_core::presence::{Own, Status, Times};

use super::{Due, State, User, limits};
use crate::{
    Result,
    messages::user::{AskedAs, SetPresence},
    objects::{agenda::AgendaPlan, held::Held, statuses},
    server::Presence,
    store::user::{presence, rooms},
};

/// Bytes of a status in memory, about.
const STATUS_BYTES: usize = 400;

/// What is in memory of the user's own status.
#[derive(Debug, Default)]
pub(super) struct OwnPresence {
    /// None: it was not read.
    own: Option<Own>,
    /// It was read from the store, and no client has asked since.
    is_unconfirmed: bool,
}

/// The newest statuses of users who share a room with this one, their own among them.
#[derive(Debug)]
pub(super) struct Statuses {
    /// With the version of the memory of which they are.
    by_user: LruCache<OwnedUserId, (u64, Status)>,
    held: Held,
}

impl Default for Statuses {
    fn default() -> Self {
        Self { by_user: LruCache::sparse(limits::STATUSES), held: Held::of(&limits::USERS) }
    }
}

impl Statuses {
    /// A user has this status. Whether that is news; then it is of this version.
    fn note(&mut self, status: Status, version: u64) -> bool {
        let known = self.by_user.get(&status.user_id);
        if known.is_some_and(|(_, it)| it.at_ms > status.at_ms) {
            return false;
        }
        let same = known.filter(|(_, it)| it.says_as(&status)).map(|(version, _)| *version);
        let is_news = same.is_none();
        let entry = (same.unwrap_or(version), status);
        self.by_user.put(entry.1.user_id.clone(), entry);
        self.held.set(self.by_user.len() * STATUS_BYTES);
        is_news
    }

    /// What was told too long ago is not believed any more. Whether there was such a status; then
    /// its end is of this version.
    fn lapse(&mut self, now_ms: u64, version: u64) -> bool {
        let mut is_news = false;
        for (_, (of, status)) in &mut self.by_user {
            if status.presence != PresenceState::Offline
                && !status.is_believed(now_ms, statuses::TIMES)
            {
                status.presence = PresenceState::Offline;
                *of = version;
                is_news = true;
            }
        }
        is_news
    }

    /// Those of later versions.
    fn since(&self, given: u64) -> Vec<Status> {
        let newer = self.by_user.iter().filter(|(_, (version, _))| *version > given);
        newer.map(|(_, (_, status))| status.clone()).collect()
    }
}

impl State {
    fn note_status(&mut self, status: Status) -> bool {
        let version = self.ephemeral.newest().version + 1;
        let is_news = self.statuses.note(status, version);
        if is_news {
            self.ephemeral.advance();
        }
        is_news
    }

    /// What is new for a client that was given statuses up to a version of this memory.
    pub(super) fn statuses_since(&mut self, given: u64, now_ms: u64) -> Vec<Status> {
        if self.statuses.lapse(now_ms, self.ephemeral.newest().version + 1) {
            self.ephemeral.advance();
        }
        self.statuses.since(given)
    }
}

impl User {
    /// A client sets the status.
    pub(super) async fn set_presence(self: &Arc<Self>, it: SetPresence) -> Result<()> {
        let SetPresence { device_id, presence, status_msg } = it;
        let mut state = self.lock_in_use().await?;
        let set = |own: &mut Own, now| own.set(&device_id, presence, status_msg, now);
        self.change_presence(&mut state, set).await
    }

    /// A client asks for what is new.
    pub(super) async fn presence_of_asking(
        self: &Arc<Self>,
        state: &mut State,
        device_id: &DeviceId,
        it: AskedAs,
    ) -> Result<()> {
        let asked = |own: &mut Own, now| own.asked(device_id, it.presence, it.wait_ms, now);
        self.change_presence(state, asked).await?;
        state.presence.is_unconfirmed = false;
        Ok(())
    }

    /// The user has done something in a room.
    pub(super) async fn presence_of_acting(
        self: &Arc<Self>,
        state: &mut State,
        at_ms: u64,
    ) -> Result<()> {
        self.change_presence(state, |own, (now_ms, _)| own.acted(at_ms, now_ms)).await
    }

    /// The alarm has come. Who waits while the object has left memory is there still.
    pub(super) async fn look_at_presence(self: &Arc<Self>) -> Result<()> {
        let mut state = self.lock().await?;
        self.own_presence(&mut state).await?;
        let is_there = state.presence.is_unconfirmed && self.host.is_waited_for();
        let stay = |own: &mut Own, (now_ms, times)| {
            if is_there {
                own.stays(now_ms, times);
            }
        };
        self.change_presence(&mut state, stay).await
    }

    async fn own_presence(&self, state: &mut State) -> Result<Own> {
        if let Some(own) = &state.presence.own {
            return Ok(own.clone());
        }
        let own = presence::find(self.sql(), self.scope()).await?.unwrap_or_default();
        state.presence = OwnPresence { own: Some(own.clone()), is_unconfirmed: true };
        Ok(own)
    }

    /// Changes what is known of the user, and tells their status if it is another one.
    async fn change_presence(
        self: &Arc<Self>,
        state: &mut State,
        change: impl FnOnce(&mut Own, (u64, Times)) + Send,
    ) -> Result<()> {
        let (now_ms, times) = (self.host.clock().now_ms(), statuses::TIMES);
        let mut own = self.own_presence(state).await?;
        change(&mut own, (now_ms, times));
        let is_told = own.tell(now_ms, times);
        let mut agenda = AgendaPlan::default();
        let set_ms = state.agenda.at_ms(Due::Presence);
        match own.due_ms(now_ms, times) {
            Some(due_ms) if set_ms.is_none_or(|it| it <= now_ms || due_ms < it) => {
                agenda.set(Due::Presence, due_ms.max(now_ms + 1));
            }
            None if set_ms.is_some() => agenda.clear(Due::Presence),
            _ => {}
        }
        let stored = is_told.then(|| presence::upsert(self.scope(), &own)).transpose()?;
        self.write(state, stored.into_iter().collect(), agenda).await?;
        let status = own.status(self.id.clone(), now_ms);
        state.presence.own = Some(own);
        if is_told {
            if state.note_status(status.clone()) {
                self.host.wake();
            }
            self.tell_status_later(status, None);
        }
        Ok(())
    }

    /// The user has joined a room, in which nobody knows yet whether they are there.
    pub(super) fn presence_in(self: &Arc<Self>, state: &State, room_id: OwnedRoomId) {
        let now_ms = self.host.clock().now_ms();
        let status = state.presence.own.as_ref().map(|it| it.status(self.id.clone(), now_ms));
        if let Some(status) = status.filter(|it| it.presence != PresenceState::Offline) {
            self.tell_status_later(status, Some(room_id));
        }
    }

    /// The account was closed: its row is gone.
    pub(super) fn presence_is_over(self: &Arc<Self>, state: &mut State) {
        let now_ms = self.host.clock().now_ms();
        let own = state.presence.own.replace(Own::default());
        if own.is_some_and(|it| it.shown(now_ms) != PresenceState::Offline) {
            self.tell_status_later(Own::default().status(self.id.clone(), now_ms), None);
        }
    }

    /// Tells a status, after the reply: in one room, or in all.
    fn tell_status_later(self: &Arc<Self>, status: Status, room_id: Option<OwnedRoomId>) {
        let user = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            if let Err(error) = user.tell_status(status, room_id).await {
                tracing::debug!(%error, user_id = %user.id, "a status was not told");
            }
        }));
    }

    async fn tell_status(&self, status: Status, room_id: Option<OwnedRoomId>) -> Result<()> {
        let presence = self.host.server().await?.config.presence;
        if presence == Presence::Off {
            return Ok(());
        }
        let limit = statuses::ROOMS as u64;
        let rooms = match room_id {
            Some(room_id) => vec![room_id],
            None => rooms::list_joined_latest(self.sql(), self.scope(), limit).await?,
        };
        let to_servers = presence == Presence::On;
        statuses::tell(self.host.objects(), rooms, vec![status], to_servers).await;
        Ok(())
    }

    /// Others have these statuses.
    pub(super) async fn note_statuses(&self, statuses: Vec<Status>) -> Result<()> {
        let mut state = self.lock().await?;
        let mut is_news = false;
        for status in statuses {
            is_news |= state.note_status(status);
        }
        if is_news {
            self.host.wake();
        }
        Ok(())
    }

    /// The user's own status, or that of another one as far as they were told.
    pub(super) async fn get_status(&self, user_id: &UserId) -> Result<Option<Status>> {
        let mut state = self.lock().await?;
        let now_ms = self.host.clock().now_ms();
        if *user_id == self.id {
            let account = self.account(&mut state).await?;
            if account.active().is_none() {
                return Ok(None);
            }
            let own = self.own_presence(&mut state).await?;
            return Ok(Some(own.status(user_id.to_owned(), now_ms)));
        }
        let known = state.statuses.by_user.peek(user_id).map(|(_, status)| status.clone());
        Ok(known.map(|mut status| {
            if !status.is_believed(now_ms, statuses::TIMES) {
                status.presence = PresenceState::Offline;
            }
            status
        }))
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    fn status(presence: PresenceState, at_ms: u64) -> Status {
        let user_id = owned_user_id!("@ann:x.y");
        Status { user_id, presence, status_msg: None, active_ms: None, at_ms }
    }

    #[test]
    fn the_newest_status_counts_and_is_given_once() {
        let mut statuses = Statuses::default();
        let online = status(PresenceState::Online, 1_000);
        assert!(statuses.note(online.clone(), 1));
        assert!(!statuses.note(status(PresenceState::Offline, 999), 2), "it is older");
        assert!(!statuses.note(status(PresenceState::Online, 1_500), 2), "it says the same");
        assert_eq!(statuses.since(0), [status(PresenceState::Online, 1_500)]);
        assert!(statuses.since(1).is_empty());
        assert!(statuses.note(status(PresenceState::Unavailable, 2_000), 2));
        assert_eq!(statuses.since(1).len(), 1);
    }

    #[test]
    fn what_is_not_told_again_lapses() {
        let mut statuses = Statuses::default();
        statuses.note(status(PresenceState::Online, 0), 1);
        statuses.note(status(PresenceState::Online, 1_000), 2);
        let lapses_ms = 1_000 + statuses::TIMES.stale;
        assert!(!statuses.lapse(lapses_ms - 1, 2));
        assert!(statuses.lapse(lapses_ms, 2));
        assert!(!statuses.lapse(lapses_ms, 3), "once");
        assert_eq!(statuses.since(1), [status(PresenceState::Offline, 1_000)]);
    }

    #[test]
    fn the_users_of_whom_was_told_last_are_kept() {
        let mut statuses = Statuses::default();
        for it in 0..limits::STATUSES.get() + 5 {
            let user_id = format!("@{it}:x.y").try_into().unwrap();
            statuses.note(Status { user_id, ..status(PresenceState::Online, 1) }, 1);
        }
        assert_eq!(statuses.since(0).len(), limits::STATUSES.get());
    }
}
