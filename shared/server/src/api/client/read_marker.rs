//! Read markers, and receipts that are set together with them ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers

use axum::Router;
use ruma::{api::client::read_marker::set_read_marker, events::receipt::ReceiptThread};

use super::{
    super::{Cx, mount},
    account_data::{check_joined, set_fully_read},
};
use crate::{
    Result,
    messages::{
        Caller,
        room::{ReceiptKind, SetReceipt},
    },
};

/// Mounts the endpoints of this area.
pub fn routes(router: Router) -> Router {
    mount::authenticated(router, set_read_marker)
}

/// `POST /_matrix/client/*/rooms/{roomId}/read_markers`
pub async fn set_read_marker(
    cx: Cx,
    caller: Caller,
    request: set_read_marker::v3::Request,
) -> Result<set_read_marker::v3::Response> {
    let room_id = request.room_id;
    check_joined(&cx, &caller, &room_id).await?;
    let receipts = [
        (ReceiptKind::Read, request.read_receipt),
        (ReceiptKind::ReadPrivate, request.private_read_receipt),
    ];
    for (kind, event_id) in receipts {
        let Some(event_id) = event_id else { continue };
        let user_id = caller.user_id.clone();
        let receipt = SetReceipt { user_id, kind, event_id, thread: ReceiptThread::Unthreaded };
        cx.ports.objects.ask(&*room_id, receipt).await?;
    }
    if let Some(event_id) = request.fully_read {
        set_fully_read(&cx, &caller, room_id, &event_id).await?;
    }
    Ok(set_read_marker::v3::Response::new())
}
