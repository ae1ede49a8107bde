//! What a room is asked for the list of a user's notifications.

use ruma::{OwnedUserId, push::Action};
use serde::{Deserialize, Serialize};
use skerry_core::push_rules::{CountingRules, as_text};

use crate::messages::{Caller, RawJson};

/// What notifies the caller in the room, back from an instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListNotifications {
    /// Who asks.
    pub caller: Caller,
    /// Whose events do not notify, in order.
    pub ignored_users: Vec<OwnedUserId>,
    /// By which rules, with their actions; none: by the server-default ones.
    pub push_rules: Option<CountingRules>,
    /// What was stored before this instant; none: from the newest event on.
    pub before_us: Option<u64>,
    /// How many are wanted.
    pub limit: u64,
    /// Only what is highlighted.
    pub highlights_only: bool,
}

/// The answer to [`ListNotifications`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Notifications {
    /// The newest first.
    pub notifications: Vec<Notification>,
    /// The instant back to which the room has looked; none: to the beginning.
    pub looked_back_to_us: Option<u64>,
    /// KiB of history that was searched.
    pub searched_kib: u32,
}

/// An event that notifies.
#[derive(Debug, Serialize, Deserialize)]
pub struct Notification {
    /// The event, as clients get it.
    pub event: RawJson,
    /// What the user's rules say of it.
    #[serde(with = "as_text")]
    pub actions: Vec<Action>,
    /// Whether the user has read it.
    pub is_read: bool,
    /// When it was stored.
    pub stored_us: u64,
}
