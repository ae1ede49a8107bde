//! Who is typing. Kept in memory alone: it is forgotten in seconds anyway.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId};

use crate::objects::room::limits;

/// Who is typing in one room, and until when unless they say so again.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    users: BTreeMap<OwnedUserId, u64>,
    /// When the users who type were last others than before.
    changed_ms: u64,
    /// Somebody sees to it that it expires.
    pub(crate) is_timed: bool,
}

impl Typing {
    /// A user types until a time. Whether they did not before.
    pub(crate) fn set(&mut self, user_id: OwnedUserId, until_ms: u64, now_ms: u64) -> bool {
        let is_change = self.users.insert(user_id, until_ms).is_none_or(|it| it <= now_ms);
        self.change(is_change, now_ms)
    }

    /// A user has stopped. Whether they did type.
    pub(crate) fn clear(&mut self, user_id: &UserId, now_ms: u64) -> bool {
        let is_change = self.users.remove(user_id).is_some();
        self.change(is_change, now_ms)
    }

    /// Ends what has expired. Whether anything has.
    pub(crate) fn expire(&mut self, now_ms: u64) -> bool {
        let before = self.users.len();
        self.users.retain(|_, until_ms| *until_ms > now_ms);
        self.change(self.users.len() < before, now_ms)
    }

    fn change(&mut self, is_change: bool, now_ms: u64) -> bool {
        if is_change {
            self.changed_ms = now_ms;
        }
        is_change
    }

    /// When the next of it expires.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.users.values().min().copied()
    }

    /// Who types, for a client: none when it need not be told. One that begins is told of those
    /// who type; another one of a change, for as long as it may not have seen that.
    pub(crate) fn shown(&self, is_new: bool, now_ms: u64) -> Option<Vec<&UserId>> {
        let users = self.users.iter().filter(|(_, until_ms)| **until_ms > now_ms);
        let users: Vec<&UserId> = users.map(|(user_id, _)| &**user_id).collect();
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
        assert_eq!(typing.shown(true, 600), Some(vec![ann]));
        assert_eq!(typing.next_ms(), Some(2_000));
        assert!(!typing.expire(1_999));
        assert!(typing.expire(2_000));
        assert_eq!(typing.shown(false, 2_000), Some(vec![]), "the end is a change too");
        assert_eq!(typing.shown(true, 2_000), None, "who begins need not know");
        assert_eq!(typing.shown(false, 2_000 + limits::TYPING_SHOWN_MS), None);
        assert!(!typing.clear(ann, 3_000));
        assert!(typing.set(owned_user_id!("@ann:x.y"), 5_000, 4_000));
        assert!(typing.set(owned_user_id!("@ann:x.y"), 9_000, 6_000), "it had expired");
    }
}
