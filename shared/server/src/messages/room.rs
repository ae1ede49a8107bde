//! What may be asked of a `Room` object.

mod receive;
mod sync;

use std::collections::BTreeMap;

use ruma::{
    OwnedDeviceId, OwnedEventId, OwnedMxcUri, OwnedRoomAliasId, OwnedTransactionId, OwnedUserId,
    RoomId, RoomVersionId,
    api::client::filter::RoomEventFilter,
    events::{receipt::ReceiptThread, room::member::MembershipState},
};
use serde::{Deserialize, Serialize};

pub use self::{
    receive::{GivenState, Join, Kind, Outcome, Receive, Received, ServerKey, Stage},
    sync::{RoomSync, SyncRoom, UnreadCount},
};
use super::{Caller, RawJson, Recipient, asks};

/// A position in a room's stream: grows by one with every event, receipt and typing change.
pub type Position = u64;

/// Rooms, as those see them who ask them.
#[derive(Debug)]
pub struct ToRoom;

impl Recipient for ToRoom {
    type Id = RoomId;
    type Command = Command;
    type Reply = Reply;
}

asks! { ToRoom:
    Create => (), once;
    Send => OwnedEventId, repeatable;
    Redact => OwnedEventId, repeatable;
    Receive => Vec<Received>, repeatable;
    Stage => Vec<Received>, once;
    Join => Received, once;
    ChangeMembership => (), once;
    Forget => (), repeatable;
    UpdateProfile => (), repeatable;
    SetReceipt => (), repeatable;
    SetTyping => (), repeatable;
    GetEvent => RawJson, repeatable;
    GetState => Vec<RawJson>, repeatable;
    GetStateEvent => RawJson, repeatable;
    GetMembers => Vec<RawJson>, repeatable;
    GetJoinedMembers => BTreeMap<OwnedUserId, RoomProfile>, repeatable;
    GetMessages => Box<Page>, repeatable;
    GetContext => Box<Context>, repeatable;
    SyncRoom => Box<RoomSync>, repeatable;
    GetPublicInfo => Box<PublicInfo>, repeatable;
    CheckMay => (), repeatable;
}

/// Close the room to a user who has left it and wants to see nothing more of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Forget {
    /// The user.
    pub user_id: OwnedUserId,
}

/// Write a user's new profile into their membership here, if they are joined.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpdateProfile {
    /// The user.
    pub user_id: OwnedUserId,
    /// The name they go by.
    pub displayname: Option<String>,
    /// Their picture.
    pub avatar_url: Option<OwnedMxcUri>,
}

/// Set or clear that a user is typing.
#[derive(Debug, Serialize, Deserialize)]
pub struct SetTyping {
    /// The user.
    pub user_id: OwnedUserId,
    /// For how many milliseconds; none: they stopped.
    pub typing_for_ms: Option<u64>,
}

/// One event.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetEvent {
    /// Who asks.
    pub caller: Caller,
    /// Which event.
    pub event_id: OwnedEventId,
}

/// The whole current state (or the state when the asker left).
#[derive(Debug, Serialize, Deserialize)]
pub struct GetState {
    /// Who asks.
    pub caller: Caller,
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

/// What the room directory and summaries show; no access is checked.
#[derive(Debug, Serialize, Deserialize)]
pub struct GetPublicInfo {}

/// Whether the user may do this: used by endpoints that write outside the room (aliases,
/// directory). Refused with `M_FORBIDDEN` when not.
#[derive(Debug, Serialize, Deserialize)]
pub struct CheckMay {
    /// The user.
    pub user_id: OwnedUserId,
    /// What they want to do.
    pub action: Action,
}

/// Things outside the room's own events that the room's power levels decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Change the room's entry in the directory: power to send `m.room.canonical_alias`.
    ChangeDirectory,
    /// Remove somebody else's alias: power to send `m.room.canonical_alias`.
    RemoveAlias,
    /// See the room's aliases: joined, or the room is world-readable.
    ReadAliases,
    /// Be a joined member.
    BeJoined,
}

/// Begin the room. Refused when it exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct Create {
    /// The creator.
    pub creator: Caller,
    /// The version of the room.
    pub room_version: RoomVersionId,
    /// The signed `m.room.create` event: in room version 12 its hash names the room.
    pub create_event: RawJson,
    /// Every further event in order: type, state key, content. The creator's join is among them.
    pub state: Vec<NewState>,
    /// Users to invite after that, with the `is_direct` flag and their profile.
    pub invites: Vec<(OwnedUserId, RawJson)>,
}

/// A state event yet to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewState {
    /// Event type.
    pub event_type: String,
    /// State key.
    pub state_key: String,
    /// Content.
    pub content: RawJson,
}

