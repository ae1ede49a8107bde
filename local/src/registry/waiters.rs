//! Who waits for news of a user.
//!
//! Apart from the objects, so that a user who only waits may be dropped from memory.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use skerry::objects::user::limits;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// How often a client that waits without a place looks.
const LOOK: Duration = Duration::from_millis(limits::WAITING_LOOK_MS);

/// Everyone who waits.
#[derive(Clone, Default)]
pub(super) struct Waiters {
    state: Arc<Mutex<State>>,
    /// Nobody waits any more.
    released: CancellationToken,
}

#[derive(Default)]
struct State {
    users: BTreeMap<OwnedUserId, OfUser>,
    next: u64,
}

/// Those who wait for news of one user.
#[derive(Default)]
struct OfUser {
    /// Counts how often they were woken.
    news: watch::Sender<u64>,
    /// Those who have a place, the one that has waited longest first.
    places: VecDeque<Place>,
}

struct Place {
    number: u64,
    taken: CancellationToken,
}

/// One who waits.
pub(super) struct Listener {
    waiters: Waiters,
    user_id: OwnedUserId,
    number: u64,
    news: watch::Receiver<u64>,
    taken: CancellationToken,
}

impl Waiters {
    /// Hears of everything from now on. None: the server is going down, and nobody waits.
    pub(super) fn listen(&self, user_id: &UserId) -> Option<Listener> {
        if self.released.is_cancelled() {
            return None;
        }
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let taken = CancellationToken::new();
        let of_user = state.users.entry(user_id.to_owned()).or_default();
        if of_user.places.len() >= limits::WAITING
            && let Some(longest) = of_user.places.pop_front()
        {
            longest.taken.cancel();
        }
        of_user.places.push_back(Place { number, taken: taken.clone() });
        let news = of_user.news.subscribe();
        Some(Listener { waiters: self.clone(), user_id: user_id.to_owned(), number, news, taken })
    }

    /// There may be something new for a user's waiters.
    pub(super) fn wake(&self, user_id: &UserId) {
        if let Some(of_user) = self.lock().users.get(user_id) {
            of_user.news.send_modify(|it| *it += 1);
        }
    }

    /// Whether somebody waits for news of a user.
    pub(super) fn has(&self, user_id: &UserId) -> bool {
        self.lock().users.contains_key(user_id)
    }

    /// Lets everyone go, also those who are yet to come.
    pub(super) fn release(&self) {
        self.released.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Returns when there may be something new since the last time; false: the server is going
    /// down. Whoever has lost the place is not woken, and looks now and then: if they came again,
    /// they would take the place of a third one.
    pub(super) async fn woken(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.waiters.released.cancelled() => false,
            () = async { self.taken.cancelled().await; sleep(LOOK).await } => true,
            Ok(()) = self.news.changed(), if !self.taken.is_cancelled() => true,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        let Some(of_user) = state.users.get_mut(&self.user_id) else { return };
        of_user.places.retain(|it| it.number != self.number);
        if of_user.places.is_empty() {
            state.users.remove(&self.user_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use ruma::user_id;

    use super::*;

    fn is_woken(listener: &mut Listener) -> bool {
        listener.woken().now_or_never().unwrap_or(false)
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_takes_that_of_the_longest() {
        let waiters = Waiters::default();
        let (ann, bob) = (user_id!("@ann:x"), user_id!("@bob:x"));
        let mut other = waiters.listen(bob).unwrap();
        let mut listeners: Vec<_> =
            (0..limits::WAITING).map(|_| waiters.listen(ann).unwrap()).collect();
        // One who goes makes room.
        drop(listeners.remove(1));
        listeners.push(waiters.listen(ann).unwrap());
        waiters.wake(ann);
        for listener in &mut listeners {
            assert!(is_woken(listener));
        }
        let mut last = waiters.listen(ann).unwrap();
        waiters.wake(ann);
        waiters.wake(bob);
        assert!(!is_woken(&mut listeners[0]), "somebody else has the place");
        for listener in listeners.iter_mut().skip(1).chain([&mut last, &mut other]) {
            assert!(is_woken(listener));
        }
        drop(listeners);
        assert!(waiters.has(ann));
        drop(last);
        assert!(!waiters.has(ann));
        waiters.release();
        assert!(!other.woken().await);
        assert!(waiters.listen(ann).is_none());
    }
}
