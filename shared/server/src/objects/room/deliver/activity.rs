//! Telling members of activity.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt as _, stream};
use ruma::OwnedUserId;

use crate::{
    Result,
    messages::{room::Position, user},
    objects::room::{Room, limits, loaded::watch::Watchers},
    store::room::members,
};

impl Room {
    /// Tells those who wait of activity up to `head`, after the reply.
    pub(crate) fn tell_activity_later(self: &Arc<Self>, watchers: Watchers, head: Position) {
        if matches!(&watchers, Watchers::These(users) if users.is_empty()) {
            return;
        }
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move { room.tell_activity(watchers, head).await }));
    }

    /// The room was loaded before everybody had been told of its newest event, at `head`: tells
    /// all local members, after the reply, or the alarm does.
    pub(crate) fn catch_up_later(self: &Arc<Self>, head: Position) {
        self.watch().is_behind = true;
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move { room.catch_up(head).await }));
    }

    pub(crate) async fn catch_up(self: &Arc<Self>, head: Position) {
        if std::mem::take(&mut self.watch().is_behind) {
            self.tell_activity(Watchers::Everyone, head).await;
        }
    }

    pub(crate) async fn tell_activity(self: &Arc<Self>, watchers: Watchers, head: Position) {
        self.watch().telling += 1;
        let users = match watchers {
            Watchers::These(users) => users,
            Watchers::Everyone => self.local_members().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "a room's members could not be read");
                self.watch().is_behind = true;
                BTreeSet::new()
            }),
        };
        let tell = |user_id: OwnedUserId| async move {
            let activity = user::RoomActivity { room_id: self.id.clone(), position: head };
            if let Err(error) = self.host.objects().ask(&*user_id, activity).await {
                tracing::warn!(%error, %user_id, "a user could not be told of activity");
                self.watch().failed.insert(user_id);
            }
        };
        stream::iter(users).for_each_concurrent(limits::TOLD_AT_ONCE, tell).await;
        self.watch().telling -= 1;
    }

    async fn local_members(self: &Arc<Self>) -> Result<BTreeSet<OwnedUserId>> {
        let ending = format!(":{}", self.server.name);
        let local = members::list_joined_local(self.sql(), self.scope(), &ending).await?;
        Ok(local.into_iter().collect())
    }
}
