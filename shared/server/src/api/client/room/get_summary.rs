//! `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias

use ruma::{
    OwnedRoomId, OwnedServerName, UserId, api::client::room::get_summary::v1::Request,
    events::room::member::MembershipState,
};

use super::{joined_rooms, locate, resolve};
use crate::{
    Error, Result,
    api::{
        Cx,
        mount::Routes,
        patched::{AnsweredAsJson, Json, Patched},
        summary::{self, Shown, elsewhere},
    },
    messages::{Caller, room::Viewer},
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
    let Request { room_id_or_alias, via, .. } = request;
    let (room_id, servers) = match &caller {
        Some(_) => locate(&cx, &room_id_or_alias).await?,
        // Strangers would have this server ask whomever they like.
        None => (resolve(&cx, &room_id_or_alias).await?, Vec::new()),
    };
    let shown = match (find_here(&cx, &room_id, caller.as_ref()).await?, &caller) {
        (Here::Shown(shown), _) => Some(*shown),
        (Here::Nothing, Some(caller)) => {
            let of_room = room_id.server_name().map(ToOwned::to_owned);
            let via: Vec<_> = via.into_iter().chain(servers).chain(of_room).collect();
            find_elsewhere(&cx, &room_id, &caller.user_id, &via).await?
        }
        (Here::Hidden | Here::Nothing, _) => None,
    };
    // The same for a room that does not exist.
    let shown = shown.ok_or_else(|| Error::not_found("no room of this ID is known here"))?;
    Ok(Json::of(&shown)?)
}

/// What is here of a room.
enum Here {
    /// Nothing, or nothing up to date.
    Nothing,
    /// What the asker may not know.
    Hidden,
    /// What is shown.
    Shown(Box<Shown>),
}

async fn find_here(cx: &Cx, room_id: &OwnedRoomId, caller: Option<&Caller>) -> Result<Here> {
    let viewer = caller.map_or(Viewer::Anyone, |it| Viewer::User(it.user_id.clone()));
    let Some(room) = summary::find(cx, room_id, &viewer, false).await? else {
        return Ok(Here::Nothing);
    };
    if !summary::may_know(cx, &viewer, &room).await? {
        return Ok(Here::Hidden);
    }
    let membership = caller.is_some().then(|| room.membership.clone());
    Ok(Here::Shown(Box::new(Shown { membership, ..Shown::of(room_id, room) })))
}

async fn find_elsewhere(
    cx: &Cx,
    room_id: &OwnedRoomId,
    user_id: &UserId,
    via: &[OwnedServerName],
) -> Result<Option<Shown>> {
    let Some(told) = elsewhere::find(cx, room_id, via, false).await else { return Ok(None) };
    let invited = joined_rooms::list(cx, user_id, MembershipState::Invite).await?;
    let membership = match invited.contains(room_id) {
        true => MembershipState::Invite,
        false => MembershipState::Leave,
    };
    let joined = joined_rooms::list(cx, user_id, MembershipState::Join).await?;
    let is_shown = elsewhere::may_know(&told.room, &membership, &joined);
    Ok(is_shown.then_some(Shown { membership: Some(membership), ..told.room }))
}
