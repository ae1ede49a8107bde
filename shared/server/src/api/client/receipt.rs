//! Receipts ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#receipts

use ruma::{
    api::client::receipt::create_receipt::{self, v3::ReceiptType},
    events::receipt::ReceiptThread,
};

use super::{
    super::{Cx, mount::Routes},
    account_data::set_fully_read,
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        room::{NewReceipt, ReceiptKind, SetReceipts},
    },
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(create_receipt)
}

/// `POST /_matrix/client/*/rooms/{roomId}/receipt/{receiptType}/{eventId}`
pub async fn create_receipt(
    cx: Cx,
    caller: Caller,
    request: create_receipt::v3::Request,
) -> Result<create_receipt::v3::Response> {
    let create_receipt::v3::Request { room_id, receipt_type, event_id, thread, .. } = request;
    let kind = match receipt_type {
        ReceiptType::Read => ReceiptKind::Read,
        ReceiptType::ReadPrivate => ReceiptKind::ReadPrivate,
        ReceiptType::FullyRead if thread != ReceiptThread::Unthreaded => {
            return Err(Error::invalid_param("a read marker belongs to no thread"));
        }
        ReceiptType::FullyRead => {
            set_fully_read(&cx, &caller, room_id, &event_id).await?;
            return Ok(create_receipt::v3::Response::new());
        }
        _ => return Err(Error::invalid_param("there is no such type of receipt")),
    };
    check_thread(&thread)?;
    let user_id = caller.user_id;
    let receipts = vec![NewReceipt { kind, event_id, thread }];
    cx.ports.objects.ask(&*room_id, SetReceipts { user_id, receipts }).await?;
    Ok(create_receipt::v3::Response::new())
}

/// A thread is `main` or the event it began with.
fn check_thread(thread: &ReceiptThread) -> Result<()> {
    match thread {
        ReceiptThread::Unthreaded | ReceiptThread::Main | ReceiptThread::Thread(_) => Ok(()),
        _ => Err(Error::invalid_param("`thread_id` is neither `main` nor an event")),
    }
}
