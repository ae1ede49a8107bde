//! Reading history and members. What other servers may read too says who asks by a [`Requester`];
//! what clients alone read, by a [`Caller`].

use ruma::{
    OwnedEventId, OwnedServerName, OwnedUserId, api::client::filter::RoomEventFilter,
    events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};

use super::Position;
use crate::messages::{Caller, RawJson, Requester};

/// One event.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetEvent {
    /// Who asks.
    pub requester: Requester,
    /// Which event.
    pub event_id: OwnedEventId,
    /// Users whose events are not shown, but for state (`m.ignored_user_list`), in order.
    #[serde(default)]
    pub ignored_users: Vec<OwnedUserId>,
}

/// The whole current state (or the state when the requester left).
#[derive(Debug, Serialize, Deserialize)]
pub struct GetState {
    /// Who asks.
    pub requester: Requester,
}

/// One state event.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetStateEvent {
    /// Who asks.
    pub caller: Caller,
    /// Its type.
    pub event_type: String,
    /// Its state key.
    pub state_key: String,
}

/// Membership events.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetMembers {
    /// Who asks.
    pub caller: Caller,
    /// As they were at this position; none: as they are.
    pub at: Option<Position>,
    /// Of this membership alone.
    pub membership: Option<MembershipState>,
    /// Of all others.
    pub not_membership: Option<MembershipState>,
}

/// Joined members and their profiles.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetJoinedMembers {
    /// Who asks.
    pub caller: Caller,
}

/// Which way a page of history goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From newer to older.
    Backward,
    /// From older to newer.
    Forward,
}

/// A page of history.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetMessages {
    /// Who asks.
    pub requester: Requester,
    /// Where to begin: events after this position (forward), or at and before it (backward).
    /// None: the end of the room (backward) or its beginning (forward).
    pub from: Option<Position>,
    /// Where to end, as a position of the same meaning.
    pub to: Option<Position>,
    /// Which way.
    pub direction: Direction,
    /// At most so many events.
    pub limit: u64,
    /// Which events.
    pub filter: RoomEventFilter,
    /// Users whose events are not shown, but for state (`m.ignored_user_list`), in order.
    #[serde(default)]
    pub ignored_users: Vec<OwnedUserId>,
}

/// Where the room was at an instant, for what is asked of it next. Whoever asks is not told:
/// nobody is looked at.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetPositionBefore {
    /// The instant, in microseconds since the Unix epoch.
    pub instant_us: u64,
}

/// Events around an event.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetContext {
    /// Who asks.
    pub caller: Caller,
    /// The event in the middle.
    pub event_id: OwnedEventId,
    /// At most so many events around it, in all.
    pub limit: u64,
    /// Which events.
    pub filter: RoomEventFilter,
    /// Users whose events are not shown, but for state (`m.ignored_user_list`), in order.
    #[serde(default)]
    pub ignored_users: Vec<OwnedUserId>,
}

/// The event that is nearest to a time.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetEventNear {
    /// Who asks.
    pub requester: Requester,
    /// The time, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The first event at or after it (forward), or the last one at or before it (backward).
    pub direction: Direction,
    /// Users whose events are not shown, but for state (`m.ignored_user_list`), in order.
    pub ignored_users: Vec<OwnedUserId>,
}

/// A member's profile as the room has it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RoomProfile {
    /// Display name.
    pub displayname: Option<String>,
    /// Avatar.
    pub avatar_url: Option<String>,
}

/// The answer to [`GetMessages`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    /// Where the page begins.
    pub start: Position,
    /// Where to go on, if there may be more.
    pub end: Option<Position>,
    /// The events, in the direction asked.
    pub chunk: Vec<RawJson>,
    /// State that belongs to the events (lazy-loaded members).
    pub state: Vec<RawJson>,
    /// KiB of history that was searched, without what is on the page.
    pub searched_kib: u32,
}

/// The answer to [`GetEventNear`].
#[derive(Debug, Serialize, Deserialize)]
pub struct EventNear {
    /// The event, and when it was sent. None: there is no such event here.
    pub event: Option<(OwnedEventId, u64)>,
    /// Servers that may know a nearer one, because history is missing here; those first that are
    /// likeliest to.
    pub elsewhere: Vec<OwnedServerName>,
    /// KiB of history that was searched.
    pub searched_kib: u32,
}

/// The answer to [`GetContext`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Context {
    /// Where to page backward from.
    pub start: Position,
    /// Where to page forward from.
    pub end: Position,
    /// The event.
    pub event: RawJson,
    /// Older events, newest first.
    pub events_before: Vec<RawJson>,
    /// Newer events, oldest first.
    pub events_after: Vec<RawJson>,
    /// State at the last event.
    pub state: Vec<RawJson>,
    /// KiB of history that was searched, without what is shown.
    pub searched_kib: u32,
}
