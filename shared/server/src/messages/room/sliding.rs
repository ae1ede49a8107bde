//! What a room contributes to an answer of sliding sync.

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use skerry_core::{push_rules::CountingRules, sliding_sync::RequiredState};

use super::{DeviceChanges, Position, RoomFacts, UnreadCount};
use crate::messages::{Caller, RawJson};

/// One room's part of an answer of sliding sync.
#[expect(clippy::struct_excessive_bools, reason = "independent wishes of a client")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlideRoom {
    /// Who asks.
    pub caller: Caller,
    /// Whether the room itself is wanted; else only whose devices have changed.
    pub wants_room: bool,
    /// Up to where the client was given the room; none: it is new to the client.
    pub from: Option<Position>,
    /// How many of the newest events are wanted.
    pub timeline_limit: u64,
    /// The newest events are given anew, those among them that were given.
    pub expands: bool,
    /// State that is wanted, as far as it has changed.
    pub required_state: RequiredState,
    /// State that is wanted and was not before.
    pub added_state: RequiredState,
    /// Events of a room that is new to the client have just occurred when they were stored after
    /// this instant; none: the client begins.
    pub live_after_us: Option<u64>,
    /// Receipts are wanted.
    pub receipts: bool,
    /// Receipts after this; none: of the timeline's events, and the user's own.
    pub receipts_from: Option<Position>,
    /// Who types is wanted.
    pub typing: bool,
    /// The client is to know whose devices have changed.
    pub devices: bool,
    /// Since then; none: it has not known the room.
    pub devices_from: Option<Position>,
    /// Users whose events are not shown to the caller, but for state, in order.
    pub ignored_users: Vec<OwnedUserId>,
    /// The rules by which events count for the caller in this room; none: the server-default ones.
    #[serde(default)]
    pub push_rules: Option<CountingRules>,
}

/// The answer to [`SlideRoom`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RoomSlide {
    /// Up to where the room has been read with this answer.
    pub to: Position,
    /// The user is joined.
    pub is_joined: bool,
    /// Timeline, oldest first.
    pub timeline: Vec<RawJson>,
    /// There are more events before the timeline that the client was not given.
    pub limited: bool,
    /// Where to page backward from.
    pub prev_batch: Position,
    /// How many events of the timeline have just occurred.
    pub num_live: u64,
    /// State after the timeline.
    pub required_state: Vec<RawJson>,
    /// Name and avatar, sent when one of them changed.
    pub shown: Option<ShownRoom>,
    /// Members by whom to name the room, sent when the memberships changed and it has no name.
    pub heroes: Option<Vec<Hero>>,
    /// Joined and invited members, sent when that changed.
    pub counts: Option<(u64, u64)>,
    /// Unread events.
    pub unread: UnreadCount,
    /// `m.receipt`.
    pub receipts: Option<RawJson>,
    /// `m.typing`.
    pub typing: Option<RawJson>,
    /// Of whom keys are to be asked for anew.
    pub devices: DeviceChanges,
    /// When people were last active in it: an instant.
    pub bump_us: u64,
    /// What lists look at.
    pub facts: RoomFacts,
    /// KiB of history that was searched, without what is in the timeline.
    pub searched_kib: u32,
    /// When the newest event of the caller's own in the timeline was sent, in milliseconds since
    /// the Unix epoch.
    pub active_ms: Option<u64>,
}

/// What a room shows of itself.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ShownRoom {
    /// `m.room.name`.
    pub name: Option<String>,
    /// `m.room.avatar`.
    pub avatar: Option<String>,
}

/// A member by whom a room may be named.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hero {
    /// Who.
    pub user_id: OwnedUserId,
    /// Their display name in the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub displayname: Option<String>,
    /// Their avatar in the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// What lists look at. Whoever asks is told of what comes next, as who reads the room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetFacts {
    /// A member.
    pub user_id: OwnedUserId,
}
