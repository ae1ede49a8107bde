//! `GET /_matrix/client/*/rooms/{roomId}/event/{eventId}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid

use ruma::{
    api::client::room::get_room_event::v3::{Request, Response},
    serde::Raw,
};

use super::{ask, ignored_users};
use crate::{
    Result,
    api::{Cx, mount::Routes},
    messages::{Caller, Requester, room::GetEvent},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_room_event)
}

async fn get_room_event(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let Request { room_id, event_id, .. } = request;
    let ignored_users = ignored_users(&cx, &caller).await?;
    let question = GetEvent { requester: Requester::User(caller), event_id, ignored_users };
    let event = ask(&cx, &room_id, question).await?;
    Ok(Response::new(Raw::from_json(event)))
}
