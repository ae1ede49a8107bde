//! `POST /_matrix/client/*/rooms/{roomId}/invite` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidinvite

use ruma::{
    RoomId, UserId,
    api::client::membership::{
        Invite3pid,
        invite_user::v3::{InvitationRecipient, Request, Response},
    },
    events::room::member::{MembershipState, RoomMemberEventContent},
};
use serde_json::value::to_raw_value;

use super::{ask, member_profile, remote_invite, third_party_invite};
use crate::{
    Error, Result,
    api::{Cx, mount::Routes},
    messages::{Caller, room::MembershipAction},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(invite_user)
}

async fn invite_user(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let Request { room_id, recipient, .. } = request;
    match recipient {
        InvitationRecipient::UserId(recipient) => {
            invite(&cx, caller, &room_id, &recipient.user_id, recipient.reason).await?;
        }
        InvitationRecipient::ThirdPartyId(recipient) => {
            by_third_party(&cx, caller, &room_id, recipient).await?;
        }
        _ => return Err(Error::invalid_param("whom the invitation is for is not known here")),
    }
    Ok(Response::new())
}

/// Invites whoever has a third-party identifier.
pub(super) async fn by_third_party(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    recipient: Invite3pid,
) -> Result<()> {
    match third_party_invite::invite(cx, caller.clone(), room_id, recipient).await? {
        Some(user_id) => invite(cx, caller, room_id, &user_id, None).await,
        None => Ok(()),
    }
}

/// Invites a user.
async fn invite(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    target: &UserId,
    reason: Option<String>,
) -> Result<()> {
    let profile = member_profile::find_invitee(cx, target).await?;
    if !cx.server.is_local(target) {
        let mut content = RoomMemberEventContent::new(MembershipState::Invite);
        content.reason = reason;
        let content = to_raw_value(&content)?;
        return remote_invite::invite(cx, caller, room_id, target, content).await.map(drop);
    }
    let action = MembershipAction::Invite;
    ask(cx, room_id, member_profile::change(caller, target, action, reason, profile)).await
}
