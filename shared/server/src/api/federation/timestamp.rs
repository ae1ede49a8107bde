//! `GET /_matrix/federation/v1/timestamp_to_event/{roomId}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid

use ruma::api::federation::event::get_event_by_timestamp::v1::{Request, Response};

use crate::{
    Result,
    api::{
        Cx,
        client::room::get_event_by_timestamp::{direction, not_found, timestamp},
        counted::charge_server,
        mount::Routes,
        origin::Origin,
    },
    messages::{Requester, room::GetEventNear},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_event_by_timestamp)
}

async fn get_event_by_timestamp(
    cx: Cx,
    Origin(server): Origin,
    request: Request,
) -> Result<Response> {
    let question = GetEventNear {
        requester: Requester::Server(server.clone()),
        timestamp_ms: request.ts.get().into(),
        direction: direction(request.dir),
        ignored_users: Vec::new(),
    };
    let near = cx.ports.objects.ask(&*request.room_id, question).await?;
    cx.peers.recent_rooms.note(&server, &request.room_id);
    charge_server(&cx, &server, near.searched_kib);
    let (event_id, timestamp_ms) = near.event.ok_or_else(not_found)?;
    Ok(Response::new(event_id, timestamp(timestamp_ms)))
}
