//! Which members are there, for those who come: in memory alone, the newest of them.

use std::collections::BTreeSet;

use lru::LruCache;
use ruma::{OwnedServerName, OwnedUserId, presence::PresenceState};
use skerry_core::presence::Status;

use crate::objects::{held::Held, room::limits, statuses::TIMES};

/// Bytes of a status in memory, about.
const STATUS_BYTES: usize = 400;

/// The statuses of members who are there.
#[derive(Debug)]
pub(crate) struct MemberStatuses {
    by_user: LruCache<OwnedUserId, Status>,
    held: Held,
    /// Other servers that have come since and are still to be told.
    pub(crate) came: BTreeSet<OwnedServerName>,
}

impl Default for MemberStatuses {
    fn default() -> Self {
        Self {
            by_user: LruCache::sparse(limits::STATUSES),
            held: Held::of(&limits::ROOMS),
            came: BTreeSet::new(),
        }
    }
}

impl MemberStatuses {
    /// A member has this status.
    pub(crate) fn note(&mut self, status: &Status) {
        let known = self.by_user.get(&status.user_id);
        if known.is_some_and(|it| it.at_ms > status.at_ms) {
            return;
        }
        match status.presence {
            PresenceState::Offline => _ = self.by_user.pop(&status.user_id),
            _ => _ = self.by_user.put(status.user_id.clone(), status.clone()),
        }
        self.held.set(self.by_user.len() * STATUS_BYTES);
    }

    /// The statuses that are believed still.
    pub(crate) fn list(&self, now_ms: u64) -> Vec<Status> {
        let believed = self.by_user.iter().map(|(_, it)| it);
        believed.filter(|it| it.is_believed(now_ms, TIMES)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    #[test]
    fn who_is_there_is_remembered_for_a_while() {
        let status = |presence: PresenceState, at_ms| {
            let user_id = owned_user_id!("@ann:x.y");
            Status { user_id, presence, status_msg: None, active_ms: None, at_ms }
        };
        let mut statuses = MemberStatuses::default();
        statuses.note(&status(PresenceState::Online, 1_000));
        statuses.note(&status(PresenceState::Offline, 999));
        assert_eq!(statuses.list(1_000).len(), 1, "an older one is not believed");
        assert!(statuses.list(1_000 + TIMES.stale).is_empty());
        statuses.note(&status(PresenceState::Offline, 1_001));
        assert!(statuses.list(1_001).is_empty());
    }
}
