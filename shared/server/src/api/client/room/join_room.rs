//! `POST /_matrix/client/*/rooms/{roomId}/join` ([spec][by ID]),
//! `POST /_matrix/client/*/join/{roomIdOrAlias}` ([spec][by alias]),
//! `POST /_matrix/client/*/knock/{roomIdOrAlias}` ([spec][knock])
//!
//! [by ID]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidjoin
//! [by alias]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3joinroomidoralias
//! [knock]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3knockroomidoralias

use ruma::{
    OwnedServerName, RoomId,
    api::client::{
        knock::knock_room,
        membership::{ThirdPartySigned, join_room_by_id, join_room_by_id_or_alias},
    },
};

use super::{ask, ask_by_name, locate, member_profile, remote_join, resolve};
use crate::{
    Error, Result,
    api::{Cx, mount::Routes},
    messages::{Caller, room::MembershipAction},
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(join_room_by_id).mount(join_room_by_id_or_alias).mount(knock_room)
}

async fn join_room_by_id(
    cx: Cx,
    caller: Caller,
    request: join_room_by_id::v3::Request,
) -> Result<join_room_by_id::v3::Response> {
    let join_room_by_id::v3::Request { room_id, third_party_signed, reason, .. } = request;
    let via = Vec::new();
    join(&cx, caller, (&room_id, via), third_party_signed.as_ref(), reason).await?;
    Ok(join_room_by_id::v3::Response::new(room_id))
}

async fn join_room_by_id_or_alias(
    cx: Cx,
    caller: Caller,
    request: join_room_by_id_or_alias::v3::Request,
) -> Result<join_room_by_id_or_alias::v3::Response> {
    let join_room_by_id_or_alias::v3::Request {
        room_id_or_alias,
        third_party_signed,
        reason,
        via,
        ..
    } = request;
    let (room_id, servers) = locate(&cx, &room_id_or_alias).await?;
    let via = via.into_iter().chain(servers).collect();
    join(&cx, caller, (&room_id, via), third_party_signed.as_ref(), reason).await?;
    Ok(join_room_by_id_or_alias::v3::Response::new(room_id))
}

async fn knock_room(
    cx: Cx,
    caller: Caller,
    request: knock_room::v3::Request,
) -> Result<knock_room::v3::Response> {
    let room_id = resolve(&cx, &request.room_id_or_alias).await?;
    enter(&cx, caller, &room_id, MembershipAction::Knock, request.reason).await?;
    Ok(knock_room::v3::Response::new(room_id))
}

async fn join(
    cx: &Cx,
    caller: Caller,
    (room_id, via): (&RoomId, Vec<OwnedServerName>),
    third_party_signed: Option<&ThirdPartySigned>,
    reason: Option<String>,
) -> Result<()> {
    if third_party_signed.is_some() {
        return Err(member_profile::no_third_party_invites());
    }
    let profile = member_profile::find(cx, &caller.user_id).await?;
    let user_id = caller.user_id.clone();
    let action = MembershipAction::Join;
    let change = member_profile::change(caller, &user_id, action, reason, profile);
    let content = remote_join::content(&change)?;
    match ask(cx, room_id, change).await {
        Err(Error::UnknownRoom) => {
            let wanted = remote_join::Wanted { room_id, user_id: &user_id, content, via };
            remote_join::join(cx, wanted).await
        }
        other => other,
    }
}

/// Changes the caller's own membership to one that shows their profile.
async fn enter(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    action: MembershipAction,
    reason: Option<String>,
) -> Result<()> {
    let profile = member_profile::find(cx, &caller.user_id).await?;
    let target = caller.user_id.clone();
    let change = member_profile::change(caller, &target, action, reason, profile);
    ask_by_name(cx, room_id, change).await
}
