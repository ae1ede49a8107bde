//! Telling members of receipts and typing: those who have read everything, many pieces of news as
//! one, without a row and without an answer. What is lost comes with the next event.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::join, stream};
use ruma::{OwnedUserId, UserId};
use skerry_core::delivery::WEAK_WINDOW_MS;

use crate::{
    messages::{room::Position, user::EphemeralActivity},
    objects::room::{Room, limits, loaded::deliveries::EphemeralNews},
    store::room::readers::Reader,
};

impl Room {
    /// Tells members, after the reply: at once, or at the end of the window that is open.
    pub(crate) fn announce(self: &Arc<Self>, news: EphemeralNews) {
        {
            let mut window = self.ephemeral_window();
            if window.is_open {
                window.pending = Some(match window.pending.take() {
                    Some(pending) => pending.and(&news),
                    None => news,
                });
                return;
            }
            window.is_open = true;
        }
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move { room.announce_by_window(news).await }));
    }

    async fn announce_by_window(self: &Arc<Self>, first: EphemeralNews) {
        let mut next = Some(first);
        while let Some(news) = next {
            self.announce_now(&news).await;
            self.host.sleep(Duration::from_millis(limits::EPHEMERAL_WINDOW_MS)).await;
            let mut window = self.ephemeral_window();
            next = window.pending.take();
            window.is_open = next.is_some();
        }
    }

    async fn announce_now(self: &Arc<Self>, news: &EphemeralNews) {
        join(self.tell_members(news), self.tell_servers_of_typing(&news.typing)).await;
    }

    async fn tell_members(&self, news: &EphemeralNews) {
        let is_user = |it: &Reader| matches!(it, Reader::User(_));
        let now_ms = self.now_ms();
        let readers = self.deliveries().activity.advance_weak(now_ms, WEAK_WINDOW_MS, is_user);
        let readers = readers.into_iter().filter_map(|it| match it {
            Reader::User(user_id) => Some(user_id),
            Reader::Server(_) => None,
        });
        let readers = readers.filter(|it| !news.own.contains(it));
        let tell = |reader: OwnedUserId| async move {
            self.tell_of_ephemeral(&reader, news.receipt, false).await;
        };
        stream::iter(readers).for_each_concurrent(limits::DELIVERIES_AT_ONCE, tell).await;
    }

    /// Tells a user of their own receipt, after the reply: their other devices count by it.
    pub(crate) fn announce_own_receipt(self: &Arc<Self>, user_id: OwnedUserId, at: Position) {
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            room.tell_of_ephemeral(&user_id, Some(at), true).await;
        }));
    }

    async fn tell_of_ephemeral(&self, user_id: &UserId, receipt: Option<Position>, is_own: bool) {
        let activity = EphemeralActivity { room_id: self.id.clone(), receipt, is_own };
        if let Err(error) = self.host.objects().ask(user_id, activity).await {
            tracing::debug!(%error, %user_id, "a member did not hear of receipts or typing");
        }
    }
}
