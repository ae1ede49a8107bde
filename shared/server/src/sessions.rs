//! What a process remembers of valid access tokens, so that a request into a room need not ask
//! the user's object whose token it carries. What changes an account does not go by it.
//!
//! **Invariant:** only what an object has answered is remembered, for a bounded time, and never an
//! answer that may be older than the end of a token of that user: whoever asks takes a [`Ticket`]
//! before, and [`Sessions::forget`] makes older tickets worthless.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use ruma::{OwnedUserId, UserId};

use crate::messages::{Caller, user::Authenticated};

/// Tokens that are remembered: those that were used last.
const MAX_TOKENS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Users of whom it is remembered that they ignore nobody: those who asked last.
const MAX_TOLERANT: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Users of whom it is remembered when a token of theirs has ended: those where that was last.
const MAX_FORGOTTEN: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// When a question was asked, in the order of what is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The memory.
#[derive(Debug)]
pub struct Sessions(Mutex<Memory>);

#[derive(Debug)]
struct Memory {
    /// By the hash of the token.
    tokens: LruCache<String, Entry>,
    /// Users who ignore nobody.
    tolerant: LruCache<OwnedUserId, Entry>,
    /// The first ticket that counts, of users of whom something was forgotten. In the order of the
    /// tickets: nothing that only looks changes it.
    forgotten: LruCache<OwnedUserId, Ticket>,
    /// The first ticket that counts of any user.
    floor: Ticket,
    newest: Ticket,
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The user on the device.
    pub caller: Caller,
    /// Whether they administer the server.
    pub is_admin: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    known: Known,
    ticket: Ticket,
    until_ms: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self(Mutex::new(Memory {
            tokens: LruCache::sparse(MAX_TOKENS),
            tolerant: LruCache::sparse(MAX_TOLERANT),
            forgotten: LruCache::sparse(MAX_FORGOTTEN),
            floor: Ticket(0),
            newest: Ticket(0),
        }))
    }
}

impl Sessions {
    /// Begins a question about a token.
    pub fn begin(&self) -> Ticket {
        self.lock().newest
    }

    /// Remembers the answer for at most `at_most_ms`, and not beyond the token's own time.
    pub fn insert(
        &self,
        ticket: Ticket,
        access_hash: String,
        answer: &Authenticated,
        now_ms: u64,
        at_most_ms: u64,
    ) {
        let mut memory = self.lock();
        let until_ms = now_ms.saturating_add(at_most_ms);
        let until_ms = answer.expires_at_ms.map_or(until_ms, |it| it.min(until_ms));
        let known = Known { caller: answer.caller.clone(), is_admin: answer.is_admin };
        let entry = Entry { known, ticket, until_ms };
        if !memory.counts(&entry) {
            return;
        }
        let user_id = &answer.caller.user_id;
        match answer.ignores_users {
            true => _ = memory.tolerant.pop(user_id),
            false => _ = memory.tolerant.put(user_id.clone(), entry.clone()),
        }
        memory.tokens.put(access_hash, entry);
    }

    /// Whether it is remembered that a user ignores nobody.
    pub fn ignores_nobody(&self, user_id: &UserId, now_ms: u64) -> bool {
        let mut memory = self.lock();
        let found = memory.tolerant.get(user_id).cloned();
        found.is_some_and(|it| it.until_ms > now_ms && memory.counts(&it))
    }

    /// Whose token it is, if that is remembered.
    pub fn find(&self, access_hash: &str, now_ms: u64) -> Option<Known> {
        let mut memory = self.lock();
        let found = memory.tokens.get(access_hash)?.clone();
        if found.until_ms <= now_ms || !memory.counts(&found) {
            memory.tokens.pop(access_hash);
            return None;
        }
        Some(found.known)
    }

