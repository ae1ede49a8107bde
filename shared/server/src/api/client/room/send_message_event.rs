//! `PUT /_matrix/client/*/rooms/{roomId}/send/{eventType}/{txnId}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid

use ruma::api::client::message::send_message_event::v3::{Request, Response};

use super::ask;
use crate::{
    Result,
    api::{Cx, mount::Routes},
    messages::{Caller, room::Send},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(send_message_event)
}

async fn send_message_event(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let send = Send {
        caller,
        event_type: request.event_type.to_string(),
        state_key: None,
        content: request.body.into_json(),
        transaction_id: Some(request.txn_id),
        // Only an application service may choose the time.
        timestamp_ms: None,
    };
    Ok(Response::new(ask(&cx, &request.room_id, send).await?))
}
