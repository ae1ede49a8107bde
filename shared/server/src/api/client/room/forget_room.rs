//! `POST /_matrix/client/*/rooms/{roomId}/forget` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidforget

use ruma::api::client::membership::forget_room::v3::{Request, Response};

use crate::{
    Error, Result,
    api::{Cx, mount::Routes},
    messages::{Caller, room, user},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(forget_room)
}

async fn forget_room(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let user_id = caller.user_id;
    let objects = &cx.ports.objects;
    match objects.ask(&*request.room_id, room::Forget { user_id: user_id.clone() }).await {
        // A room that everybody has forgotten is there no more.
        Ok(()) | Err(Error::UnknownRoom) => {}
        Err(error) => return Err(error),
    }
    objects.ask(&*user_id, user::Forget { room_id: request.room_id }).await?;
    Ok(Response::new())
}
