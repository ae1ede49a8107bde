//! What a room contributes to a `/sync` response.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedUserId, api::client::filter::RoomEventFilter};
use serde::{Deserialize, Serialize};
use skerry_core::presence::Status;

use super::{DeviceChanges, Position};
use crate::messages::{Caller, RawJson};

/// One room's part of a `/sync` response.
#[expect(clippy::struct_excessive_bools, reason = "independent wishes of a client")]
#[derive(Debug, Serialize, Deserialize)]
pub struct SyncRoom {
    /// Who asks.
    pub caller: Caller,
    /// What of the room was seen already; none: the room is new to this client.
    pub from: Option<Position>,
    /// Send the whole state, whatever was seen already.
    pub full_state: bool,
    /// `state_after` is wanted instead of `state`.
    pub state_after: bool,
    /// Filter of the timeline; `limit` in it is the client's.
    pub timeline: RoomEventFilter,
    /// Filter of state events, with the lazy-loading options.
    pub state: RoomEventFilter,
    /// Filter of ephemeral events.
    pub ephemeral: RoomEventFilter,
    /// Members whose `m.room.member` event this client has already (lazy loading).
    pub known_members: Vec<OwnedUserId>,
    /// The caller's own receipts count events by thread.
    pub thread_counts: bool,
    /// Users whose events are not shown to the caller, but for state (`m.ignored_user_list`), in
    /// order.
    pub ignored_users: Vec<OwnedUserId>,
    /// Events are wanted as they go over federation (`event_format` of the filter).
    #[serde(default)]
    pub federation_format: bool,
    /// The statuses of members are wanted, whether they are new or not.
    #[serde(default)]
    pub statuses: bool,
    /// Whether the client is to know whose devices have changed.
    #[serde(default)]
    pub wants_devices: bool,
}

/// The answer to [`SyncRoom`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RoomSync {
    /// What of the room has been seen with this answer.
    pub to: Position,
    /// Timeline, oldest first.
    pub timeline: Vec<RawJson>,
    /// Events between `from` and the timeline were left out.
    pub limited: bool,
    /// Where to page backward from.
    pub prev_batch: Position,
    /// State before the timeline, or after it when so asked.
    pub state: Vec<RawJson>,
    /// Receipts and typing.
    pub ephemeral: Vec<RawJson>,
    /// Users whose membership event is in `state` or `timeline` (lazy loading).
    pub members_sent: Vec<OwnedUserId>,
    /// `m.heroes`, sent when the memberships changed.
    pub heroes: Option<Vec<OwnedUserId>>,
    /// Joined members, sent when it changed.
    pub joined_member_count: Option<u64>,
    /// Invited members, sent when it changed.
    pub invited_member_count: Option<u64>,
    /// Unread events outside threads (or in all, when counts by thread were not asked for).
    pub unread: UnreadCount,
    /// Unread events by thread root.
    pub unread_threads: BTreeMap<OwnedEventId, UnreadCount>,
    /// KiB of history that was searched, without what is in the timeline.
    pub searched_kib: u32,
    /// Members who are there, where that was wanted.
    #[serde(default)]
    pub statuses: Vec<Status>,
    /// When the newest event of the caller's own in the timeline was sent, by the clock of whoever
    /// sent it, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub active_ms: Option<u64>,
    /// Of whom keys are to be asked for anew.
    #[serde(default)]
    pub devices: DeviceChanges,
}

/// Unread counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadCount {
    /// Events that notify.
    pub notifications: u64,
    /// Events that highlight.
    pub highlights: u64,
}
