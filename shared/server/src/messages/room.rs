//! What may be asked of a `Room` object.

mod create;
mod directory;
mod ephemeral;
mod federation;
mod membership;
mod read;
mod receive;
mod send;
mod sync;

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};

pub use self::{
    create::{Create, NewState},
    directory::{Action, CheckMay, GetPublicInfo, PublicInfo, SetListed, WasCreatedWith},
    ephemeral::{NewReceipt, ReceiptKind, SetReceipts, SetTyping},
    federation::{
        GetAncestors, GetAuthChain, GetOutgoing, GetPdu, GetStateBefore, GetStateIds, GetStatePdus,
        MakeMembership, Outgoing, SendMembership, Sent, StateBefore, Template,
    },
    membership::{
        ChangeMembership, Forget, IsJoined, ListAllowedRooms, MembershipAction, UpdateProfile,
    },
    read::{
        Context, Direction, GetContext, GetEvent, GetJoinedMembers, GetMembers, GetMessages,
        GetPositionBefore, GetState, GetStateEvent, Page, RoomProfile,
    },
    receive::{GivenState, Join, Kind, Outcome, Receive, Received, Stage},
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
    Stage => Vec<Received>, repeatable;
    Join => Received, repeatable;
    ChangeMembership => (), once;
    IsJoined => Option<bool>, repeatable;
    MakeMembership => Box<Template>, repeatable;
    SendMembership => Box<Sent>, repeatable;
    ListAllowedRooms => Vec<OwnedRoomId>, repeatable;
    Forget => (), repeatable;
    UpdateProfile => (), repeatable;
    SetReceipts => (), repeatable;
    SetTyping => (), repeatable;
    GetEvent => RawJson, repeatable;
    GetState => Vec<RawJson>, repeatable;
    GetStateEvent => RawJson, repeatable;
    GetMembers => Vec<RawJson>, repeatable;
    GetJoinedMembers => BTreeMap<OwnedUserId, RoomProfile>, repeatable;
    GetMessages => Box<Page>, repeatable;
    GetContext => Box<Context>, repeatable;
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
    WasCreatedWith => bool, repeatable;
    SetListed => (), repeatable;
    CheckMay => (), repeatable;
}
