//! `POST /_matrix/client/*/rooms/{roomId}/join` ([spec][by ID]),
//! `POST /_matrix/client/*/join/{roomIdOrAlias}` ([spec][by alias]),
//! `POST /_matrix/client/*/knock/{roomIdOrAlias}` ([spec][knock])
//!
//! [by ID]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidjoin
//! [by alias]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3joinroomidoralias
//! [knock]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3knockroomidoralias

use http::StatusCode;
use ruma::{
    OwnedServerName, RoomId,
    api::client::{
        knock::knock_room,
        membership::{ThirdPartySigned, join_room_by_id, join_room_by_id_or_alias},
    },
};

use serde_json::value::to_raw_value;

use super::{
    ask, by_way,
    exchange::{Exchanging, exchange_anywhere},
    locate, member_profile, remote_join, remote_knock, servers_in,
};
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
    let knock_room::v3::Request { room_id_or_alias, reason, via, .. } = request;
    let (room_id, servers) = locate(&cx, &room_id_or_alias).await?;
    let via = via.into_iter().chain(servers).collect();
    enter(&cx, caller, (&room_id, via), MembershipAction::Knock, reason).await?;
    Ok(knock_room::v3::Response::new(room_id))
}

async fn join(
    cx: &Cx,
    caller: Caller,
    (room_id, via): (&RoomId, Vec<OwnedServerName>),
    third_party_signed: Option<&ThirdPartySigned>,
    reason: Option<String>,
) -> Result<()> {
    if let Some(signed) = third_party_signed {
        exchange(cx, &caller, room_id, signed).await?;
    }
    enter(cx, caller, (room_id, via), MembershipAction::Join, reason).await
}

/// Has the caller be invited, for whom an identity server has signed.
async fn exchange(
    cx: &Cx,
    caller: &Caller,
    room_id: &RoomId,
    third_party: &ThirdPartySigned,
) -> Result<()> {
    let (sender, target) = (third_party.sender.clone(), third_party.mxid.clone());
    if target != caller.user_id {
        return Err(Error::forbidden("this was signed for another user"));
    }
    // All of it is signed.
    let exchanging = Exchanging { sender, target, signed: to_raw_value(third_party)? };
    exchange_anywhere(cx, room_id, exchanging).await
}

/// Changes the caller's own membership to one that shows their profile: in the room, where it is
/// here, else by way of servers that are in it. Whose server has invited them is asked first.
async fn enter(
    cx: &Cx,
    caller: Caller,
    (room_id, via): (&RoomId, Vec<OwnedServerName>),
    action: MembershipAction,
    reason: Option<String>,
) -> Result<()> {
    let profile = member_profile::find(cx, &caller.user_id).await?;
    let user_id = &*caller.user_id.clone();
    let change = member_profile::change(caller, user_id, action, reason, profile);
    let content = by_way::content(&change)?;
    let wanted = by_way::Wanted { room_id, user_id, content, via };
    match ask(cx, room_id, change).await {
        Err(Error::UnknownRoom) => by_way_of_others(cx, wanted, action).await,
        // A member on another server may be able to.
        Err(error) if error.is_unable_to_grant_join() => by_way_of_members(cx, wanted, error).await,
        answer => answer,
    }
}

/// Enters a room that is not here.
async fn by_way_of_others(
    cx: &Cx,
    mut wanted: by_way::Wanted<'_>,
    action: MembershipAction,
) -> Result<()> {
    let known = by_way::known(cx, wanted.user_id, wanted.room_id).await?;
    let servers = known.map(|it| it.servers).unwrap_or_default();
    wanted.via.splice(..0, servers);
    match action {
        MembershipAction::Knock => remote_knock::knock(cx, wanted).await,
        _ => remote_join::join(cx, wanted).await,
    }
}

/// Joins a room that is here and in which nobody of this server can let anybody in.
async fn by_way_of_members(cx: &Cx, mut wanted: by_way::Wanted<'_>, error: Error) -> Result<()> {
    wanted.via.extend(servers_in(cx, wanted.room_id).await?);
    match remote_join::join(cx, wanted).await {
        // Nobody has said more of it.
        Err(other)
            if other.status() == StatusCode::NOT_FOUND || other.status().is_server_error() =>
        {
            Err(error)
        }
        other => other,
    }
}
