//! Who waits to be told of the next activity, and what the room has told and not yet written down.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use crate::messages::room::Position;

/// Who waits to be told of the next activity.
#[derive(Debug, Default)]
pub(crate) enum Watchers {
    /// Every local member: the room was loaded and does not know better.
    #[default]
    Everyone,
    /// These members have read everything.
    These(BTreeSet<OwnedUserId>),
}

/// What the room has told and not yet written down.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) watchers: Watchers,
    /// Members who have been told of their membership at this position.
    pub(crate) told: Vec<(OwnedUserId, Position)>,
    /// Tellings of activity that are under way.
    pub(crate) telling: usize,
    /// The room was loaded before everybody had been told of its newest event.
    pub(crate) is_behind: bool,
    /// Members who could not be told of activity: the alarm tries again.
    pub(crate) failed: BTreeSet<OwnedUserId>,
    /// When the alarm is due, if one is set.
    pub(crate) alarm_at_ms: Option<u64>,
}

impl Watch {
    /// Who is to be told of what happened just now. They are not told again until they read.
    pub(crate) fn take_watchers(&mut self) -> Watchers {
        std::mem::replace(&mut self.watchers, Watchers::These(BTreeSet::new()))
    }

    /// This member has read everything and wants to be told of what comes.
    pub(crate) fn watch(&mut self, user_id: &UserId) {
        if let Watchers::These(users) = &mut self.watchers
            && !users.contains(user_id)
        {
            users.insert(user_id.to_owned());
        }
    }

    /// Whether this member wants to be told; if so they are taken off the list.
    pub(crate) fn take_watcher(&mut self, user_id: &UserId) -> bool {
        match &mut self.watchers {
            Watchers::Everyone => true,
            Watchers::These(users) => users.remove(user_id),
        }
    }
}
