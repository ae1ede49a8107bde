//! What a process remembers of valid access tokens, so that a request into a room need not ask
//! the user's object whose token it carries. What changes an account does not go by it.
//!
//! **Invariant:** only what an object has answered is remembered, for a bounded time, and never an
//! answer that may be older than the end of a token of that user: whoever asks takes a [`Ticket`]
//! before, and [`Sessions::forget`] makes older tickets worthless.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedUserId, UserId};

use crate::messages::{Caller, user::Authenticated};

/// Tokens that are remembered of each of the two generations.
const MAX_TOKENS: usize = 5_000;

/// Users whose last end of a token is remembered.
const MAX_FORGOTTEN: usize = 1_000;

/// When a question was asked, in the order of what is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The memory.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// By the hash of the token. What is used moves to the younger generation; when that is full,
    /// the older one goes.
    young: BTreeMap<String, Entry>,
    old: BTreeMap<String, Entry>,
    /// The first ticket that counts, of users of whom something was forgotten.
    forgotten: BTreeMap<OwnedUserId, Ticket>,
    /// The first ticket that counts of any user.
    floor: u64,
    next_ticket: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    caller: Caller,
    ticket: Ticket,
    until_ms: u64,
}

impl Sessions {
    /// Begins a question about a token.
    pub fn begin(&self) -> Ticket {
        Ticket(self.lock().next_ticket)
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
        let entry = Entry { caller: answer.caller.clone(), ticket, until_ms };
        if memory.counts(&entry) {
            memory.insert(access_hash, entry);
        }
    }

    /// Whose token it is, if that is remembered.
    pub fn find(&self, access_hash: &str, now_ms: u64) -> Option<Caller> {
        let mut memory = self.lock();
        let found = memory.young.get(access_hash).or_else(|| memory.old.get(access_hash))?;
        if found.until_ms <= now_ms || !memory.counts(found) {
            memory.young.remove(access_hash);
            memory.old.remove(access_hash);
            return None;
        }
        let caller = found.caller.clone();
        if let Some((access_hash, entry)) = memory.old.remove_entry(access_hash) {
            memory.insert(access_hash, entry);
        }
        Some(caller)
    }

    /// Tokens of the user have ended: nothing counts that was asked before.
    pub fn forget(&self, user_id: &UserId) {
        let mut memory = self.lock();
        memory.next_ticket += 1;
        let ticket = Ticket(memory.next_ticket);
        if memory.forgotten.len() >= MAX_FORGOTTEN && !memory.forgotten.contains_key(user_id) {
            let (next_ticket, floor) = (ticket.0, ticket.0);
            *memory = Memory { floor, next_ticket, ..Memory::default() };
            return;
        }
        memory.forgotten.insert(user_id.to_owned(), ticket);
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn counts(&self, entry: &Entry) -> bool {
        let forgotten = self.forgotten.get(&entry.caller.user_id);
        entry.ticket.0 >= self.floor && forgotten.is_none_or(|it| entry.ticket >= *it)
    }

    fn insert(&mut self, access_hash: String, entry: Entry) {
        if self.young.len() >= MAX_TOKENS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(access_hash, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(user_id: &str, expires_at_ms: Option<u64>) -> Authenticated {
        let user_id = user_id.try_into().unwrap();
        Authenticated { caller: Caller { user_id, device_id: "D".into() }, expires_at_ms }
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
    fn the_memory_is_bounded() {
        let sessions = Sessions::default();
        for number in 0..4 * MAX_TOKENS {
            remember(&sessions, &number.to_string(), "@a:x");
            // What is in use stays.
            assert!(is_known(&sessions, "0", 1), "{number}");
        }
        assert!(!is_known(&sessions, "1", 1));
        let count = |memory: &Memory| memory.young.len() + memory.old.len();
        assert!(count(&sessions.lock()) <= 2 * MAX_TOKENS);
        let asked_before = sessions.begin();
        for number in 0..=MAX_FORGOTTEN {
            sessions.forget(format!("@u{number}:x").as_str().try_into().unwrap());
        }
        assert!(sessions.lock().forgotten.len() <= MAX_FORGOTTEN);
        assert!(!is_known(&sessions, "0", 1), "with all that is forgotten, all is");
        sessions.insert(asked_before, "late".to_owned(), &answer("@u1:x", None), 1, 100);
        assert!(!is_known(&sessions, "late", 1));
    }
}
