//! What may be asked of a `Room` object.

mod create;
mod directory;
mod ephemeral;
mod membership;
mod read;
mod receive;
mod send;
mod sync;

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedMxcUri, OwnedUserId, events::room::member::MembershipState};
use serde::{Deserialize, Serialize};

pub use self::{
    create::{Create, NewState},
    directory::{Action, PublicInfo},
    ephemeral::{ReceiptKind, SetReceipt},
    membership::{ChangeMembership, MembershipAction},
    read::{Context, Direction, GetContext, GetMessages, Page, RoomProfile},
    receive::{GivenState, Join, Kind, Outcome, Receive, Received, ServerKey, Stage},
    send::{Redact, Send, SentBy},
    sync::{RoomSync, SyncRoom, UnreadCount},
};
use super::{Caller, RawJson};

/// A position in a room's stream: grows by one with every event, receipt and typing change.
pub type Position = u64;

/// What may be asked of one room. The wire form between Worker and Durable Object.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Begin the room. Refused when it exists.
    Create(Box<Create>),
    /// Send a message or state event.
    Send(Box<Send>),
    /// Redact an event.
    Redact(Redact),
    /// Take in events of other servers.
    Receive(Box<Receive>),
    /// Take in a part of the state of a room that is being joined.
    Stage(Box<Stage>),
    /// Begin the room here with what has been staged, and join it.
    Join(Box<Join>),
    /// Change a membership.
    ChangeMembership(Box<ChangeMembership>),
    /// Close the room to a user who has left it and wants to see nothing more of it.
    Forget { user_id: OwnedUserId },
    /// Write a user's new profile into their membership here, if they are joined.
    UpdateProfile {
        user_id: OwnedUserId,
        displayname: Option<String>,
        avatar_url: Option<OwnedMxcUri>,
    },
    /// Set a receipt.
    SetReceipt(SetReceipt),
    /// Set or clear that a user is typing.
    SetTyping { user_id: OwnedUserId, typing_for_ms: Option<u64> },
    /// One event.
    GetEvent { caller: Caller, event_id: OwnedEventId },
    /// The whole current state (or the state when the asker left).
    GetState { caller: Caller },
    /// One state event.
    GetStateEvent { caller: Caller, event_type: String, state_key: String },
    /// Membership events.
    GetMembers {
        caller: Caller,
        at: Option<Position>,
        membership: Option<MembershipState>,
        not_membership: Option<MembershipState>,
    },
    /// Joined members and their profiles.
    GetJoinedMembers { caller: Caller },
    /// A page of history.
    GetMessages(Box<GetMessages>),
    /// Events around an event.
    GetContext(Box<GetContext>),
    /// One room's part of a `/sync` response.
    Sync(Box<SyncRoom>),
    /// What the room directory and summaries show; no access is checked.
    GetPublicInfo,
    /// Whether the user may do this: used by endpoints that write outside the room (aliases,
    /// directory). Refused with `M_FORBIDDEN` when not.
    CheckMay { user_id: OwnedUserId, action: Action },
}

/// What a room answers.
#[expect(missing_docs, reason = "the variants say what their fields are")]
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// The event that was sent (or had been sent by the same transaction).
    EventId { event_id: OwnedEventId },
    /// What became of received events, in the order they came.
    Received { events: Vec<Received> },
    /// One event.
    Event { event: RawJson },
    /// Events.
    Events { events: Vec<RawJson> },
    /// Joined members: display name and avatar.
    JoinedMembers { joined: BTreeMap<OwnedUserId, RoomProfile> },
    /// A page of history.
    Page(Box<Page>),
    /// Events around an event.
    Context(Box<Context>),
    /// A room's part of a `/sync` response.
    Sync(Box<RoomSync>),
    /// What a directory shows.
    PublicInfo(Box<PublicInfo>),
}
