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
    /// Counts how often each user's waiters were woken.
    users: BTreeMap<OwnedUserId, watch::Sender<u64>>,
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
    /// Hears of everything from now on. None: the server is going down, and nobody waits.
    pub(super) fn listen(&self, user_id: &UserId) -> Option<Listener> {
        let mut state = self.lock();
        if state.released {
            return None;
        }
        let sender = state.users.entry(user_id.to_owned()).or_insert_with(|| watch::Sender::new(0));
        let news = sender.subscribe();
        Some(Listener { waiters: self.clone(), user_id: user_id.to_owned(), news })
    }

    /// There may be something new for a user's waiters.
    pub(super) fn wake(&self, user_id: &UserId) {
        if let Some(sender) = self.lock().users.get(user_id) {
            sender.send_modify(|it| *it += 1);
        }
    }

    /// Whether somebody waits for news of a user.
    pub(super) fn has(&self, user_id: &UserId) -> bool {
        self.lock().users.contains_key(user_id)
    }

    /// Lets everyone go, also those who are yet to come.
    pub(super) fn release(&self) {
        let mut state = self.lock();
        state.released = true;
        state.users.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Returns when there may be something new since the last time; false: the server is going
    /// down.
    pub(super) async fn woken(&mut self) -> bool {
        self.news.changed().await.is_ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        // This listener is still counted.
        if state.users.get(&self.user_id).is_some_and(|it| it.receiver_count() <= 1) {
            state.users.remove(&self.user_id);
        }
    }
}
