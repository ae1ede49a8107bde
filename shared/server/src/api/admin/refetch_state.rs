//! `POST /_skerry/admin/v1/rooms/{roomId}/refetch_state`: the state of a room is asked anew of a
//! server, and resolved with what is here. An administrator names the room and the server
//! (`{"from": "example.org"}`); the answer is [`Refetched`](crate::messages::room::Refetched).

use ruma::{
    OwnedRoomId, OwnedServerName, RoomId,
    api::{IncomingRequest, auth_scheme::AccessToken, error::DeserializationError, metadata},
};
use serde::Deserialize;

use super::check_admin;
use crate::{
    Result,
    api::{Cx, access::Verified, patched::Json},
    messages::room::RefetchState,
};

metadata! {
    method: POST,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_skerry/admin/v1/rooms/{room_id}/refetch_state",
}

/// Which room, and who is asked.
pub(super) struct Request {
    room_id: OwnedRoomId,
    from: OwnedServerName,
}

impl IncomingRequest for Request {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        #[derive(Deserialize)]
        struct Body {
            from: OwnedServerName,
        }
        let room_id = RoomId::parse(path_args.first().copied().unwrap_or_default())?;
        let Body { from } = serde_json::from_slice(request.body())?;
        Ok(Self { room_id, from })
    }
}

pub(super) async fn refetch_state(cx: Cx, caller: Verified, request: Request) -> Result<Json> {
    check_admin(&cx, &caller).await?;
    let Request { room_id, from } = request;
    let found = cx.ports.objects.ask(&*room_id, RefetchState { server: from }).await?;
    Ok(Json::of(&found)?)
}
