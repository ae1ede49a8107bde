//! `PUT /_matrix/client/*/rooms/{roomId}/redact/{eventId}/{txnId}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid

use ruma::api::client::redact::redact_event::v3::{Request, Response};

use super::ask;
use crate::{
    Result,
    api::{Cx, mount::Routes},
    messages::{Caller, room::Redact},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(redact_event)
}

async fn redact_event(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let Request { room_id, event_id, txn_id, reason, .. } = request;
    let redact = Redact { caller, event_id, reason, transaction_id: txn_id };
    Ok(Response::new(ask(&cx, &room_id, redact).await?))
}
