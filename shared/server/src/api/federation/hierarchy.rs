//! `GET /_matrix/federation/v1/hierarchy/{roomId}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedRoomId, api::federation::space::get_hierarchy::v1::Request};
use serde::Serialize;
use skerry_core::hierarchy::{self, Child};

use crate::{
    Error, Result,
    api::{
        Cx,
        counted::charge_server,
        mount::Routes,
        origin::Origin,
        patched::{AnsweredAsJson, Json, Patched},
        summary::{self, Shown},
    },
    messages::room::Viewer,
};

/// Children of which something is said.
const MAX_SHOWN: usize = 100;

/// Those that are asked at the same time.
const ASKED_AT_ONCE: usize = 10;

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_hierarchy)
}

async fn get_hierarchy(
    cx: Cx,
    Origin(server): Origin,
    Patched { request, .. }: Patched<Request, AnsweredAsJson>,
) -> Result<Json> {
    let Request { room_id, suggested_only, .. } = request;
    let viewer = Viewer::Server(server.clone());
    let unknown = || Error::not_found("no room of this ID is known here");
    let mut space = summary::find(&cx, &room_id, &viewer, true).await?.ok_or_else(unknown)?;
    if !summary::may_know(&cx, &viewer, &space).await? {
        return Err(unknown());
    }
    let events = std::mem::take(&mut space.children);
    let children = hierarchy::children(events.iter().map(|it| it.get()), suggested_only);
    let mut room = Shown::of(&room_id, space);
    let looked_at: Vec<_> =
        children.iter().take(MAX_SHOWN).map(|it: &Child| it.room_id.clone()).collect();
    room.children_state = Some(children.into_iter().map(|it| it.event).collect());
    // Each is as good as an answer.
    charge_server(&cx, &server, u32::try_from(looked_at.len()).unwrap_or(u32::MAX));
    let look = |room_id: OwnedRoomId| {
        let (cx, viewer) = (&cx, &viewer);
        async move {
            let Some(room) = summary::find(cx, &room_id, viewer, false).await? else {
                return Ok(None);
            };
            let is_shown = summary::may_know(cx, viewer, &room).await?;
            let shown = is_shown.then(|| Shown::of(&room_id, room));
            Ok::<_, Error>(Some((room_id, shown)))
        }
    };
    let mut found = stream::iter(looked_at).map(look).buffered(ASKED_AT_ONCE);
    let mut answer = Answer { room, children: Vec::new(), inaccessible_children: Vec::new() };
    while let Some(child) = found.next().await {
        match child? {
            Some((_, Some(shown))) => answer.children.push(shown),
            Some((room_id, None)) => answer.inaccessible_children.push(room_id),
            None => {}
        }
    }
    Ok(Json::of(&answer)?)
}

/// A space and its children, as they are answered.
#[derive(Serialize)]
struct Answer {
    room: Shown,
    children: Vec<Shown>,
    inaccessible_children: Vec<OwnedRoomId>,
}
