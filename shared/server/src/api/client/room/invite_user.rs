//! `POST /_matrix/client/*/rooms/{roomId}/invite` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidinvite

use ruma::api::client::membership::invite_user::v3::{InvitationRecipient, Request, Response};

use super::{ask, member_profile};
use crate::{
    Result,
    api::{Cx, mount::Routes},
    messages::{Caller, room::MembershipAction},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(invite_user)
}

async fn invite_user(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let InvitationRecipient::UserId(recipient) = request.recipient else {
        return Err(member_profile::no_third_party_invites());
    };
    let target = &recipient.user_id;
    let profile = member_profile::find_invitee(&cx, target).await?;
    let action = MembershipAction::Invite;
    let change = member_profile::change(caller, target, action, recipient.reason, profile);
    ask(&cx, &request.room_id, change).await?;
    Ok(Response::new())
}
