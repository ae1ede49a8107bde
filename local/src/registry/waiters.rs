//! Who waits for news of a user.
//!
//! Apart from the objects, so that a user who only waits may be dropped from memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedUserId, UserId};
use tokio::sync::watch;

/// Everyone who waits.
#[derive(Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The last position each user's waiters were told of.
    positions: BTreeMap<OwnedUserId, watch::Sender<u64>>,
    /// Nobody waits any more.
    released: bool,
}

/// One who waits.
pub(super) struct Listener {
    waiters: Waiters,
    user_id: OwnedUserId,
    news: watch::Receiver<u64>,
}

impl Waiters {
    /// Hears of everything from now on.
    pub(super) fn listen(&self, user_id: &UserId) -> Listener {
        let mut state = self.lock();
        let released = if state.released { u64::MAX } else { 0 };
        let news = state
            .positions
            .entry(user_id.to_owned())
            .or_insert_with(|| watch::Sender::new(released))
            .subscribe();
        Listener { waiters: self.clone(), user_id: user_id.to_owned(), news }
    }

    /// Tells a user's waiters how far the stream has come.
    pub(super) fn wake(&self, user_id: &UserId, position: u64) {
        if let Some(sender) = self.lock().positions.get(user_id) {
            sender.send_if_modified(|it| {
                let is_news = *it < position;
                *it = position.max(*it);
                is_news
            });
        }
    }

    /// Lets everyone go, also those who are yet to come.
    pub(super) fn release(&self) {
        let mut state = self.lock();
        state.released = true;
        for sender in state.positions.values() {
            sender.send_replace(u64::MAX);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Returns when the stream has passed this position.
    pub(super) async fn passed(&mut self, position: u64) {
        // It fails only when nobody is left to tell the news.
        let _ = self.news.wait_for(|it| *it > position).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        // This listener is still counted.
        if state.positions.get(&self.user_id).is_some_and(|it| it.receiver_count() <= 1) {
            state.positions.remove(&self.user_id);
        }
    }
}
