//! Read markers, and receipts that are set together with them ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers

use futures_util::future::try_join;
use ruma::{api::client::read_marker::set_read_marker, events::receipt::ReceiptThread};

use super::{
    super::{Cx, mount::Routes},
    account_data::set_fully_read,
};
use crate::{
    Result,
    messages::{
        Caller,
        room::{NewReceipt, ReceiptKind, SetReceipts},
    },
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(set_read_marker)
}

/// `POST /_matrix/client/*/rooms/{roomId}/read_markers`
pub async fn set_read_marker(
    cx: Cx,
    caller: Caller,
    request: set_read_marker::v3::Request,
) -> Result<set_read_marker::v3::Response> {
    let receipts = [
        (ReceiptKind::Read, request.read_receipt),
        (ReceiptKind::ReadPrivate, request.private_read_receipt),
    ];
    let new = |(kind, event_id): (_, Option<_>)| {
        Some(NewReceipt { kind, event_id: event_id?, thread: ReceiptThread::Unthreaded })
    };
    let receipts: Vec<_> = receipts.into_iter().filter_map(new).collect();
    let room_id = &request.room_id;
    let marker = request.fully_read.as_deref();
    // Side by side: each object checks for itself that the caller is joined, and a request that
    // only one of them could carry out is repeated by the client without harm.
    let of_room = async {
        match receipts.is_empty() && marker.is_some() {
            true => Ok(()),
            false => {
                let user_id = caller.user_id.clone();
                cx.ports.objects.ask(&**room_id, SetReceipts { user_id, receipts }).await
            }
        }
    };
    let of_user = async {
        match marker {
            Some(event_id) => set_fully_read(&cx, &caller, room_id.clone(), event_id).await,
            None => Ok(()),
        }
    };
    try_join(of_room, of_user).await?;
    Ok(set_read_marker::v3::Response::new())
}
