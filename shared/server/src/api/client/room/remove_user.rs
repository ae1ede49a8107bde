//! `POST /_matrix/client/*/rooms/{roomId}/leave` ([spec][leave]),
//! `POST /_matrix/client/*/rooms/{roomId}/kick` ([spec][kick]),
//! `POST /_matrix/client/*/rooms/{roomId}/ban` ([spec][ban]),
//! `POST /_matrix/client/*/rooms/{roomId}/unban` ([spec][unban])
//!
//! [leave]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidleave
//! [kick]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidkick
//! [ban]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidban
//! [unban]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidunban

use http::StatusCode;
use ruma::{
    RoomId, UserId,
    api::client::membership::{ban_user, kick_user, leave_room, unban_user},
};
use skerry_core::create_room::Profile;

use super::{ask, member_profile, remote_leave};
use crate::{
    Result,
    api::{Cx, mount::Routes},
    messages::{Caller, room::MembershipAction},
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(leave_room).mount(kick_user).mount(ban_user).mount(unban_user)
}

async fn leave_room(
    cx: Cx,
    caller: Caller,
    request: leave_room::v3::Request,
) -> Result<leave_room::v3::Response> {
    let leave_room::v3::Request { room_id, reason, .. } = request;
    let leave = |caller: Caller| {
        let (target, action) = (caller.user_id.clone(), MembershipAction::Leave);
        member_profile::change(caller, &target, action, reason.clone(), Profile::default())
    };
    match ask(&cx, &room_id, leave(caller.clone())).await {
        Ok(()) => {}
        // The room does not know of them: they may be invited to it, or have knocked, elsewhere.
        Err(error) if error.status() == StatusCode::FORBIDDEN => {
            if !remote_leave::leave(&cx, &room_id, &leave(caller)).await? {
                return Err(error);
            }
        }
        Err(error) => return Err(error),
    }
    Ok(leave_room::v3::Response::new())
}

async fn kick_user(
    cx: Cx,
    caller: Caller,
    request: kick_user::v3::Request,
) -> Result<kick_user::v3::Response> {
    let kick_user::v3::Request { room_id, user_id, reason, .. } = request;
    remove(&cx, caller, &room_id, &user_id, MembershipAction::Kick, reason).await?;
    Ok(kick_user::v3::Response::new())
}

async fn ban_user(
    cx: Cx,
    caller: Caller,
    request: ban_user::v3::Request,
) -> Result<ban_user::v3::Response> {
    let ban_user::v3::Request { room_id, user_id, reason, .. } = request;
    remove(&cx, caller, &room_id, &user_id, MembershipAction::Ban, reason).await?;
    Ok(ban_user::v3::Response::new())
}

async fn unban_user(
    cx: Cx,
    caller: Caller,
    request: unban_user::v3::Request,
) -> Result<unban_user::v3::Response> {
    let unban_user::v3::Request { room_id, user_id, reason, .. } = request;
    remove(&cx, caller, &room_id, &user_id, MembershipAction::Unban, reason).await?;
    Ok(unban_user::v3::Response::new())
}

/// None of these events shows the target's profile.
async fn remove(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    target: &UserId,
    action: MembershipAction,
    reason: Option<String>,
) -> Result<()> {
    let change = member_profile::change(caller, target, action, reason, Profile::default());
    ask(cx, room_id, change).await
}