    /// Tokens of the user have ended, or they ignore others: nothing counts that was asked before.
    pub fn forget(&self, user_id: &UserId) {
        let mut memory = self.lock();
        memory.newest.0 += 1;
        let ticket = memory.newest;
        if let Some((gone, ticket)) = memory.forgotten.push(user_id.to_owned(), ticket)
            && gone != user_id
        {
            // What was asked before that may be of a token that has ended.
            memory.floor = ticket;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn counts(&self, entry: &Entry) -> bool {
        let forgotten = self.forgotten.peek(&entry.known.caller.user_id);
        entry.ticket >= self.floor && forgotten.is_none_or(|it| entry.ticket >= *it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(user_id: &str, expires_at_ms: Option<u64>) -> Authenticated {
        let user_id = user_id.try_into().unwrap();
        let caller = Caller { user_id, device_id: "D".into() };
        Authenticated { caller, expires_at_ms, ignores_users: false, is_admin: false }
    }

    fn is_known(sessions: &Sessions, token: &str, now_ms: u64) -> bool {
        sessions.find(token, now_ms).is_some()
    }

    fn remember(sessions: &Sessions, token: &str, user_id: &str) {
        let ticket = sessions.begin();
        sessions.insert(ticket, token.to_owned(), &answer(user_id, None), 0, 100);
    }

    #[test]
    fn what_is_remembered_ends_with_its_time_and_with_the_token() {
        let sessions = Sessions::default();
        let ticket = sessions.begin();
        sessions.insert(ticket, "for ever".to_owned(), &answer("@a:x", None), 10, 100);
        sessions.insert(ticket, "short".to_owned(), &answer("@a:x", Some(50)), 10, 100);
        let cases = [("for ever", 109, true), ("for ever", 110, false)];
        let short = [("short", 49, true), ("short", 50, false), ("other", 0, false)];
        for (token, now_ms, expected) in cases.into_iter().chain(short) {
            assert_eq!(is_known(&sessions, token, now_ms), expected, "{token} at {now_ms}");
        }
    }

    #[test]
    fn an_answer_that_is_older_than_the_end_of_a_token_is_not_remembered() {
        let sessions = Sessions::default();
        remember(&sessions, "a", "@a:x");
        remember(&sessions, "b", "@b:x");
        let asked_before = sessions.begin();
        sessions.forget("@a:x".try_into().unwrap());
        assert!(!is_known(&sessions, "a", 1) && is_known(&sessions, "b", 1));
        sessions.insert(asked_before, "a".to_owned(), &answer("@a:x", None), 1, 100);
        assert!(!is_known(&sessions, "a", 1));
        remember(&sessions, "a", "@a:x");
        assert!(is_known(&sessions, "a", 1));
    }

    #[test]
    fn who_ignores_nobody_is_remembered_until_that_changes() {
        let sessions = Sessions::default();
        let user_id: &UserId = "@a:x".try_into().unwrap();
        assert!(!sessions.ignores_nobody(user_id, 0), "nobody has said so");
        remember(&sessions, "a", "@a:x");
        assert!(sessions.ignores_nobody(user_id, 99));
        assert!(!sessions.ignores_nobody(user_id, 100), "its time is up");
        sessions.forget(user_id);
        assert!(!sessions.ignores_nobody(user_id, 1));
        remember(&sessions, "a", "@a:x");
        let ignoring = Authenticated { ignores_users: true, ..answer("@a:x", None) };
        sessions.insert(sessions.begin(), "b".to_owned(), &ignoring, 0, 100);
        assert!(!sessions.ignores_nobody(user_id, 1));
    }

    #[test]
    fn what_was_used_last_is_remembered() {
        let sessions = Sessions::default();
        let tokens = MAX_TOKENS.get() + 1;
        for number in 0..tokens {
            remember(&sessions, &number.to_string(), "@a:x");
            assert!(is_known(&sessions, "0", 1), "{number}: it is in use");
        }
        assert!(!is_known(&sessions, "1", 1));
        assert!(is_known(&sessions, "2", 1));
        assert_eq!(sessions.lock().tokens.len(), MAX_TOKENS.get());
    }

    #[test]
    fn an_end_of_a_token_that_is_no_longer_remembered_counts_for_all() {
        let sessions = Sessions::default();
        let forget = |number| {
            sessions.forget(format!("@u{number}:x").as_str().try_into().unwrap());
        };
        let asked_before = sessions.begin();
        remember(&sessions, "old", "@b:x");
        forget(0);
        remember(&sessions, "young", "@b:x");
        for number in 1..MAX_FORGOTTEN.get() {
            forget(number);
            forget(number);
        }
        assert!(is_known(&sessions, "old", 1), "all are remembered");
        forget(MAX_FORGOTTEN.get());
        assert!(!is_known(&sessions, "old", 1));
        assert!(is_known(&sessions, "young", 1), "it was asked about after the first end");
        assert_eq!(sessions.lock().forgotten.len(), MAX_FORGOTTEN.get());
        sessions.insert(asked_before, "late".to_owned(), &answer("@u0:x", None), 1, 100);
        assert!(!is_known(&sessions, "late", 1));
    }
}
