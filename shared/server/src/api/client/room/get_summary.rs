//! `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias

use js_int::UInt;
use ruma::{
    OwnedMxcUri, RoomId, UserId,
    api::client::room::get_summary::v1::{Request, Response},
    events::room::member::MembershipState,
    room::{JoinRuleKind, RoomSummary},
};

use super::{directory, joined_rooms, resolve};
use crate::{
    Error, Result,
    api::{Cx, mount::Routes},
    messages::{Caller, room::PublicInfo},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_summary)
}

async fn get_summary(cx: Cx, caller: Option<Caller>, request: Request) -> Result<Response> {
    let room_id = resolve(&cx, &request.room_id_or_alias).await?;
    let info = directory::find_info(&cx, &room_id).await?;
    let membership = match caller {
        Some(caller) => membership(&cx, &caller.user_id, &room_id).await?,
        None => None,
    };
    if membership.is_none() && !is_open(&info) {
        // The same as for a room that does not exist.
        return Err(Error::not_found("no room of this ID is known here"));
    }
    let mut response = Response::new(summary(&room_id, info));
    response.membership = membership;
    Ok(response)
}

/// Whether anybody may know of the room: they may enter it, ask to, or read it.
fn is_open(info: &PublicInfo) -> bool {
    info.world_readable || matches!(&*info.join_rule, "public" | "knock" | "knock_restricted")
}

/// The membership of a user that lets them know of the room.
async fn membership(
    cx: &Cx,
    user_id: &UserId,
    room_id: &RoomId,
) -> Result<Option<MembershipState>> {
    for membership in [MembershipState::Join, MembershipState::Invite, MembershipState::Knock] {
        let rooms = joined_rooms::list(cx, user_id, membership.clone()).await?;
        if rooms.iter().any(|it| it == room_id) {
            return Ok(Some(membership));
        }
    }
    Ok(None)
}

fn summary(room_id: &RoomId, info: PublicInfo) -> RoomSummary {
    let mut summary = RoomSummary::new(
        room_id.to_owned(),
        JoinRuleKind::from(info.join_rule.as_str()).into(),
        info.guest_can_join,
        UInt::new_saturating(info.joined_members),
        info.world_readable,
    );
    summary.canonical_alias = info.canonical_alias;
    summary.name = info.name;
    summary.topic = info.topic;
    summary.avatar_url = info.avatar_url.map(OwnedMxcUri::from);
    summary.room_type = info.room_type.map(Into::into);
    summary.encryption = info.encryption.map(Into::into);
    summary.room_version = info.room_version.try_into().ok();
    summary
}
