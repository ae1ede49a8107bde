//! `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias

use js_int::UInt;
use ruma::{
    OwnedMxcUri, OwnedRoomId, RoomId, UserId,
    api::client::room::get_summary::v1::Request,
    events::room::member::MembershipState,
    room::{JoinRuleSummary, RoomSummary},
};
use serde::Serialize;

use super::{ask_by_name, directory, joined_rooms, resolve};
use crate::{
    Error, Result,
    api::{
        Cx,
        mount::Routes,
        patched::{AnsweredAsJson, Json, Patched},
    },
    messages::{
        Caller,
        room::{ListAllowedRooms, PublicInfo},
    },
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_summary)
}

async fn get_summary(
    cx: Cx,
    caller: Option<Caller>,
    Patched { request, .. }: Patched<Request, AnsweredAsJson>,
) -> Result<Json> {
    let room_id = resolve(&cx, &request.room_id_or_alias).await?;
    let info = directory::find_info(&cx, &room_id).await?;
    let allowed = match is_restricted(&info) {
        true => Some(ask_by_name(&cx, &room_id, ListAllowedRooms {}).await?),
        false => None,
    };
    let membership = match &caller {
        Some(caller) => membership(&cx, &caller.user_id, &room_id).await?,
        None => None,
    };
    let may_know = is_open(&info)
        || membership.is_some()
        || may_join(&cx, caller.as_ref(), allowed.as_deref()).await?;
    if !may_know {
        // The same as for a room that does not exist.
        return Err(Error::not_found("no room of this ID is known here"));
    }
    let join_rule = info.join_rule.clone();
    let shown = summary(&room_id, info);
    Ok(Json::of(&Summary { shown, join_rule, allowed_room_ids: allowed, membership })?)
}

/// A summary as it is answered. Its join rule is always there, which ruma leaves out where it is
/// `public`, and cannot write where it is none that ruma knows.
#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    shown: RoomSummary,
    join_rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_room_ids: Option<Vec<OwnedRoomId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<MembershipState>,
}

/// Whether anybody may know of the room: they may enter it, ask to, or read it.
fn is_open(info: &PublicInfo) -> bool {
    info.world_readable || matches!(&*info.join_rule, "public" | "knock" | "knock_restricted")
}

/// Whether members of other rooms may enter the room.
fn is_restricted(info: &PublicInfo) -> bool {
    matches!(&*info.join_rule, "restricted" | "knock_restricted")
}

/// Whether somebody is in one of the rooms whose members may enter.
async fn may_join(
    cx: &Cx,
    caller: Option<&Caller>,
    allowed: Option<&[OwnedRoomId]>,
) -> Result<bool> {
    let (Some(caller), Some(allowed)) = (caller, allowed) else { return Ok(false) };
    let joined = joined_rooms::list(cx, &caller.user_id, MembershipState::Join).await?;
    Ok(allowed.iter().any(|it| joined.contains(it)))
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

/// What is shown of the room besides its join rule.
fn summary(room_id: &RoomId, info: PublicInfo) -> RoomSummary {
    let mut summary = RoomSummary::new(
        room_id.to_owned(),
        JoinRuleSummary::Public,
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
