//! `GET /_matrix/client/*/joined_rooms` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3joined_rooms

use ruma::{
    OwnedRoomId, UserId,
    api::client::membership::joined_rooms::v3::{Request, Response},
    events::room::member::MembershipState,
};

use crate::{
    Result,
    api::{Cx, mount::Routes},
    messages::{Caller, user::ListRooms},
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(joined_rooms)
}

async fn joined_rooms(cx: Cx, caller: Caller, _: Request) -> Result<Response> {
    list(&cx, &caller.user_id, MembershipState::Join).await.map(Response::new)
}

/// The rooms in which a user has this membership.
pub(in crate::api) async fn list(
    cx: &Cx,
    user_id: &UserId,
    membership: MembershipState,
) -> Result<Vec<OwnedRoomId>> {
    cx.ports.objects.ask(user_id, ListRooms { membership }).await
}
