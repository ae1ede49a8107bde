//! `POST /_matrix/client/*/rooms/{roomId}/forget` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidforget

use ruma::api::client::membership::forget_room::v3::{Request, Response};

use crate::{
    Result,
    api::{Cx, mount::Routes},
    messages::{Caller, user::Forget},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(forget_room)
}

async fn forget_room(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    // The user's object tells the room.
    cx.ports.objects.ask(&*caller.user_id, Forget { room_id: request.room_id }).await?;
    Ok(Response::new())
}
