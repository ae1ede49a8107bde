//! Who is typing. Kept in memory alone: it is forgotten in seconds anyway.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId};

use crate::objects::room::limits;

/// Who is typing in one room, and until when unless they say so again.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    users: BTreeMap<OwnedUserId, Typist>,
    /// When the users who type were last others than before.
    changed_ms: u64,
    /// Somebody sees to it that it expires.
    pub(crate) is_timed: bool,
}

/// A user who types.
#[derive(Clone, Copy, Debug)]
struct Typist {
    until_ms: u64,
    /// When other servers were last told.
    told_ms: u64,
}

impl Typing {
    /// A user types until a time. Whether they did not before.
    pub(crate) fn set(&mut self, user_id: OwnedUserId, until_ms: u64, now_ms: u64) -> bool {
        let known = self.users.get(&user_id).copied().filter(|it| it.until_ms > now_ms);
        if known.is_none() && self.users.len() >= limits::TYPING_USERS {
            return false;
        }
        let told_ms = known.map_or(now_ms, |it| it.told_ms);
        self.users.insert(user_id, Typist { until_ms, told_ms });
        self.change(known.is_none(), now_ms)
    }

    /// Whether other servers are to be told once more that a user types, who goes on for so long
    /// that they would believe it had ended.
    pub(crate) fn is_to_be_repeated(&mut self, user_id: &UserId, now_ms: u64) -> bool {
        let Some(typist) = self.users.get_mut(user_id) else { return false };
        let is_due = typist.told_ms + limits::TYPING_REPEATED_MS <= now_ms;
        if is_due {
            typist.told_ms = now_ms;
        }
        is_due
    }

    /// A user has stopped. Whether they did type.
    pub(crate) fn clear(&mut self, user_id: &UserId, now_ms: u64) -> bool {
        let is_change = self.users.remove(user_id).is_some();
        self.change(is_change, now_ms)
    }

    /// Ends what has expired. Of whom.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<OwnedUserId> {
        let ended = self.users.extract_if(.., |_, typist| typist.until_ms <= now_ms);
        let ended: Vec<_> = ended.map(|(user_id, _)| user_id).collect();
        self.change(!ended.is_empty(), now_ms);
        ended
    }

    fn change(&mut self, is_change: bool, now_ms: u64) -> bool {
        if is_change {
            self.changed_ms = now_ms;
        }
        is_change
    }

    /// When the next of it expires.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.users.values().map(|it| it.until_ms).min()
    }

    /// Who types, for a client: none when it need not be told. One that begins is told of those
    /// who type; another one of a change, for as long as it may not have seen that.
    pub(crate) fn shown(&self, is_new: bool, now_ms: u64) -> Option<Vec<OwnedUserId>> {
        let users = self.users.iter().filter(|(_, it)| it.until_ms > now_ms);
        let users: Vec<_> = users.map(|(user_id, _)| user_id.clone()).collect();
        let is_recent = now_ms < self.changed_ms.saturating_add(limits::TYPING_SHOWN_MS);
        (!users.is_empty() || (!is_new && is_recent)).then_some(users)
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_user_id, user_id};

    use super::*;

    #[test]
    fn who_types_and_until_when() {
        let ann = user_id!("@ann:x.y");
        let mut typing = Typing::default();
        assert!(typing.set(owned_user_id!("@ann:x.y"), 1_000, 100));
        assert!(!typing.set(owned_user_id!("@ann:x.y"), 2_000, 500), "she goes on");
        assert_eq!(typing.shown(true, 600), Some(vec![ann.to_owned()]));
        assert_eq!(typing.next_ms(), Some(2_000));
        assert!(typing.expire(1_999).is_empty());
        assert_eq!(typing.expire(2_000), [ann]);
        assert_eq!(typing.shown(false, 2_000), Some(vec![]), "the end is a change too");
        assert_eq!(typing.shown(true, 2_000), None, "who begins need not know");
        assert_eq!(typing.shown(false, 2_000 + limits::TYPING_SHOWN_MS), None);
        assert!(!typing.clear(ann, 3_000));
        assert!(typing.set(owned_user_id!("@ann:x.y"), 5_000, 4_000));
        assert!(typing.set(owned_user_id!("@ann:x.y"), 9_000, 6_000), "it had expired");
    }
    #[test]
    fn other_servers_are_told_again_while_somebody_goes_on() {
        let (ann, bob) = (user_id!("@ann:x.y"), user_id!("@bob:x.y"));
        let mut typing = Typing::default();
        typing.set(ann.to_owned(), 90_000, 0);
        let later_ms = limits::TYPING_REPEATED_MS;
        assert!(!typing.is_to_be_repeated(ann, later_ms - 1));
        assert!(typing.is_to_be_repeated(ann, later_ms));
        assert!(!typing.set(ann.to_owned(), 99_000, later_ms + 1));
        assert!(!typing.is_to_be_repeated(ann, later_ms + 1), "they have just been told");
        assert!(!typing.is_to_be_repeated(bob, later_ms), "he does not type");
    }

    #[test]
    fn no_more_users_type_than_clients_can_be_told_of() {
        let mut typing = Typing::default();
        for it in 0..limits::TYPING_USERS {
            assert!(typing.set(format!("@{it}:x.y").try_into().unwrap(), 1_000, 0));
        }
        assert!(!typing.set(owned_user_id!("@ann:x.y"), 1_000, 0));
        assert_eq!(typing.shown(true, 0).map(|it| it.len()), Some(limits::TYPING_USERS));
        typing.clear(user_id!("@1:x.y"), 0);
        assert!(typing.set(owned_user_id!("@ann:x.y"), 1_000, 0));
    }
}
