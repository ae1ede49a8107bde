//! `GET /_matrix/client/*/rooms/{roomId}/members` ([spec][members]),
//! `GET /_matrix/client/*/rooms/{roomId}/joined_members` ([spec][joined])
//!
//! [members]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers
//! [joined]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidjoined_members

use ruma::{
    api::client::membership::{get_member_events, joined_members},
    events::room::member::MembershipState,
    serde::Raw,
};
use serde_json::{Map as JsonMap, json};
use skerry_core::gather::Gather as _;

use super::{ask, page_token};
use crate::{
    Error, Result,
    api::{
        Cx,
        mount::Routes,
        patched::{AnsweredAsJson, Json, Patched},
    },
    messages::{
        Caller,
        room::{GetJoinedMembers, GetMembers},
    },
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_member_events).mount(joined_members)
}

async fn get_member_events(
    cx: Cx,
    caller: Caller,
    request: get_member_events::v3::Request,
) -> Result<get_member_events::v3::Response> {
    let get_member_events::v3::Request { room_id, at, membership, not_membership, .. } = request;
    for it in membership.iter().chain(&not_membership) {
        if matches!(it, MembershipState::_Custom(_)) {
            return Err(Error::invalid_param("this is not a membership"));
        }
    }
    let at = page_token::resolve(&cx, &caller, &room_id, at.as_deref()).await?;
    let question = GetMembers { caller, at, membership, not_membership };
    let events = ask(&cx, &room_id, question).await?;
    let chunk = events.into_iter().map(Raw::from_json).collect();
    Ok(get_member_events::v3::Response::new(chunk))
}

async fn joined_members(
    cx: Cx,
    caller: Caller,
    Patched { request, .. }: Patched<joined_members::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    let joined = ask(&cx, &request.room_id, GetJoinedMembers { caller }).await?;
    // What a member has not set is said to be null, as other servers have it.
    let joined = joined.into_iter().map(|(user_id, profile)| {
        let (display_name, avatar_url) = (profile.displayname, profile.avatar_url);
        let member = json!({ "display_name": display_name, "avatar_url": avatar_url });
        (user_id.to_string(), member)
    });
    Ok(Json::of(&json!({ "joined": joined.gather::<JsonMap<_, _>>() }))?)
}
