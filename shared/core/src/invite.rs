//! Invitations by other servers, and what ends them ([spec]): whether an event is what it is sent
//! as.
//!
//! **Invariant:** nothing but an invitation of a user of this server, by a user of the server that
//! sends it and signed by that, comes to be signed by this server too.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room

pub mod shown;

use ruma::{
    EventId, OwnedUserId, RoomId, ServerName, UserId,
    events::{TimelineEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
};
use serde::Deserialize;
use serde_json::value::RawValue as RawJsonValue;

use crate::{
    Pdu,
    receipt::{self, Dropped, Received},
};

/// Why an event is not what it is sent as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It is no event of the room.
    #[error(transparent)]
    Dropped(#[from] Dropped),
    /// It has another ID than was said.
    #[error("this is not the ID of the event")]
    EventId,
    /// What is not signed of it was changed.
    #[error("the content of the event is not what its hash says")]
    Altered,
    /// It is something else.
    #[error("the event is not an m.room.member event that says this membership")]
    Membership,
    /// It is said to have come about by a third-party identifier, and nobody has signed that it is
    /// this user's.
    #[error("nobody has signed that the third-party identifier is this user's")]
    ThirdParty,
    /// Somebody of another server invites, or somebody else ends what was said.
    #[error("the sender of the event may not send it")]
    Sender,
    /// Somebody of another server is invited, or somebody else than was meant.
    #[error("the user whom the event is about is not the one it is sent for")]
    Target,
    /// It does not build on what it ends.
    #[error("the event does not name what it ends among its auth events")]
    Unrelated,
}

/// An invitation as another server sends it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The event.
    pub event: &'a RawJsonValue,
    /// Which server sends it.
    pub origin: &'a ServerName,
    /// What it says that the event's ID is.
    pub event_id: &'a EventId,
    /// What it says that the room is.
    pub room_id: &'a RoomId,
}

/// Reads an invitation. Nobody's word for it yet: whoever has to sign it is the sender's server.
///
/// # Errors
///
/// [`InviteError`], for everything but an invitation of a user of the server `own`.
pub fn read(
    sent: Sent<'_>,
    own: &ServerName,
    rules: &RoomVersionRules,
) -> Result<(Received, OwnedUserId), InviteError> {
    let mut received = receipt::read(sent.event, sent.room_id, rules)?;
    let pdu = &received.pdu;
    if pdu.event_id != sent.event_id {
        return Err(InviteError::EventId);
    }
    let Member { target, membership, third_party } = member(&received)?;
    if membership != MembershipState::Invite {
        return Err(InviteError::Membership);
    }
    if third_party.as_ref().is_some_and(|it| it.signed.mxid != target) {
        return Err(InviteError::ThirdParty);
    }
    if sent.origin == own || pdu.sender.server_name() != sent.origin {
        return Err(InviteError::Sender);
    }
    if target.server_name() != own {
        return Err(InviteError::Target);
    }
    if third_party.is_some() {
        // In a room any server may send such an event. What this one signs, the sender's has.
        received = receipt::read_signed_by(sent.event, sent.room_id, rules, sent.origin)?;
    }
    Ok((received, target))
}

/// An invitation or a knock of a room that is not here.
#[derive(Clone, Copy, Debug)]
pub struct Pending<'a> {
    /// Whose it is.
    pub user_id: &'a UserId,
    /// The event.
    pub event_id: &'a EventId,
    /// The room.
    pub room_id: &'a RoomId,
    /// Who has invited; none: it is a knock.
    pub inviter: Option<&'a UserId>,
}

/// Reads an event that another server sends for a room that is not here, to end an invitation or a
/// knock: by somebody else, and with it among the events that authorize it, which only those know
/// who are in the room. Whether the room lets its sender do so cannot be told here; so an
/// invitation is ended by whom it is from alone, and a knock by anybody whose server signs.
///
/// # Errors
///
/// [`InviteError`], for everything else.
pub fn read_end(
    event: &RawJsonValue,
    pending: Pending<'_>,
    rules: &RoomVersionRules,
) -> Result<(Received, MembershipState), InviteError> {
    let received = receipt::read(event, pending.room_id, rules)?;
    let Member { target, membership, .. } = member(&received)?;
    if !matches!(membership, MembershipState::Leave | MembershipState::Ban) {
        return Err(InviteError::Membership);
    }
    if target != pending.user_id {
        return Err(InviteError::Target);
    }
    let sender = &received.pdu.sender;
    if *sender == target || pending.inviter.is_some_and(|it| it != sender) {
        return Err(InviteError::Sender);
    }
    match received.pdu.auth_events.iter().any(|it| it == pending.event_id) {
        true => Ok((received, membership)),
        false => Err(InviteError::Unrelated),
    }
}

/// Whose membership an event says, and which.
struct Member {
    target: OwnedUserId,
    membership: MembershipState,
    third_party: Option<ThirdParty>,
}

/// What a membership says of the third-party identifier by which it came about.
#[derive(Deserialize)]
struct ThirdParty {
    signed: Signed,
}

#[derive(Deserialize)]
struct Signed {
    mxid: OwnedUserId,
}

fn member(received: &Received) -> Result<Member, InviteError> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
        third_party_invite: Option<Box<RawJsonValue>>,
    }
    if received.is_redacted() {
        return Err(InviteError::Altered);
    }
    let Pdu { event_type, state_key, content, .. } = &received.pdu;
    if *event_type != TimelineEventType::RoomMember {
        return Err(InviteError::Membership);
    }
    let content: Content =
        serde_json::from_str(content.get()).map_err(|_| InviteError::Membership)?;
    let third_party = content.third_party_invite.map(|it| serde_json::from_str(it.get()));
    let third_party = third_party.transpose().map_err(|_| InviteError::ThirdParty)?;
    let target = UserId::parse(state_key.as_deref().unwrap_or_default());
    let target = target.map_err(|_| InviteError::Target)?;
    Ok(Member { target, membership: content.membership, third_party })
}