/// Send a message or state event; the answer names it (or the one that had been sent by the
/// same transaction).
#[derive(Debug, Serialize, Deserialize)]
pub struct Send {
    /// The sender.
    pub caller: Caller,
    /// Event type.
    pub event_type: String,
    /// State key of a state event.
    pub state_key: Option<String>,
    /// Content: a JSON object.
    pub content: RawJson,
    /// Makes a repeated request from the same device give the same event.
    pub transaction_id: Option<OwnedTransactionId>,
    /// `origin_server_ts` wished for by an application service.
    pub timestamp_ms: Option<u64>,
}

/// Redact an event; the answer names the redaction.
#[derive(Debug, Serialize, Deserialize)]
pub struct Redact {
    /// The sender of the redaction.
    pub caller: Caller,
    /// The event to redact.
    pub event_id: OwnedEventId,
    /// Why.
    pub reason: Option<String>,
    /// As in [`Send`].
    pub transaction_id: OwnedTransactionId,
}

/// What a user wants done to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipAction {
    /// Join (own membership).
    Join,
    /// Leave, or reject an invitation, or retract a knock (own membership).
    Leave,
    /// Invite `target`.
    Invite,
    /// Remove `target`.
    Kick,
    /// Ban `target`.
    Ban,
    /// Lift the ban of `target`.
    Unban,
    /// Knock (own membership).
    Knock,
}

/// Change a membership.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangeMembership {
    /// Who acts.
    pub caller: Caller,
    /// Whose membership changes.
    pub target: OwnedUserId,
    /// How.
    pub action: MembershipAction,
    /// Why.
    pub reason: Option<String>,
    /// The target's display name, where it is known here.
    pub displayname: Option<String>,
    /// The target's avatar, where it is known here.
    pub avatar_url: Option<OwnedMxcUri>,
    /// Whether an invitation is meant as a direct chat.
    pub is_direct: bool,
}

/// A receipt's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// `m.read`, seen by all.
    Read,
    /// `m.read.private`, seen by its user alone.
    ReadPrivate,
}

/// Set a receipt.
#[derive(Debug, Serialize, Deserialize)]
pub struct SetReceipt {
    /// Whose receipt.
    pub user_id: OwnedUserId,
    /// Public or private.
    pub kind: ReceiptKind,
    /// The last event read.
    pub event_id: OwnedEventId,
    /// The thread. Unthreaded is said by leaving it out: ruma reads no other form of it.
    #[serde(default, skip_serializing_if = "ruma::serde::is_default")]
    pub thread: ReceiptThread,
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
    pub caller: Caller,
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
}

/// The answer to [`GetPublicInfo`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicInfo {
    /// `m.room.name`.
    pub name: Option<String>,
    /// `m.room.topic`.
    pub topic: Option<String>,
    /// `m.room.avatar`.
    pub avatar_url: Option<String>,
    /// `m.room.canonical_alias`.
    pub canonical_alias: Option<OwnedRoomAliasId>,
    /// Joined members.
    pub joined_members: u64,
    /// Join rule.
    pub join_rule: String,
    /// Whether everybody may read.
    pub world_readable: bool,
    /// Whether guests may join.
    pub guest_can_join: bool,
    /// `type` of the create event.
    pub room_type: Option<String>,
    /// The room's version.
    pub room_version: String,
    /// `algorithm` of `m.room.encryption`.
    pub encryption: Option<String>,
    /// The room's position that all this is true at.
    pub position: Position,
}

/// Which device sent an event under which transaction ID, known to that device alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SentBy {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The transaction.
    pub transaction_id: OwnedTransactionId,
}

#[cfg(test)]
mod tests {
    use ruma::{owned_event_id, owned_user_id};
    use serde_json::{Value as JsonValue, json};

    use super::*;
    use crate::messages::Ask as _;

    #[test]
    fn a_receipt_survives_the_wire_in_every_thread() {
        let threads = [
            (ReceiptThread::Unthreaded, json!(null)),
            (ReceiptThread::Main, json!("main")),
            (ReceiptThread::Thread(owned_event_id!("$root")), json!("$root")),
        ];
        for (thread, on_the_wire) in threads {
            let question = SetReceipt {
                user_id: owned_user_id!("@a:b"),
                kind: ReceiptKind::Read,
                event_id: owned_event_id!("$event"),
                thread: thread.clone(),
            };
            let command = question.into_command();
            let wire = serde_json::to_value(&command).unwrap();
            let sent = wire.pointer("/set_receipt/thread").unwrap_or(&JsonValue::Null);
            assert_eq!(*sent, on_the_wire);
            match serde_json::from_value(wire).unwrap() {
                Command::SetReceipt(it) => assert_eq!(it.thread, thread),
                other => panic!("{other:?}"),
            }
        }
    }
}
