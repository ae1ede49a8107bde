//! `GET /_matrix/federation/v1/publicRooms` ([spec][all]),
//! `POST /_matrix/federation/v1/publicRooms` ([spec][filtered])
//!
//! [all]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1publicrooms
//! [filtered]: https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1publicrooms

use ruma::api::federation::directory::{get_public_rooms, get_public_rooms_filtered};

use crate::{
    Result,
    api::{
        Cx,
        mount::Routes,
        origin::Origin,
        patched::{AnsweredAsJson, Json, Patched},
        public_rooms::{Wanted, page},
    },
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_public_rooms).mount(get_public_rooms_filtered)
}

async fn get_public_rooms(
    cx: Cx,
    _: Origin,
    Patched { request, .. }: Patched<get_public_rooms::v1::Request, AnsweredAsJson>,
) -> Result<Json> {
    let get_public_rooms::v1::Request { limit, since, room_network, .. } = request;
    page(&cx, Wanted { limit, since, network: room_network, ..Wanted::default() }).await
}

async fn get_public_rooms_filtered(
    cx: Cx,
    _: Origin,
    Patched { request, .. }: Patched<get_public_rooms_filtered::v1::Request, AnsweredAsJson>,
) -> Result<Json> {
    let get_public_rooms_filtered::v1::Request { limit, since, filter, room_network, .. } = request;
    page(&cx, Wanted { limit, since, filter, network: room_network }).await
}
