//! What may be asked of a `Room` object.

mod create;
mod devices;
mod directory;
mod ephemeral;
mod federation;
mod membership;
mod read;
mod receive;
mod repair;
mod send;
mod sync;

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedServerName, OwnedUserId, RoomId};

pub use self::{
    create::{Create, NewState},
    devices::{ChangeDevices, DeviceChanges, GetDeviceChanges, WhoShares},
    directory::{
        Action, CheckMay, GetPublicInfo, ListServers, PublicInfo, SetListed, Summarize, Summary,
        Viewer, WasCreatedWith,
    },
    ephemeral::{
        Audience, HasServer, NewReceipt, NoteStatuses, ReceiptKind, ReceiveEdus, SetReceipts,
        SetTyping,
    },
    federation::{
        Departures, GetAncestors, GetAuthChain, GetOutgoing, GetPdu, GetStateBefore, GetStateIds,
        GetStatePdus, MakeMembership, Outgoing, SendMembership, Sent, StateBefore, Template,
    },
    membership::{
        ChangeMembership, Exchange, Forget, Invitation, InviteKey, IsJoined, MakeExchange,
        MakeInvite, MembershipAction, UpdateProfile,
    },
    read::{
        Context, Direction, EventNear, GetContext, GetEvent, GetEventNear, GetJoinedMembers,
        GetMembers, GetMessages, GetPositionBefore, GetState, GetStateEvent, Page, RoomProfile,
    },
    receive::{Expect, GivenState, Join, Kind, Outcome, Receive, Received, Stage},
    repair::{Change, Difference, RefetchState, Refetched},
    send::{Redact, Send, SentBy},
    sync::{RoomSync, SyncRoom, UnreadCount},
};
use super::{RawJson, Recipient, asks};

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
    Expect => (), repeatable;
    Stage => Vec<Received>, repeatable;
    Join => Received, repeatable;
    RefetchState => Box<Refetched>, repeatable;
    ChangeMembership => (), once;
    MakeInvite => Box<Invitation>, repeatable;
    MakeExchange => Box<Exchange>, repeatable;
    IsJoined => Option<bool>, repeatable;
    MakeMembership => Box<Template>, repeatable;
    SendMembership => Box<Sent>, repeatable;
    Forget => (), repeatable;
    UpdateProfile => (), repeatable;
    SetReceipts => (), repeatable;
    SetTyping => (), repeatable;
    ReceiveEdus => (), repeatable;
    NoteStatuses => Audience, repeatable;
    HasServer => bool, repeatable;
    GetEvent => RawJson, repeatable;
    GetState => Vec<RawJson>, repeatable;
    GetStateEvent => RawJson, repeatable;
    GetMembers => Vec<RawJson>, repeatable;
    GetJoinedMembers => BTreeMap<OwnedUserId, RoomProfile>, repeatable;
    GetMessages => Box<Page>, repeatable;
    GetContext => Box<Context>, repeatable;
    GetEventNear => Box<EventNear>, repeatable;
    GetPositionBefore => Position, repeatable;
    GetOutgoing => Box<Outgoing>, repeatable;
    GetPdu => RawJson, repeatable;
    GetAncestors => Vec<RawJson>, repeatable;
    GetStateBefore => Box<StateBefore>, repeatable;
    GetAuthChain => Vec<u64>, repeatable;
    GetStateIds => Vec<OwnedEventId>, repeatable;
    GetStatePdus => Vec<RawJson>, repeatable;
    SyncRoom => Box<RoomSync>, repeatable;
    GetPublicInfo => Box<PublicInfo>, repeatable;
    Summarize => Box<Summary>, repeatable;
    ListServers => Vec<OwnedServerName>, repeatable;
    WasCreatedWith => bool, repeatable;
    SetListed => (), repeatable;
    CheckMay => (), repeatable;
    ChangeDevices => (), repeatable;
    GetDeviceChanges => DeviceChanges, repeatable;
    WhoShares => Vec<OwnedUserId>, repeatable;
}
